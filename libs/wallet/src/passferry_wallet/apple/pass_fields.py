"""The fields of a pass: their values and what may stand beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from passferry_wallet.apple.json_frame import JsonFrame, encoded, hole
from passferry_wallet.apple.pass_content import (
    CurrencyAmount,
    ExactNumber,
    FieldGroup,
    PassField,
    WrittenFields,
)
from passferry_wallet.apple.pass_values import (
    clean_text,
    currency_code,
    exact_number,
    items_at_most,
    w3c_date,
    zoned_date_text,
)
from passferry_wallet.apple.rejections import PassContentRejected

MAX_FIELDS_PER_GROUP = 50
#: More of these is never shown, on any device.
MAX_HEADER_FIELDS = 3
MAX_PRIMARY_FIELDS = 2

GROUP_KEYS: Mapping[FieldGroup, str] = {
    "header": "headerFields",
    "primary": "primaryFields",
    "secondary": "secondaryFields",
    "auxiliary": "auxiliaryFields",
    "back": "backFields",
    "additionalInfo": "additionalInfoFields",
    "footer": "footerFields",
}
_MOST_IN_GROUP: Mapping[FieldGroup, int] = {
    "header": MAX_HEADER_FIELDS,
    "primary": MAX_PRIMARY_FIELDS,
}

#: Members of a field that come from a pass, in the order of a frame's values.
_OF_THE_PASS = ("value", "currencyCode", "attributedValue", "semantics")

_KEY = re.compile(r"[\x21-\x7e]{1,64}")
_LINK = re.compile(r"<a href=(\"[^\"<>]*\"|'[^'<>]*')>[^<>]*</a>")
_SAFE_TARGET = re.compile(r"[\"'](?:https?://|tel:|mailto:|sms:)[^\s]*[\"']")


class FieldFrame:
    """Fields of one shape: all but the values of a pass is checked and encoded once.

    Of `field`, the value, the attributed value and the semantics are of one such pass: others
    have the same of them, and a value of the same kind.
    """

    def __init__(self, group: FieldGroup, field: PassField) -> None:
        """Raises PassContentRejected, as do the others."""
        self._where = f"fields.{field.key}"
        around = _field(group, field, set())
        own = [name for name in _OF_THE_PASS if name in around]
        holes = {name: hole(number) for number, name in enumerate(own)}
        self._frame = JsonFrame(encoded(around | holes), count=len(own))

    def text(self, text: str, *beside: bytes) -> bytes:
        """The whole field as JSON. `beside` is what else is of the pass, as JSON and checked:
        the attributed value before the semantics."""
        return self._frame.filled(orjson.dumps(clean_text(text, self._where)), *beside)

    def date(self, moment: datetime, *beside: bytes) -> bytes:
        return self._frame.filled(orjson.dumps(w3c_date(moment, self._where)), *beside)

    def number(self, unscaled: int, scale: int, *beside: bytes) -> bytes:
        value = exact_number(unscaled, scale, self._where)
        return self._frame.filled(orjson.dumps(value), *beside)

    def money(self, amount: CurrencyAmount, *beside: bytes) -> bytes:
        value = exact_number(amount.amount_minor, amount.scale, self._where)
        code = currency_code(amount.currency_code, self._where)
        return self._frame.filled(orjson.dumps(value), orjson.dumps(code), *beside)


def most_in_group(group: FieldGroup) -> int:
    return _MOST_IN_GROUP.get(group, MAX_FIELDS_PER_GROUP)


def field_groups(
    fields: Mapping[FieldGroup, tuple[PassField, ...] | WrittenFields],
) -> dict[str, Any]:
    """Group keys of pass.json to their fields, in order; empty groups are left out."""
    seen: set[str] = set()
    groups: dict[str, Any] = {}
    for group, members in fields.items():
        if group not in GROUP_KEYS:
            raise PassContentRejected("unknown", f"fields.{group}", "is no group of fields")
        if isinstance(members, WrittenFields):
            groups[GROUP_KEYS[group]] = [members.body]
            continue
        items_at_most(members, most_in_group(group), f"fields.{group}")
        if members:
            groups[GROUP_KEYS[group]] = [_field(group, member, seen) for member in members]
    return groups


def _field(group: FieldGroup, field: PassField, seen: set[str]) -> dict[str, Any]:
    where = f"fields.{field.key}"
    if not _KEY.fullmatch(field.key):
        raise PassContentRejected(
            "key_invalid", f"fields.{group}", "a key is 1 to 64 ASCII characters without spaces"
        )
    if field.key in seen:
        raise PassContentRejected("duplicate", where, "the key is used twice in the pass")
    seen.add(field.key)
    written: dict[str, Any] = {"key": field.key, "value": _value(field, where)}
    if field.label is not None:
        written["label"] = clean_text(field.label, where)
    if isinstance(field.value, CurrencyAmount):
        written["currencyCode"] = currency_code(field.value.currency_code, where)
    if field.change_message is not None:
        written["changeMessage"] = _change_message(field.change_message, where)
    if field.attributed_value is not None:
        written["attributedValue"] = attributed_text(field.attributed_value, where)
    _add_styles(written, field, where)
    _add_placement(written, group, field, where)
    return written


def _value(field: PassField, where: str) -> Any:
    value = field.value
    if isinstance(value, str):
        is_date = field.date_style is not None or field.time_style is not None
        return zoned_date_text(value, where) if is_date else clean_text(value, where)
    if isinstance(value, bool):
        raise PassContentRejected("number_invalid", where, "must be a text, a number or a date")
    if isinstance(value, int):
        return exact_number(value, 0, where)
    if isinstance(value, CurrencyAmount):
        return exact_number(value.amount_minor, value.scale, where)
    if isinstance(value, ExactNumber):
        return exact_number(value.unscaled, value.scale, where)
    return w3c_date(value, where)


def _change_message(message: str, where: str) -> str:
    if "%@" not in message:
        raise PassContentRejected(
            "change_message_invalid", where, "the change message needs %@ for the new value"
        )
    return clean_text(message, where)


def attributed_text(text: str, where: str) -> str:
    """Links are all that Wallet shows; any other markup, or another scheme, is refused."""
    cleaned = clean_text(text, where)
    for target in _LINK.findall(cleaned):
        if not _SAFE_TARGET.fullmatch(target):
            raise PassContentRejected("markup_invalid", where, "links lead to https, tel or mailto")
    if re.search("[<>]", _LINK.sub("", cleaned)):
        raise PassContentRejected("markup_invalid", where, 'only <a href="…">…</a> is allowed')
    return cleaned


def _add_styles(written: dict[str, Any], field: PassField, where: str) -> None:
    has_date_style = field.date_style is not None or field.time_style is not None
    is_date = has_date_style or isinstance(field.value, datetime)
    if has_date_style and not isinstance(field.value, str | datetime):
        raise PassContentRejected("style_invalid", where, "a number has no date style")
    if field.number_style is not None:
        if isinstance(field.value, CurrencyAmount) or is_date or isinstance(field.value, str):
            raise PassContentRejected("style_invalid", where, "only plain numbers have this style")
        written["numberStyle"] = f"PKNumberStyle{field.number_style}"
    if (field.is_relative or field.ignores_time_zone) and not is_date:
        raise PassContentRejected("style_invalid", where, "only a date is relative or zoned")
    if field.date_style is not None:
        written["dateStyle"] = f"PKDateStyle{field.date_style}"
    if field.time_style is not None:
        written["timeStyle"] = f"PKDateStyle{field.time_style}"
    if field.is_relative:
        written["isRelative"] = True
    if field.ignores_time_zone:
        written["ignoresTimeZone"] = True


def _add_placement(
    written: dict[str, Any], group: FieldGroup, field: PassField, where: str
) -> None:
    if field.text_alignment is not None:
        if group in {"primary", "back"}:
            raise PassContentRejected("style_invalid", where, "is not aligned in this group")
        written["textAlignment"] = f"PKTextAlignment{field.text_alignment}"
    if field.data_detector_types is not None:
        if group != "back":
            raise PassContentRejected("style_invalid", where, "data is detected on the back only")
        written["dataDetectorTypes"] = [
            f"PKDataDetectorType{name}" for name in field.data_detector_types
        ]
    if field.row is not None:
        if group != "auxiliary":
            raise PassContentRejected("style_invalid", where, "only auxiliary fields have rows")
        written["row"] = field.row
    if field.semantics is not None:
        written["semantics"] = dict(field.semantics)
