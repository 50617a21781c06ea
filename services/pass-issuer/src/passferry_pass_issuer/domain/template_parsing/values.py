"""Reading values and barcodes, which both wallets share."""

from __future__ import annotations

import re
from collections.abc import Sequence

from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.template_parsing.node import MAX_TEXT, Node
from passferry_pass_issuer.domain.value_expression import (
    BARCODE_FORMATS,
    FIELD_PREFIX,
    FORMATS,
    SOURCES,
    BarcodeContent,
    Format,
    ValueExpression,
)

#: Of a field of a pass.
FIELD_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_.-]{0,63}\Z")
#: Barcodes that hold more than Latin letters.
_ANY_SCRIPT = frozenset({"qr", "pdf417", "aztec"})
CURRENCY = re.compile(r"^[A-Z]{3}\Z")


def value(node: Node, name: str) -> ValueExpression:
    found = optional_value(node, name)
    if found is None:
        raise ContentRejected("required", node.at(name), "is required")
    return found


def optional_value(node: Node, name: str) -> ValueExpression | None:
    """A constant as plain text, or `{"source", "default"?, "format"?}`."""
    if isinstance(node.get(name), str):
        text = node.optional_text(name, most=MAX_TEXT)
        return ValueExpression(source="text", text=text or "")
    return node.optional_child(name, expression)


def expression(node: Node, *, otherwise: Format = "text") -> ValueExpression:
    """`{"source", "default"?, "format"?}`; `otherwise` is the format where none is named."""
    source = node.text("source", most=100)
    field_name = source.removeprefix(FIELD_PREFIX) if source.startswith(FIELD_PREFIX) else None
    if source not in SOURCES and (field_name is None or not FIELD_NAME.match(field_name)):
        known = ", ".join(sorted(SOURCES))
        raise ContentRejected(
            "unknown_source", node.at("source"), f"must be field.<name> or {known}"
        )
    format_ = node.optional_choice("format", FORMATS)
    return ValueExpression(
        source=source,
        default=_default(node),
        format=next((known for known in FORMATS if known == format_), otherwise),
    )


def _default(node: Node) -> str | int | None:
    value = node.get("default")
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) >= 2**63:
            raise ContentRejected("invalid", node.at("default"), "is beyond 64 bits")
        return value
    return node.optional_text("default", most=MAX_TEXT)


def barcode(node: Node, formats: Sequence[str] = BARCODE_FORMATS) -> BarcodeContent:
    format_ = node.choice("format", formats)
    message = optional_value(node, "message")
    default = "utf-8" if format_ in _ANY_SCRIPT else "iso-8859-1"
    return BarcodeContent(
        format=format_,
        message=message or ValueExpression(source="pass.code"),
        alternate_text=optional_value(node, "alternate_text"),
        encoding=node.optional_choice("encoding", ("utf-8", "iso-8859-1")) or default,
    )
