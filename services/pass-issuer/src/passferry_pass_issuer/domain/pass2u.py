"""Models and passes of Pass2U, in the words of its public Pass API.

The API documents what a pass is told (`fields` by key, `barcode`, `expirationDate`, `images`); how
a model is written down is not published, so those members are assumptions (see the how-to).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from passferry_contracts.text import is_storable
from passferry_pass_issuer.domain.issuing import MAX_FIELD_TEXT, MAX_FIELDS, is_code
from passferry_pass_issuer.domain.pass_import import (
    SourcePass,
    SourceTemplate,
    Unmapped,
    layout_key,
    read_json,
)
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.template_fitting import Piece
from passferry_pass_issuer.domain.value_expression import Scalar

MAX_BYTES = 8 * 1024 * 1024
MAX_MODELS = 50
MAX_PASSES = 1_000
MAX_COLUMNS = 80
MAX_CELL = 10_000

_STYLES = {
    "storecard": ("storeCard", "MEMBERSHIP"),
    "membershipcard": ("storeCard", "MEMBERSHIP"),
    "coupon": ("coupon", "COUPON"),
    "eventticket": ("eventTicket", "EVENT_TICKET"),
    "generic": ("generic", "MEMBERSHIP"),
}
_GROUPS = ("header", "primary", "secondary", "auxiliary", "back")
_BARCODES = {"qr": "qr", "qrcode": "qr", "pdf417": "pdf417", "aztec": "aztec", "code128": "code128"}
_MODEL_MEMBERS = {
    "logoText": "logo_text",
    "backgroundColor": "background_color",
    "foregroundColor": "foreground_color",
    "labelColor": "label_color",
    "sharingProhibited": "sharing_prohibited",
}
_KNOWN_MODEL = frozenset(
    {
        *_MODEL_MEMBERS,
        "modelId",
        "name",
        "style",
        "organizationName",
        "description",
        "passTypeIdentifier",
        "teamIdentifier",
        "fields",
        "barcode",
        "locations",
        "images",
    }
)
_KNOWN_PASS = frozenset({"passId", "modelId", "barcode", "fields", "expirationDate", "images"})
#: Columns of a CSV that are no fields.
_COLUMNS = {
    "passid": "passId",
    "modelid": "modelId",
    "barcode": "barcode",
    "barcodemessage": "barcode",
    "alttext": "altText",
    "expirationdate": "expirationDate",
}


@dataclass(frozen=True, slots=True)
class RefusedPass:
    name: str
    refusal: ContentRejected


@dataclass(frozen=True, slots=True)
class Export:
    templates: tuple[SourceTemplate, ...]
    passes: tuple[SourcePass | RefusedPass, ...]


def read_export(data: bytes) -> Export:
    """JSON (a model, passes, or both) or CSV of passes. Raises `ContentRejected`."""
    if len(data) > MAX_BYTES:
        raise ContentRejected("too_large", "body", f"is larger than {MAX_BYTES} bytes")
    start = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start in {b"{", b"["}:
        return _json(data)
    return _csv(data)


def _json(data: bytes) -> Export:
    given = read_json("export.json", data, most=MAX_BYTES)
    models: Any = []
    passes: Any = []
    if isinstance(given, list):
        passes = given
    elif "passId" in given:
        passes = [given]
    elif "models" in given or "passes" in given or "model" in given:
        models = given.get("models") or ([given["model"]] if "model" in given else [])
        passes = given.get("passes") or []
    else:
        models = [given]
    for name, each, most in (("models", models, MAX_MODELS), ("passes", passes, MAX_PASSES)):
        if not isinstance(each, list) or len(each) > most:
            raise ContentRejected("invalid", name, f"must be a list of at most {most}")
    return Export(
        templates=tuple(_model(each, f"models.{at}") for at, each in enumerate(models)),
        passes=tuple(_each_pass(passes)),
    )


def model_key(model_id: object) -> str:
    return layout_key("pass2u", str(model_id))


def _model(given: Any, path: str) -> SourceTemplate:
    if not isinstance(given, Mapping) or not given.get("modelId"):
        raise ContentRejected("invalid", path, "is no model: it has no modelId")
    style = "".join(each for each in str(given.get("style", "")) if each.isalpha()).lower()
    if style not in _STYLES:
        raise ContentRejected("invalid", f"{path}.style", f"must be one of {', '.join(_STYLES)}")
    ours, protocol = _STYLES[style]
    left: list[Unmapped] = []
    name = str(given.get("name") or given.get("description") or "Pass2U")[:200]
    members: dict[str, Any] = {
        "style": ours,
        "organization_name": str(given.get("organizationName") or name)[:200],
        "description": str(given.get("description") or name)[:200],
        **{mine: given.get(theirs) or None for theirs, mine in _MODEL_MEMBERS.items()},
        "fields": _fields(given.get("fields"), path, left),
        "barcode": _barcode(given.get("barcode"), path, left),
    }
    for at, each in enumerate(_listed(given.get("images"))):
        kind = each.get("type") if isinstance(each, Mapping) else None
        left.append(
            Unmapped(
                f"{path}.images.{at}",
                f"{str(kind)[:40]} is named by a number of Pass2U: upload the file",
            )
        )
    if given.get("locations"):
        left.append(Unmapped(f"{path}.locations", "are not taken over: set them in the template"))
    left += [
        Unmapped(f"{path}.{member}", "is not known of a model")
        for member in sorted(map(str, given))
        if member not in _KNOWN_MODEL
    ]
    names = {mine: theirs for theirs, mine in _MODEL_MEMBERS.items()}
    return SourceTemplate(
        key=model_key(given["modelId"]),
        name=name,
        protocol=protocol,
        pass_type_identifier=_text(given.get("passTypeIdentifier")),
        team_identifier=_text(given.get("teamIdentifier")),
        apple=Piece(path, members, names),
        unmapped=tuple(left),
    )


def _fields(given: Any, path: str, left: list[Unmapped]) -> Piece:
    groups: dict[str, Any] = {}
    for at, each in enumerate(_listed(given)):
        where = f"{path}.fields.{at}"
        if not isinstance(each, Mapping) or not each.get("key"):
            left.append(Unmapped(where, "has no key"))
            continue
        group = str(each.get("position", "")).lower().removesuffix("fields")
        kind = str(each.get("type", "dynamic")).lower()
        if group not in _GROUPS:
            left.append(Unmapped(f"{where}.position", "is none of a pass: it is put on the back"))
            group = "back"
        if kind in {"points", "credits"}:
            value: Any = {"source": "balance", "format": "integer"}
        elif kind == "fixed":
            value = str(each.get("value", ""))[:MAX_FIELD_TEXT]
        else:
            value = {"source": f"field.{each['key']}", "default": _default(each)}
            value = {name: part for name, part in value.items() if part is not None}
        groups.setdefault(group, []).append(
            Piece(
                where,
                {
                    "key": str(each["key"]),
                    "label": each.get("label") or None,
                    "value": value,
                    "change_message": each.get("changeMessage") or None,
                },
                {"change_message": "changeMessage"},
            )
        )
    return Piece(f"{path}.fields", groups)


def _default(given: Mapping[str, Any]) -> str | None:
    value = given.get("value")
    return str(value)[:MAX_FIELD_TEXT] if value not in (None, "") else None


def _barcode(given: Any, path: str, left: list[Unmapped]) -> Piece | None:
    if not isinstance(given, Mapping):
        return None
    written = str(given.get("format", "")).lower().removeprefix("pkbarcodeformat")
    format_ = _BARCODES.get("".join(each for each in written if each.isalnum()))
    if format_ is None:
        left.append(Unmapped(f"{path}.barcode.format", "is none that a template knows"))
        return None
    source = {"source": "pass.code"}
    return Piece(
        f"{path}.barcode", {"format": format_, "message": source, "alternate_text": source}
    )


def _each_pass(given: Iterable[Any]) -> Iterable[SourcePass | RefusedPass]:
    for at, each in enumerate(given):
        name = f"passes.{at}"
        try:
            yield _pass(each, name)
        except ContentRejected as refusal:
            yield RefusedPass(name, refusal)


def _pass(given: Any, path: str) -> SourcePass:
    if not isinstance(given, Mapping) or not _text(given.get("passId")):
        raise ContentRejected("invalid", f"{path}.passId", "is missing")
    left = [
        Unmapped(f"{path}.{member}", "is not known of a pass")
        for member in sorted(map(str, given))
        if member not in _KNOWN_PASS
    ]
    if given.get("images"):
        left.append(Unmapped(f"{path}.images", "are named by numbers of Pass2U"))
    values: dict[str, Scalar] = {}
    fields = given.get("fields")
    pairs = fields.items() if isinstance(fields, Mapping) else _pairs(_listed(fields), path, left)
    for key, value in pairs:
        values[str(key)] = _value(value, f"{path}.fields.{key}")
    if len(values) > MAX_FIELDS:
        raise ContentRejected("too_many", f"{path}.fields", f"are more than {MAX_FIELDS}")
    barcode = given.get("barcode")
    code = barcode.get("message") if isinstance(barcode, Mapping) else barcode
    if code is not None and not is_code(str(code)):
        raise ContentRejected("code_not_encodable", f"{path}.barcode.message", "is no code of ours")
    external_id = str(given["passId"])
    return SourcePass(
        name=path,
        template_key=model_key(given.get("modelId")),
        serial_number=None,
        pass_type_identifier=None,
        external_id=external_id,
        values=values,
        code=None if code is None else str(code),
        expires_at=_moment(given.get("expirationDate"), f"{path}.expirationDate"),
        signature_detail="data has no signature",
        unmapped=tuple(left),
    )


def _pairs(given: list[Any], path: str, left: list[Unmapped]) -> Iterable[tuple[str, Any]]:
    for at, each in enumerate(given):
        where = f"{path}.fields.{at}"
        if not isinstance(each, Mapping) or not each.get("key"):
            left.append(Unmapped(where, "has no key"))
            continue
        left += [
            Unmapped(f"{where}.{name}", "is said by the template, for all passes")
            for name in ("label", "changeMessage")
            if each.get(name)
        ]
        yield str(each["key"]), each.get("value")


def _value(given: Any, path: str) -> Scalar:
    if given is None or isinstance(given, bool) or (isinstance(given, int) and abs(given) < 2**63):
        return given
    text = str(given)
    if len(text) > MAX_FIELD_TEXT or not is_storable(text):
        raise ContentRejected("invalid", path[:200], f"must be at most {MAX_FIELD_TEXT} characters")
    return text


def _moment(given: Any, path: str) -> datetime | None:
    text = _text(given)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as broken:
        raise ContentRejected("invalid", path, "is no moment in ISO 8601") from broken


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else []


def _text(given: Any) -> str | None:
    return (
        str(given)
        if isinstance(given, str | int) and not isinstance(given, bool) and str(given)
        else None
    )


def _csv(data: bytes) -> Export:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as broken:
        raise ContentRejected("not_utf8", "body", "is no zip, and no JSON or CSV") from broken
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        columns = [_column(each) for each in header]
        if (
            "passId" not in columns
            or len(columns) > MAX_COLUMNS
            or len(set(columns)) < len(columns)
        ):
            raise ContentRejected(
                "header_invalid", "row 1", "must name each column once, one of them passId"
            )
        rows: list[dict[str, Any]] = []
        for number, cells in enumerate(reader, start=2):
            if not any(cells):
                continue
            if len(cells) != len(columns) or any(len(cell) > MAX_CELL for cell in cells):
                raise ContentRejected(
                    "row_invalid", f"row {number}", "has other columns than row 1"
                )
            if len(rows) == MAX_PASSES:
                raise ContentRejected(
                    "too_many", "body", f"has more than {MAX_PASSES} rows: use a bulk issue"
                )
            rows.append(_row(columns, cells))
    except csv.Error as broken:
        raise ContentRejected("not_csv", f"row {reader.line_num}", "is not CSV") from broken
    return Export(templates=(), passes=tuple(_each_pass(rows)))


def _column(header: str) -> str:
    plain = "".join(each for each in header if each.isalnum()).lower()
    return _COLUMNS.get(plain, header.strip())


def _row(columns: list[str], cells: list[str]) -> dict[str, Any]:
    known = set(_COLUMNS.values())
    given = dict(zip(columns, cells, strict=True))
    row: dict[str, Any] = {"passId": given["passId"]}
    for name in ("modelId", "expirationDate"):
        if given.get(name):
            row[name] = given[name]
    if given.get("barcode"):
        row["barcode"] = {"message": given["barcode"]}
    row["fields"] = {name: cell for name, cell in given.items() if name not in known and cell != ""}
    return row
