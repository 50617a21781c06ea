"""Field types that the events share. Every string has a bound; every amount is an integer."""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)

from passferry_contracts.text import is_storable
from passferry_contracts.types import MAX_AMOUNT_MINOR

_DATED = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?![0-9])")


def _dated_text(value: object) -> object:
    """Digits alone could be seconds, milliseconds or a spreadsheet's days; they are none."""
    if isinstance(value, date) or (isinstance(value, str) and _DATED.match(value)):
        return value
    raise ValueError("a time is text with its date first, such as 2026-05-14T07:31:05Z")


def _aware_utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a time needs its zone, such as 2026-05-14T07:31:05Z")
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("the time lies outside the years 1 to 9999 in UTC") from error


def _no_control_characters(value: str) -> str:
    if not is_storable(value):
        raise ValueError("control characters are not allowed")
    return value


def _storable_json(value: dict[str, Any]) -> dict[str, Any]:
    """Refuse what Postgres' jsonb cannot hold, before a consumer meets it in a transaction."""
    pending: list[tuple[Any, int]] = [(value, 1)]
    while pending:
        item, depth = pending.pop()
        if depth > MAX_JSON_DEPTH:
            raise ValueError(f"nested deeper than {MAX_JSON_DEPTH} levels")
        if isinstance(item, dict):
            pending.extend((key, depth) for key in item)
            pending.extend((child, depth + 1) for child in item.values())
        elif isinstance(item, list):
            pending.extend((child, depth + 1) for child in item)
        elif isinstance(item, str):
            # Text that people pasted keeps its line ends.
            _no_control_characters(item.replace("\r\n", "\n"))
        elif isinstance(item, float) and not math.isfinite(item):
            raise ValueError("numbers must be finite")
    return value


def _not_zero(value: int) -> int:
    if value == 0:
        raise ValueError("the amount must not be zero")
    return value


_NON_ZERO_SCHEMA: dict[str, Any] = {
    "type": "integer",
    "minimum": -MAX_AMOUNT_MINOR,
    "maximum": MAX_AMOUNT_MINOR,
    "not": {"const": 0},
}

#: Levels of objects and lists in free-form JSON.
MAX_JSON_DEPTH = 16

Instant = Annotated[datetime, BeforeValidator(_dated_text), AfterValidator(_aware_utc)]
Day = Annotated[date, BeforeValidator(_dated_text)]
AmountMinor = Annotated[int, Field(strict=True, ge=-MAX_AMOUNT_MINOR, le=MAX_AMOUNT_MINOR)]
NonZeroMinor = Annotated[AmountMinor, AfterValidator(_not_zero), WithJsonSchema(_NON_ZERO_SCHEMA)]
PositiveMinor = Annotated[int, Field(strict=True, gt=0, le=MAX_AMOUNT_MINOR)]
Version = Annotated[int, Field(strict=True, ge=0, le=MAX_AMOUNT_MINOR)]
Unit = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,15}$")]

_clean = AfterValidator(_no_control_characters)
ExternalId = Annotated[str, StringConstraints(min_length=1, max_length=128), _clean]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200), _clean]
ShortText = Annotated[str, StringConstraints(max_length=200), _clean]
LongText = Annotated[str, StringConstraints(max_length=2000), _clean]
Code = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[a-z0-9_.-]+$")]
IdempotencyKey = Annotated[str, StringConstraints(min_length=1, max_length=255), _clean]
Sha256Hex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Sha1Hex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
Base64Text = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]*={0,2}$")]
PassTypeIdentifier = Annotated[str, StringConstraints(pattern=r"^pass\.[A-Za-z0-9.-]{1,120}$")]
SerialNumber = Annotated[str, StringConstraints(min_length=1, max_length=128), _clean]
DeviceLibraryIdentifier = Annotated[str, StringConstraints(min_length=1, max_length=128), _clean]


class Part(BaseModel):
    """A piece of an event. Producers may not add fields; consumers ignore those they do not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64")


#: Free-form JSON: whole record sizes bound its length, this bounds its depth and characters.
JsonObject = Annotated[dict[str, Any], AfterValidator(_storable_json)]


def one_of_fields(
    *groups: tuple[str, ...],
    exactly: tuple[tuple[str, ...], ...] = (),
    not_both: tuple[tuple[str, str], ...] = (),
) -> dict[str, Any]:
    """Rules between fields, for the JSON Schema of a model: at least one of each of `groups`,
    one and no more of each of `exactly`, at most one of each pair of `not_both`."""
    rules: list[dict[str, Any]] = [{"anyOf": _each_required(group)} for group in groups]
    rules.extend({"oneOf": _each_required(group)} for group in exactly)
    rules.extend({"not": {"required": list(pair)}} for pair in not_both)
    return {"allOf": rules}


def _each_required(names: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{"required": [name]} for name in names]


__all__ = [
    "UUID",
    "AmountMinor",
    "Base64Text",
    "Code",
    "Day",
    "DeviceLibraryIdentifier",
    "ExternalId",
    "IdempotencyKey",
    "Instant",
    "JsonObject",
    "LongText",
    "Name",
    "NonZeroMinor",
    "Part",
    "PassTypeIdentifier",
    "PositiveMinor",
    "SerialNumber",
    "Sha1Hex",
    "Sha256Hex",
    "ShortText",
    "Unit",
    "Version",
    "one_of_fields",
]
