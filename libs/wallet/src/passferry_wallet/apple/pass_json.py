"""pass.json from a typed model: checked, and byte for byte the same for the same content."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

import orjson

from passferry_wallet.barcode import check_barcode
from passferry_wallet.rejections import PassContentRejected

Style = Literal["boardingPass", "coupon", "eventTicket", "generic", "storeCard"]
STYLES = frozenset({"boardingPass", "coupon", "eventTicket", "generic", "storeCard"})
GROUPS = {
    "header": "headerFields",
    "primary": "primaryFields",
    "secondary": "secondaryFields",
    "auxiliary": "auxiliaryFields",
    "back": "backFields",
}
BARCODE_FORMATS = {
    "qr": "PKBarcodeFormatQR",
    "pdf417": "PKBarcodeFormatPDF417",
    "aztec": "PKBarcodeFormatAztec",
    "code128": "PKBarcodeFormatCode128",
}
MAX_FIELDS_PER_GROUP = 20
MAX_LOCATIONS = 10
MIN_TOKEN = 16
MAX_TEXT = 10_000
_COLOR = re.compile(
    r"^(?:rgb\(\s*\d{1,3}\s*,\s*\d{1,3}\s*,\s*\d{1,3}\s*\)|#(?:[0-9a-fA-F]{3}){1,2})$"
)
_CURRENCY = re.compile(r"^[A-Z]{3}$")

#: A Decimal becomes a JSON number with exactly its digits.
FieldValue = str | int | Decimal | datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """`currency_code` needs a number as value, `is_date` a datetime with its zone."""

    key: str
    value: FieldValue
    label: str | None = None
    change_message: str | None = None
    currency_code: str | None = None
    text_alignment: str | None = None
    date_style: str | None = None
    time_style: str | None = None
    is_relative: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Barcode:
    kind: str
    message: str
    encoding: str = "iso-8859-1"
    alternate_text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Degrees; decimal text keeps the digits that were given."""

    latitude: Decimal
    longitude: Decimal
    relevant_text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PassContent:
    pass_type_identifier: str
    team_identifier: str
    serial_number: str
    organization_name: str
    description: str
    style: str
    web_service_url: str | None = None
    authentication_token: str | None = None
    fields: Mapping[str, tuple[Field, ...]] = field(default_factory=dict)
    barcode: Barcode | None = None
    logo_text: str | None = None
    background_color: str | None = None
    foreground_color: str | None = None
    label_color: str | None = None
    locations: tuple[Location, ...] = ()
    relevant_at: datetime | None = None
    expires_at: datetime | None = None
    is_voided: bool = False
    is_sharing_prohibited: bool = False
    transit_type: str | None = None
    user_info: Mapping[str, Any] | None = None


def build_pass_json(content: PassContent) -> bytes:
    """Canonical UTF-8 JSON; raises `PassContentRejected` naming the field at fault."""
    _check(content)
    body: dict[str, Any] = {
        "formatVersion": 1,
        "passTypeIdentifier": content.pass_type_identifier,
        "teamIdentifier": content.team_identifier,
        "serialNumber": content.serial_number,
        "organizationName": content.organization_name,
        "description": content.description,
        content.style: _style(content),
        "webServiceURL": content.web_service_url,
        "authenticationToken": content.authentication_token,
        "logoText": content.logo_text,
        "backgroundColor": content.background_color,
        "foregroundColor": content.foreground_color,
        "labelColor": content.label_color,
        "sharingProhibited": content.is_sharing_prohibited or None,
        "voided": content.is_voided or None,
        "userInfo": content.user_info,
        "locations": [_location(each) for each in content.locations] or None,
    }
    if content.expires_at is not None:
        body["expirationDate"] = w3c_date(content.expires_at, "expirationDate")
    if content.relevant_at is not None:
        # Deprecated since iOS 18, and the only one that older devices know.
        body["relevantDate"] = w3c_date(content.relevant_at, "relevantDate")
        body["relevantDates"] = [{"date": body["relevantDate"]}]
    if content.barcode is not None and not content.is_voided:
        body["barcodes"] = _barcodes(content.barcode)
        body["barcode"] = body["barcodes"][0]
    present = {name: value for name, value in body.items() if value is not None}
    return orjson.dumps(present, option=orjson.OPT_SORT_KEYS, default=_exact)


def w3c_date(moment: datetime, name: str) -> str:
    """`2026-05-14T07:31:05Z`: devices refuse a time without its zone."""
    if moment.tzinfo is None:
        raise PassContentRejected("date_without_zone", name, "a time needs its zone")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def minor_to_decimal(amount_minor: int, scale: int) -> Decimal:
    """1250 at scale 2 is 12.50, exactly."""
    return Decimal(amount_minor).scaleb(-scale)


