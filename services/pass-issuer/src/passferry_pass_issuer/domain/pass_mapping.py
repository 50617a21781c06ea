"""What a pass.json says, as a template of ours and as the values of one pass."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from passferry_contracts.text import is_storable
from passferry_pass_issuer.domain.issuing import MAX_FIELD_TEXT, MAX_FIELDS, is_code
from passferry_pass_issuer.domain.pass_import import (
    MAX_SERIAL_NUMBER,
    PassFiles,
    SourcePass,
    SourceTemplate,
    Unmapped,
    layout_key,
    read_json,
)
from passferry_pass_issuer.domain.pass_strings import read_strings
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.template_fitting import Piece
from passferry_pass_issuer.domain.value_expression import Scalar
from passferry_pass_issuer.domain.zoned_moment import zoned_moment

STYLES = ("boardingPass", "coupon", "eventTicket", "storeCard", "posterGeneric", "generic")
PROTOCOLS = {
    "coupon": "COUPON",
    "eventTicket": "EVENT_TICKET",
    "boardingPass": "EVENT_TICKET",
    "storeCard": "MEMBERSHIP",
    "generic": "MEMBERSHIP",
    "posterGeneric": "MEMBERSHIP",
}
_GROUPS = {
    "headerFields": "header",
    "primaryFields": "primary",
    "secondaryFields": "secondary",
    "auxiliaryFields": "auxiliary",
    "backFields": "back",
    "additionalInfoFields": "additional_info",
    "footerFields": "footer",
}
#: Text that is the same for everybody on most cards; what differs is found by comparing passes.
_CONSTANT_GROUPS = frozenset({"back", "additional_info"})
_FIELD_MEMBERS = {
    "label": "label",
    "changeMessage": "change_message",
    "textAlignment": "text_alignment",
    "dateStyle": "date_style",
    "timeStyle": "time_style",
    "isRelative": "is_relative",
    "ignoresTimeZone": "ignores_time_zone",
    "numberStyle": "number_style",
    "attributedValue": "attributed_value",
    "row": "row",
    "semantics": "semantics",
}
_BARCODES = {
    "PKBarcodeFormatQR": "qr",
    "PKBarcodeFormatPDF417": "pdf417",
    "PKBarcodeFormatAztec": "aztec",
    "PKBarcodeFormatCode128": "code128",
}
_COLOURS = {
    "backgroundColor": "background_color",
    "foregroundColor": "foreground_color",
    "labelColor": "label_color",
    "stripColor": "strip_color",
    "footerBackgroundColor": "footer_background_color",
}
#: Said by named members, by the pass itself, or by us.
_HANDLED = frozenset(
    {
        "formatVersion",
        "passTypeIdentifier",
        "teamIdentifier",
        "serialNumber",
        "organizationName",
        "description",
        "logoText",
        "webServiceURL",
        "authenticationToken",
        "expirationDate",
        "voided",
        "barcode",
        "barcodes",
        "locations",
        "sharingProhibited",
        *_COLOURS,
        *STYLES,
    }
)
_NAME = re.compile(r"[^A-Za-z0-9_.-]")
_STRINGS = re.compile(r"(?P<language>[A-Za-z-]{2,20})\.lproj/pass\.strings")
_PASS_TYPE = re.compile(r"pass\.[A-Za-z0-9.-]{1,120}")
_SERIAL = re.compile(r"[\x21-\x7e]+")
#: Shorter ones are none by Apple's rule.
_TOKEN = re.compile(r"[\x21-\x7e]{16,256}")
_TEAM = re.compile(r"[A-Za-z0-9]{1,32}")
BARCODE_FIELD = "barcode_message"


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedPass:
    template: SourceTemplate
    issued: SourcePass


@dataclass(slots=True)
class _Reading:
    """One pass while it is read."""

    name: str
    content: Mapping[str, Any]
    balance_field: str | None
    values: dict[str, Scalar] = field(default_factory=dict)
    unmapped: list[Unmapped] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    opening_balance_minor: int | None = None

    def leave(self, path: str, message: str) -> None:
        self.unmapped.append(Unmapped(path, message))

    def text(self, name: str, *, most: int) -> str | None:
        value = self.content.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or not 0 < len(value) <= most or not is_storable(value):
            raise ContentRejected(
                "invalid",
                f"{self.name}/pass.json.{name}",
                f"must be text of 1 to {most} characters",
            )
        return value

    def required(self, name: str, *, most: int, pattern: re.Pattern[str] | None = None) -> str:
        value = self.text(name, most=most)
        if value is None or (pattern is not None and not pattern.fullmatch(value)):
            raise ContentRejected(
                "invalid", f"{self.name}/pass.json.{name}", "is missing or no name of its kind"
            )
        return value


def map_pass(files: PassFiles, *, balance_field: str | None = None) -> MappedPass:
    """Raises `ContentRejected` for what is no pass; what cannot be kept is listed."""
    where = f"{files.name}/pass.json"
    content = read_json(where, files.files.get("pass.json", b""))
    if not isinstance(content, dict) or content.get("formatVersion") != 1:
        raise ContentRejected("not_a_pass", where, "is no pass of format version 1")
    reading = _Reading(files.name, content, balance_field)
    styles = [each for each in STYLES if isinstance(content.get(each), dict)]
    if not styles:
        raise ContentRejected("not_a_pass", where, f"has none of the styles {', '.join(STYLES)}")
    style = "posterGeneric" if "posterGeneric" in styles else styles[0]
    pass_type = reading.required("passTypeIdentifier", most=125, pattern=_PASS_TYPE)
    team = reading.required("teamIdentifier", most=32, pattern=_TEAM)
    images = {name: data for name, data in files.files.items() if name.endswith(".png")}
    apple = _apple(reading, style, files)
    key = layout_key(
        pass_type, team, _shape(apple), sorted((name, _digest(images[name])) for name in images)
    )
    _leave_files(reading, files)
    # The reading's list so far is about the layout; what follows is about this pass alone.
    template = SourceTemplate(
        key=key,
        name=str(apple["description"])[:200],
        protocol=PROTOCOLS[style],
        pass_type_identifier=pass_type,
        team_identifier=team,
        apple=apple,
        files=images,
        unmapped=tuple(reading.unmapped),
    )
    return MappedPass(template=template, issued=_issued(reading, key, pass_type))


def _issued(reading: _Reading, key: str, pass_type: str) -> SourcePass:
    about: list[Unmapped] = []
    serial = reading.required("serialNumber", most=MAX_SERIAL_NUMBER, pattern=_SERIAL)
    token = reading.content.get("authenticationToken")
    has_token = isinstance(token, str) and _TOKEN.fullmatch(token) is not None
    if not has_token:
        about.append(
            Unmapped("authenticationToken", "is missing: copies on phones cannot be updated")
        )
    if len(reading.values) > MAX_FIELDS:
        raise ContentRejected(
            "too_many", f"{reading.name}/pass.json", f"has more than {MAX_FIELDS} values"
        )
    message = _first_barcode(reading.content)[1]
    return SourcePass(
        name=reading.name,
        template_key=key,
        serial_number=serial,
        pass_type_identifier=pass_type,
        external_id=serial,
        values=reading.values,
        code=message if message is not None and is_code(message) else None,
        opening_balance_minor=reading.opening_balance_minor,
        expires_at=_moment(reading, "expirationDate"),
        is_voided=reading.content.get("voided") is True,
        authentication_token=str(token) if has_token else None,
        unmapped=tuple(about),
    )


def _moment(reading: _Reading, name: str) -> datetime | None:
    text = reading.text(name, most=40)
    if text is None:
        return None
    moment = zoned_moment(text)
    if moment is None:
        raise ContentRejected(
            "invalid", f"{reading.name}/pass.json.{name}", "is no moment with its zone"
        )
    return moment


def _apple(reading: _Reading, style: str, files: PassFiles) -> Piece:
    content = reading.content
    part = content[style]
    transit = part.get("transitType")
    rest = _without_expressions(
        reading, {name: value for name, value in content.items() if name not in _HANDLED}, ""
    )
    members: dict[str, Any] = {
        "style": style,
        "organization_name": reading.required("organizationName", most=200),
        "description": reading.required("description", most=200),
        "transit_type": (
            transit.removeprefix("PKTransitType") if isinstance(transit, str) else None
        ),
        "logo_text": content.get("logoText") or None,
        **{ours: content.get(theirs) for theirs, ours in _COLOURS.items()},
        "fields": _fields(reading, style, part),
        "barcode": _barcode(reading),
        "locations": _locations(content.get("locations")),
        "sharing_prohibited": content.get("sharingProhibited"),
        "strings": _strings(reading, files),
        # In Apple's own names: a template may take them over as they are.
        "document": Piece("", _plain(rest)) if rest else None,
    }
    names = {"logo_text": "logoText", "sharing_prohibited": "sharingProhibited"} | {
        ours: theirs for theirs, ours in _COLOURS.items()
    }
    return Piece("", members, {**names, "strings": "pass.strings"})


def _fields(reading: _Reading, style: str, part: Mapping[str, Any]) -> Piece:
    groups: dict[str, Any] = {}
    for theirs, ours in _GROUPS.items():
        given = part.get(theirs)
        if not isinstance(given, list):
            continue
        items = [
            item
            for at, each in enumerate(given)
            if (item := _field(reading, f"{style}.{theirs}.{at}", ours, each)) is not None
        ]
        if items:
            groups[ours] = items
    for name in part:
        if name not in _GROUPS and name != "transitType":
            reading.leave(f"{style}.{name}", "is no group of fields")
    origin_names = {ours: theirs for theirs, ours in _GROUPS.items()}
    return Piece(style, groups, origin_names)


def _field(reading: _Reading, path: str, group: str, given: Any) -> Piece | None:
    if not isinstance(given, Mapping) or given.get("value") is None:
        reading.leave(path, "has no value")
        return None
    key = _key(reading, given.get("key"), path)
    members: dict[str, Any] = {"key": key, "value": _value(reading, path, group, key, given)}
    names = {"value": "value", "key": "key"}
    for theirs, ours in _FIELD_MEMBERS.items():
        if given.get(theirs) not in (None, ""):
            kept = _without_expressions(reading, {theirs: given[theirs]}, f"{path}.")
            members[ours] = _plain(kept.get(theirs))
            names[ours] = theirs
    detectors = given.get("dataDetectorTypes")
    if isinstance(detectors, list):
        members["data_detectors"] = [
            str(each).removeprefix("PKDataDetectorType") for each in detectors
        ]
        names["data_detectors"] = "dataDetectorTypes"
    known = {*_FIELD_MEMBERS, "key", "value", "currencyCode", "dataDetectorTypes"}
    for name in given:
        if name not in known:
            reading.leave(f"{path}.{name}", "is not known of a field")
    return Piece(path, members, names)


def _key(reading: _Reading, given: Any, path: str) -> str:
    plain = _NAME.sub("_", str(given or ""))[:60]
    key = plain if re.match(r"[A-Za-z]", plain) else f"f_{plain}"
    number = 2
    unique = key
    while unique in reading.keys:
        unique = f"{key}_{number}"
        number += 1
    reading.keys.add(unique)
    if unique != given:
        reading.leave(f"{path}.key", f"is {unique} now: keys are letters, digits, '_', '.', '-'")
    return unique


def _value(reading: _Reading, path: str, group: str, key: str, given: Mapping[str, Any]) -> Any:
    raw = given["value"]
    if key == reading.balance_field and isinstance(raw, int) and not isinstance(raw, bool):
        reading.opening_balance_minor = raw
        return {"source": "balance", "format": "integer"}
    is_date = any(name in given for name in ("dateStyle", "timeStyle"))
    value, format_ = _scalar(reading, path, raw, given.get("currencyCode"))
    if is_date and isinstance(value, str):
        format_ = "date"
    if group in _CONSTANT_GROUPS and isinstance(value, str) and format_ == "text":
        return value
    reading.values[key] = value
    return {"source": f"field.{key}", "format": format_}


def _scalar(reading: _Reading, path: str, raw: Any, currency: Any) -> tuple[Scalar, str]:
    if isinstance(raw, int) and not isinstance(raw, bool) and currency is None:
        if abs(raw) < 2**63:
            return raw, "integer"
        raw = str(raw)
    if isinstance(raw, int | Decimal) and not isinstance(raw, bool):
        text = format(raw, "f") if isinstance(raw, Decimal) else str(raw)
        if isinstance(currency, str):
            reading.leave(f"{path}.currencyCode", "is written into the text of the value")
            return f"{text[:60]} {currency[:3]}", "text"
        reading.leave(f"{path}.value", "is kept as text: numbers of a pass are whole")
        return text[:MAX_FIELD_TEXT], "text"
    text = raw if isinstance(raw, str) else str(raw)
    clean = "".join(each for each in text.replace("\r\n", "\n") if is_storable(each))
    if clean != text or len(clean) > MAX_FIELD_TEXT:
        reading.leave(
            f"{path}.value", f"lost control characters, or what is beyond {MAX_FIELD_TEXT}"
        )
    return clean[:MAX_FIELD_TEXT], "text"


def _first_barcode(content: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, str | None]:
    several = content.get("barcodes")
    given = several[0] if isinstance(several, list) and several else content.get("barcode")
    if not isinstance(given, Mapping):
        return None, None
    message = given.get("message")
    return given, message if isinstance(message, str) and message else None


def _barcode(reading: _Reading) -> Piece | None:
    given, message = _first_barcode(reading.content)
    several = reading.content.get("barcodes")
    origin = "barcodes.0" if isinstance(several, list) and several else "barcode"
    if isinstance(several, list) and len(several) > 1:
        reading.leave("barcodes", "are several: the first is kept")
    if given is None or message is None:
        return None
    format_ = _BARCODES.get(str(given.get("format")))
    if format_ is None:
        reading.leave(f"{origin}.format", "is none that a template knows: the code is left out")
        return None
    source: Any = {"source": "pass.code"}
    if not is_code(message):
        source = {"source": f"field.{BARCODE_FIELD}"}
        reading.values[BARCODE_FIELD] = message[:MAX_FIELD_TEXT]
        if len(message) > MAX_FIELD_TEXT or not is_storable(message):
            raise ContentRejected(
                "invalid", f"{reading.name}/pass.json.{origin}.message", "cannot be kept whole"
            )
    alternate = given.get("altText")
    alternate_text: Any = None
    if isinstance(alternate, str) and alternate:
        alternate_text = source if alternate == message else {"source": "field.barcode_text"}
        if alternate != message:
            reading.values["barcode_text"] = alternate[:MAX_FIELD_TEXT]
    encoding = str(given.get("messageEncoding", "")).lower()
    return Piece(
        origin,
        {
            "format": format_,
            "message": source,
            "alternate_text": alternate_text,
            "encoding": encoding if encoding in {"utf-8", "iso-8859-1"} else None,
        },
        {"alternate_text": "altText", "encoding": "messageEncoding"},
    )


def _locations(given: Any) -> list[Piece] | None:
    if not isinstance(given, list):
        return None
    found = [
        Piece(
            f"locations.{at}",
            {
                "latitude": _plain(each.get("latitude")),
                "longitude": _plain(each.get("longitude")),
                "altitude": _plain(each.get("altitude")),
                "relevant_text": each.get("relevantText"),
            },
            {"relevant_text": "relevantText"},
        )
        for at, each in enumerate(given)
        if isinstance(each, Mapping)
    ]
    return found or None


def _strings(reading: _Reading, files: PassFiles) -> Piece | None:
    languages: dict[str, Any] = {}
    for name, data in sorted(files.files.items()):
        found = _STRINGS.fullmatch(name)
        if found is None:
            continue
        texts = read_strings(data)
        if texts is None:
            reading.leave(name, "cannot be read")
        elif texts:
            languages[found["language"]] = Piece(name, texts)
    return Piece("", languages) if languages else None


def _leave_files(reading: _Reading, files: PassFiles) -> None:
    for name in sorted(files.files):
        is_known = name in {"pass.json", "manifest.json", "signature"} or name.endswith(".png")
        if not is_known and not _STRINGS.fullmatch(name):
            reading.leave(name, "is no image and no translation")


def _without_expressions(reading: _Reading, given: Mapping[str, Any], path: str) -> dict[str, Any]:
    """What would read as an expression of ours could show what the pass was never to show."""
    kept = {}
    for name, value in given.items():
        if _has_expression(value):
            reading.leave(f"{path}{name}", "has a member `source`, which means another thing here")
        else:
            kept[name] = value
    return kept


def _has_expression(value: Any) -> bool:
    if isinstance(value, Mapping):
        return isinstance(value.get("source"), str) or any(map(_has_expression, value.values()))
    return isinstance(value, list) and any(map(_has_expression, value))


def _plain(value: Any) -> Any:
    """JSON as a template holds it: exact numbers as text where they were text before."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(each) for each in value]
    return value


def _shape(value: Any) -> Any:
    """A layout without its constants, which may differ from pass to pass."""
    if isinstance(value, Mapping):
        is_field = "key" in value and "value" in value
        return {
            name: (
                None
                if is_field and name == "value" and isinstance(each, str)
                else _leafless(each)
                if name == "document"
                else _shape(each)
            )
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [_shape(each) for each in value]
    return value


def _leafless(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _leafless(each) for name, each in value.items()}
    return [_leafless(each) for each in value] if isinstance(value, list) else None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
