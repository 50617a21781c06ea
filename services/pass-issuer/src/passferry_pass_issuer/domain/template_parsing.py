"""Reads a template's content from JSON, naming the field of the first fault."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.template import (
    BARCODE_FORMATS,
    FIELD_PREFIX,
    FORMATS,
    GROUPS,
    SOURCES,
    STYLES,
    AppleContent,
    BarcodeContent,
    FieldContent,
    GoogleContent,
    LocationContent,
    TemplateContent,
    TextModuleContent,
    ValueExpression,
)

MAX_TEXT = 2_000
MAX_NAME = 200
MAX_FIELDS_PER_GROUP = 20
MAX_LOCATIONS = 10
MAX_TEXT_MODULES = 10
#: What fits the older iPhones; more is never shown.
GROUP_LIMITS = {"header": 3, "primary": 2, "secondary": 4, "auxiliary": 5, "back": 20}

_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$")
_COLOUR = re.compile(
    r"^(rgb\(\s*\d{1,3}\s*,\s*\d{1,3}\s*,\s*\d{1,3}\s*\)|#[0-9A-Fa-f]{3}|#[0-9A-Fa-f]{6})$"
)
_HEX_COLOUR = re.compile(r"^#[0-9A-Fa-f]{6}$")
_CURRENCY = re.compile(r"^[A-Z]{3}$")
_DEGREES = re.compile(r"^-?\d{1,3}(\.\d{1,10})?$")
_URL = re.compile(r"^https?://[^\s\"<>]{1,1900}$")
_DATE_STYLES = tuple(f"PKDateStyle{name}" for name in ("None", "Short", "Medium", "Long", "Full"))
_ALIGNMENTS = tuple(f"PKTextAlignment{name}" for name in ("Left", "Center", "Right", "Natural"))
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")

T = TypeVar("T")


class _Node:
    """A JSON object that knows where it is, and which of its members were read."""

    def __init__(self, value: object, path: str) -> None:
        if not isinstance(value, Mapping):
            raise ContentRejected("invalid", path or "content", "must be an object")
        self._value: Mapping[str, Any] = value
        self.path = path
        self._read: set[str] = set()

    def at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def get(self, name: str) -> Any:
        self._read.add(name)
        return self._value.get(name)

    def text(self, name: str, *, most: int = MAX_NAME) -> str:
        value = self.optional_text(name, most=most)
        if not value:
            raise ContentRejected("required", self.at(name), "is required")
        return value

    def optional_text(
        self, name: str, *, most: int = MAX_NAME, pattern: re.Pattern[str] | None = None
    ) -> str | None:
        value = self.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise ContentRejected("invalid", self.at(name), "must be text")
        if len(value) > most:
            raise ContentRejected("too_long", self.at(name), f"is longer than {most} characters")
        if _CONTROL.search(value):
            raise ContentRejected("invalid", self.at(name), "has control characters")
        if pattern is not None and not pattern.match(value):
            raise ContentRejected("invalid", self.at(name), "has not the form that is expected")
        return value

    def choice(self, name: str, allowed: Sequence[str]) -> str:
        value = self.optional_choice(name, allowed)
        if value is None:
            raise ContentRejected("required", self.at(name), "is required")
        return value

    def optional_choice(self, name: str, allowed: Sequence[str]) -> str | None:
        value = self.get(name)
        if value is not None and value not in allowed:
            raise ContentRejected("invalid", self.at(name), f"is one of {', '.join(allowed)}")
        return value if value is None else str(value)

    def flag(self, name: str) -> bool:
        value = self.get(name)
        if value is not None and not isinstance(value, bool):
            raise ContentRejected("invalid", self.at(name), "must be true or false")
        return bool(value)

    def optional_child(self, name: str, read: Callable[[_Node], T]) -> T | None:
        value = self.get(name)
        if value is None:
            return None
        node = _Node(value, self.at(name))
        result = read(node)
        node.refuse_the_rest()
        return result

    def children(self, name: str, read: Callable[[_Node], T], *, most: int) -> tuple[T, ...]:
        value = self.get(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise ContentRejected("invalid", self.at(name), "must be a list")
        if len(value) > most:
            raise ContentRejected("too_many", self.at(name), f"has more than {most} items")
        found = []
        for position, item in enumerate(value):
            node = _Node(item, f"{self.at(name)}.{position}")
            found.append(read(node))
            node.refuse_the_rest()
        return tuple(found)

    def refuse_the_rest(self) -> None:
        # A misspelt member that is silently ignored would be found on the phones.
        for name in self._value:
            if name not in self._read:
                raise ContentRejected("unknown", self.at(str(name)[:64]), "is not known here")


def parse_template_content(value: object) -> TemplateContent:
    """`{"apple": {…}, "google": {…}}`, at least one of them. Raises `ContentRejected`."""
    node = _Node(value, "")
    content = TemplateContent(
        apple=node.optional_child("apple", _apple), google=node.optional_child("google", _google)
    )
    node.refuse_the_rest()
    return content


def _apple(node: _Node) -> AppleContent:
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
        barcode=node.optional_child("barcode", _barcode),
        locations=node.children("locations", _location, most=MAX_LOCATIONS),
        is_sharing_prohibited=node.flag("sharing_prohibited"),
    )


def _groups(node: _Node) -> dict[str, tuple[FieldContent, ...]]:
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


def _field(node: _Node) -> FieldContent:
    key = node.text("key", most=64)
    if not _NAME.match(key):
        raise ContentRejected("invalid", node.at("key"), "is letters, digits, '_', '.', '-'")
    change_message = node.optional_text("change_message")
    if change_message is not None and "%@" not in change_message:
        raise ContentRejected("invalid", node.at("change_message"), "needs %@ for the new value")
    return FieldContent(
        key=key,
        value=_value(node, "value"),
        label=node.optional_text("label"),
        change_message=change_message,
        currency=node.optional_text("currency", pattern=_CURRENCY),
        date_style=node.optional_choice("date_style", _DATE_STYLES),
        time_style=node.optional_choice("time_style", _DATE_STYLES),
        is_relative=node.flag("is_relative"),
        text_alignment=node.optional_choice("text_alignment", _ALIGNMENTS),
    )


def _value(node: _Node, name: str) -> ValueExpression:
    found = _optional_value(node, name)
    if found is None:
        raise ContentRejected("required", node.at(name), "is required")
    return found


def _optional_value(node: _Node, name: str) -> ValueExpression | None:
    """A constant as plain text, or `{"source", "default"?, "format"?}`."""
    if isinstance(node.get(name), str):
        text = node.optional_text(name, most=MAX_TEXT)
        return ValueExpression(source="text", text=text or "")
    return node.optional_child(name, _expression)


def _expression(node: _Node) -> ValueExpression:
    source = node.text("source", most=100)
    field_name = source.removeprefix(FIELD_PREFIX) if source.startswith(FIELD_PREFIX) else None
    if source not in SOURCES and (field_name is None or not _NAME.match(field_name)):
        known = ", ".join(sorted(SOURCES))
        raise ContentRejected("unknown_source", node.at("source"), f"is field.<name> or {known}")
    format_ = node.optional_choice("format", FORMATS)
    return ValueExpression(
        source=source,
        default=_default(node),
        format=next((known for known in FORMATS if known == format_), "text"),
    )


def _default(node: _Node) -> str | int | None:
    value = node.get("default")
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) >= 2**63:
            raise ContentRejected("invalid", node.at("default"), "is beyond 64 bits")
        return value
    return node.optional_text("default", most=MAX_TEXT)


def _barcode(node: _Node) -> BarcodeContent:
    format_ = node.choice("format", BARCODE_FORMATS)
    message = _optional_value(node, "message")
    default = "iso-8859-1" if format_ == "code128" else "utf-8"
    return BarcodeContent(
        format=format_,
        message=message or ValueExpression(source="pass.code"),
        alternate_text=_optional_value(node, "alternate_text"),
        encoding=node.optional_choice("encoding", ("utf-8", "iso-8859-1")) or default,
    )


def _location(node: _Node) -> LocationContent:
    return LocationContent(
        latitude=_degrees(node, "latitude", 90),
        longitude=_degrees(node, "longitude", 180),
        relevant_text=node.optional_text("relevant_text"),
    )


def _degrees(node: _Node, name: str, most: int) -> str:
    value = node.get(name)
    text = str(value) if isinstance(value, int | float | str) else ""
    if not _DEGREES.match(text) or abs(float(text)) > most:
        raise ContentRejected("invalid", node.at(name), f"is degrees from -{most} to {most}")
    return text


def _google(node: _Node) -> GoogleContent:
    format_ = node.optional_choice("balance_format", ("integer", "decimal", "currency"))
    return GoogleContent(
        issuer_name=node.text("issuer_name"),
        title=node.text("title"),
        logo_url=node.optional_text("logo_url", most=MAX_TEXT, pattern=_URL),
        hero_image_url=node.optional_text("hero_image_url", most=MAX_TEXT, pattern=_URL),
        hex_background_color=node.optional_text("hex_background_color", pattern=_HEX_COLOUR),
        balance_label=node.optional_text("balance_label"),
        balance_format=next((known for known in FORMATS if known == format_), "integer"),
        currency=node.optional_text("currency", pattern=_CURRENCY),
        account_name=_optional_value(node, "account_name"),
        account_id=_optional_value(node, "account_id"),
        barcode=node.optional_child("barcode", _barcode),
        text_modules=node.children("text_modules", _text_module, most=MAX_TEXT_MODULES),
    )


def _text_module(node: _Node) -> TextModuleContent:
    return TextModuleContent(
        key=node.text("key", most=64), header=node.text("header"), body=_value(node, "body")
    )
