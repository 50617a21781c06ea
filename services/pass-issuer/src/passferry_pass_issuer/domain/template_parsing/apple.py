"""Reading what a template says for Apple Wallet."""

from __future__ import annotations

import re
from collections.abc import Iterable

from passferry_pass_issuer.domain.apple_template import (
    GROUPS,
    STYLES,
    AppleContent,
    FieldContent,
    LocationContent,
)
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.template_parsing.node import Node
from passferry_pass_issuer.domain.template_parsing.values import (
    CURRENCY,
    FIELD_NAME,
    barcode,
    value,
)

MAX_LOCATIONS = 10
#: What fits the older iPhones; more is never shown.
GROUP_LIMITS = {"header": 3, "primary": 2, "secondary": 4, "auxiliary": 5, "back": 20}

_COLOUR = re.compile(
    r"^(rgb\(\s*\d{1,3}\s*,\s*\d{1,3}\s*,\s*\d{1,3}\s*\)|#[0-9A-Fa-f]{3}|#[0-9A-Fa-f]{6})$"
)
_DEGREES = re.compile(r"^-?\d{1,3}(\.\d{1,10})?$")
_DATE_STYLES = tuple(f"PKDateStyle{name}" for name in ("None", "Short", "Medium", "Long", "Full"))
_ALIGNMENTS = tuple(f"PKTextAlignment{name}" for name in ("Left", "Center", "Right", "Natural"))


def apple_content(node: Node) -> AppleContent:
    fields = node.optional_child("fields", _groups) or {}
    _refuse_equal_keys(item.key for group in fields.values() for item in group)
    return AppleContent(
        style=node.choice("style", STYLES),
        organization_name=node.text("organization_name"),
        description=node.text("description"),
        logo_text=node.optional_text("logo_text"),
        background_color=node.optional_text("background_color", pattern=_COLOUR),
        foreground_color=node.optional_text("foreground_color", pattern=_COLOUR),
        label_color=node.optional_text("label_color", pattern=_COLOUR),
        fields=fields,
        barcode=node.optional_child("barcode", barcode),
        locations=node.children("locations", _location, most=MAX_LOCATIONS),
        is_sharing_prohibited=node.flag("sharing_prohibited"),
    )


def _groups(node: Node) -> dict[str, tuple[FieldContent, ...]]:
    found = {}
    for group in GROUPS:
        items = node.children(group, _field, most=GROUP_LIMITS[group])
        if items:
            found[group] = items
    return found


def _refuse_equal_keys(keys: Iterable[str]) -> None:
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            raise ContentRejected("duplicate", "apple.fields", f"the key {key} is used twice")
        seen.add(key)


def _field(node: Node) -> FieldContent:
    key = node.text("key", most=64)
    if not FIELD_NAME.match(key):
        raise ContentRejected("invalid", node.at("key"), "is letters, digits, '_', '.', '-'")
    change_message = node.optional_text("change_message")
    if change_message is not None and "%@" not in change_message:
        raise ContentRejected("invalid", node.at("change_message"), "needs %@ for the new value")
    return FieldContent(
        key=key,
        value=value(node, "value"),
        label=node.optional_text("label"),
        change_message=change_message,
        currency=node.optional_text("currency", pattern=CURRENCY),
        date_style=node.optional_choice("date_style", _DATE_STYLES),
        time_style=node.optional_choice("time_style", _DATE_STYLES),
        is_relative=node.flag("is_relative"),
        text_alignment=node.optional_choice("text_alignment", _ALIGNMENTS),
    )


def _location(node: Node) -> LocationContent:
    return LocationContent(
        latitude=_degrees(node, "latitude", 90),
        longitude=_degrees(node, "longitude", 180),
        relevant_text=node.optional_text("relevant_text"),
    )


def _degrees(node: Node, name: str, most: int) -> str:
    value = node.get(name)
    text = str(value) if isinstance(value, int | float | str) else ""
    if not _DEGREES.match(text) or abs(float(text)) > most:
        raise ContentRejected("invalid", node.at(name), f"is degrees from -{most} to {most}")
    return text
