"""What a device asks of pass.json; shares no code with what writes it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

STYLES = frozenset(
    {"boardingPass", "coupon", "eventTicket", "generic", "storeCard", "posterGeneric"}
)
FIELD_GROUPS = (
    "headerFields",
    "primaryFields",
    "secondaryFields",
    "auxiliaryFields",
    "backFields",
    "additionalInfoFields",
    "footerFields",
)

#: Phones that know no posters show the second.
_POSTER_AND_TWIN = frozenset({"posterGeneric", "generic"})
_MIN_TOKEN = 16
_REQUIRED_TEXT = (
    "passTypeIdentifier",
    "serialNumber",
    "teamIdentifier",
    "organizationName",
    "description",
)
_DATE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)",
)
#: Barcodes that systems before iOS 27 do not show.
_NEW_BARCODES = frozenset(
    {
        "PKBarcodeFormatEAN13",
        "PKBarcodeFormatCode39",
        "PKBarcodeFormatCodabar",
        "PKBarcodeFormatI2of5",
    }
)
_LIMITS = {"locations": 10, "beacons": 10, "featuredActions": 2}
_MAX_NFC_BYTES = 64


class PassUnreadable(Exception):
    """A device would not accept these bytes; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def check_content(content: Mapping[str, Any]) -> None:
    if content.get("formatVersion") != 1:
        raise PassUnreadable("formatVersion must be 1")
    for name in _REQUIRED_TEXT:
        if not isinstance(content.get(name), str) or not content[name]:
            raise PassUnreadable(f"{name} is missing")
    styles = STYLES.intersection(content)
    if styles == {"posterGeneric"}:
        raise PassUnreadable("a poster without generic beside it is nothing to iOS 26 and before")
    if len(styles) != 1 and styles != _POSTER_AND_TWIN:
        raise PassUnreadable(f"exactly one style is needed, found {sorted(styles)}")
    for style in styles:
        if ("transitType" in content[style]) != (style == "boardingPass"):
            raise PassUnreadable("a boarding pass has a transitType, others have none")
    if ("webServiceURL" in content) != ("authenticationToken" in content):
        raise PassUnreadable("webServiceURL and authenticationToken go together")
    if len(content.get("authenticationToken", " " * _MIN_TOKEN)) < _MIN_TOKEN:
        raise PassUnreadable("the authenticationToken is shorter than 16 characters")
    _check_fields(content)
    _check_dates(content)
    _check_barcodes(content)
    _check_limits(content)


def _check_fields(content: Mapping[str, Any]) -> None:
    for style in STYLES.intersection(content):
        seen: set[str] = set()
        for field in _fields_of(content[style]):
            key = field.get("key")
            if not isinstance(key, str) or not key or key in seen:
                raise PassUnreadable(f"the field key {key!r} is missing or not unique")
            _check_field(key, field)
            seen.add(key)


def _check_field(key: str, field: Mapping[str, Any]) -> None:
    if not isinstance(field.get("value"), str | int | float):
        raise PassUnreadable(f"the field {key} has no value")
    if {"currencyCode", "numberStyle"}.intersection(field) and isinstance(field["value"], str):
        raise PassUnreadable(f"the amount {key} is not a number")
    if {"dateStyle", "timeStyle"}.intersection(field):
        _check_date(key, field["value"])


def _check_dates(content: Mapping[str, Any]) -> None:
    for name in ("expirationDate", "relevantDate"):
        if name in content:
            _check_date(name, content[name])
    for relevant in content.get("relevantDates", []):
        for name, value in relevant.items():
            _check_date(name, value)


def _check_date(name: str, value: object) -> None:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise PassUnreadable(f"{name} is not a W3C date with a zone")


def _check_barcodes(content: Mapping[str, Any]) -> None:
    formats = {barcode.get("format") for barcode in content.get("barcodes", [])}
    if formats and formats <= _NEW_BARCODES:
        raise PassUnreadable("none of the barcodes is shown by iOS 26 and before")
    for barcode in content.get("barcodes", []):
        try:
            barcode["message"].encode(barcode.get("messageEncoding", "iso-8859-1"))
        except (UnicodeEncodeError, LookupError, KeyError, AttributeError) as wrong:
            raise PassUnreadable("a barcode's message cannot be encoded") from wrong
        if not str(barcode.get("format", "")).startswith("PKBarcodeFormat"):
            raise PassUnreadable("a barcode has no format")


def _check_limits(content: Mapping[str, Any]) -> None:
    for name, most in _LIMITS.items():
        if len(content.get(name, [])) > most:
            raise PassUnreadable(f"more than {most} {name}")
    message = content.get("nfc", {}).get("message", "-")
    if not 1 <= len(message.encode()) <= _MAX_NFC_BYTES:
        raise PassUnreadable(f"the NFC message is not 1 to {_MAX_NFC_BYTES} bytes")


def fields_of(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for style in STYLES.intersection(content):
        yield from _fields_of(content[style])


def _fields_of(groups: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for group in FIELD_GROUPS:
        yield from groups.get(group, [])