def _exact(value: object) -> object:
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    raise TypeError(type(value).__name__)


def _check(content: PassContent) -> None:
    required = {
        "passTypeIdentifier": content.pass_type_identifier,
        "teamIdentifier": content.team_identifier,
        "serialNumber": content.serial_number,
        "organizationName": content.organization_name,
        "description": content.description,
    }
    for name, value in required.items():
        if not value or len(value) > MAX_TEXT:
            raise PassContentRejected("field_missing", name, "is required")
    if content.style not in STYLES:
        raise PassContentRejected("style_unknown", "style", f"use one of {sorted(STYLES)}")
    if (content.web_service_url is None) != (content.authentication_token is None):
        raise PassContentRejected(
            "web_service_incomplete",
            "webServiceURL",
            "give it with authenticationToken, or neither",
        )
    token = content.authentication_token
    if token is not None and len(token) < MIN_TOKEN:
        raise PassContentRejected(
            "token_too_short", "authenticationToken", f"at least {MIN_TOKEN} characters"
        )
    if len(content.locations) > MAX_LOCATIONS:
        raise PassContentRejected("too_many_locations", "locations", f"at most {MAX_LOCATIONS}")
    colors = (content.background_color, content.foreground_color, content.label_color)
    names = ("backgroundColor", "foregroundColor", "labelColor")
    for name, color in zip(names, colors, strict=True):
        if color is not None and not _COLOR.match(color):
            raise PassContentRejected("color_invalid", name, "use rgb(r,g,b) or #RRGGBB")


def _style(content: PassContent) -> dict[str, Any]:
    seen: set[str] = set()
    style: dict[str, Any] = {}
    for group, fields in content.fields.items():
        if group not in GROUPS:
            raise PassContentRejected("group_unknown", group, f"use one of {sorted(GROUPS)}")
        if len(fields) > MAX_FIELDS_PER_GROUP:
            raise PassContentRejected("too_many_fields", group, f"at most {MAX_FIELDS_PER_GROUP}")
        for each in fields:
            if each.key in seen:
                raise PassContentRejected("field_key_repeated", each.key, "keys must be unique")
            seen.add(each.key)
        if fields:
            style[GROUPS[group]] = [_field(each, group) for each in fields]
    if content.style == "boardingPass":
        if content.transit_type is None:
            raise PassContentRejected("field_missing", "transitType", "a boarding pass needs it")
        style["transitType"] = content.transit_type
    return style


def _field(each: Field, group: str) -> dict[str, Any]:
    value: Any = each.value
    if isinstance(value, datetime):
        value = w3c_date(value, each.key)
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise PassContentRejected("text_too_long", each.key, f"at most {MAX_TEXT} characters")
    body: dict[str, Any] = {
        "key": each.key,
        "value": value,
        "label": each.label,
        "changeMessage": each.change_message,
        "dateStyle": each.date_style,
        "timeStyle": each.time_style,
        "isRelative": each.is_relative or None,
    }
    if each.currency_code is not None:
        is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
        if not is_number or not _CURRENCY.match(each.currency_code):
            raise PassContentRejected(
                "currency_invalid", each.key, "a currency needs a number and an ISO 4217 code"
            )
        body["currencyCode"] = each.currency_code
    if each.text_alignment is not None and group not in {"primary", "back"}:
        body["textAlignment"] = each.text_alignment
    return {name: item for name, item in body.items() if item is not None}


def _location(each: Location) -> dict[str, Any]:
    if not (-90 <= each.latitude <= 90 and -180 <= each.longitude <= 180):
        raise PassContentRejected("location_invalid", "locations", "degrees out of range")
    body: dict[str, Any] = {"latitude": each.latitude, "longitude": each.longitude}
    if each.relevant_text is not None:
        body["relevantText"] = each.relevant_text
    return body


def _barcodes(barcode: Barcode) -> list[dict[str, Any]]:
    """The wanted one first; Code 128 gets a QR code behind it, for the Apple Watch."""
    if barcode.kind not in BARCODE_FORMATS:
        raise PassContentRejected(
            "barcode_unknown", "barcode", f"use one of {sorted(BARCODE_FORMATS)}"
        )
    check_barcode(barcode.kind, barcode.message, barcode.encoding)
    kinds = [barcode.kind] + (["qr"] if barcode.kind == "code128" else [])
    bodies = []
    for kind in kinds:
        body: dict[str, Any] = {
            "format": BARCODE_FORMATS[kind],
            "message": barcode.message,
            "messageEncoding": barcode.encoding,
        }
        if barcode.alternate_text is not None:
            body["altText"] = barcode.alternate_text
        bodies.append(body)
    return bodies
