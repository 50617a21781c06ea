"""Where a page begins, as text that only we read: the list that it belongs to and a place in it."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import Query

from passferry_contracts.text import is_storable
from passferry_ledger.application.searches import KeyPlace, LotPlace, TimePlace
from passferry_runtime.errors import FieldError, Invalid

#: Of an encoded cursor: an idempotency key of 255 characters is the longest part of any.
MAX_CURSOR = 2_048
MAX_KEY = 255
LARGEST_VERSION = 2**63 - 1

CursorParameter = Annotated[
    str | None, Query(max_length=MAX_CURSOR, description="`next_cursor` of the page before.")
]


def encode(name: str, *parts: str) -> str:
    content = json.dumps([name, *parts], separators=(",", ":"))
    return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def decode(name: str, cursor: str, parts: int) -> list[str]:
    """Raises `Invalid` for whatever `encode` did not make for the list `name`."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        decoded = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, RecursionError) as error:
        raise not_a_cursor() from error
    if not isinstance(decoded, list) or not all(isinstance(part, str) for part in decoded):
        raise not_a_cursor()
    if len(decoded) != parts + 1 or decoded[0] != name:
        raise not_a_cursor()
    return decoded[1:]


def not_a_cursor() -> Invalid:
    return Invalid(
        "validation_failed",
        "The cursor is not one that was given out for this list.",
        errors=[FieldError("cursor", "not a cursor of this list")],
    )


def from_id(name: str, place: UUID | None) -> str | None:
    return None if place is None else encode(name, str(place))


def to_id(name: str, cursor: str | None) -> UUID | None:
    return None if cursor is None else _id(decode(name, cursor, 1)[0])


def from_version(name: str, place: int | None) -> str | None:
    return None if place is None else encode(name, str(place))


def to_version(name: str, cursor: str | None) -> int | None:
    if cursor is None:
        return None
    number = decode(name, cursor, 1)[0]
    if not (number.isascii() and number.isdecimal()) or len(number) > len(str(LARGEST_VERSION)):
        raise not_a_cursor()
    if int(number) > LARGEST_VERSION:
        raise not_a_cursor()
    return int(number)


def from_time_place(name: str, place: TimePlace | None) -> str | None:
    return None if place is None else encode(name, place[0].isoformat(), str(place[1]))


def to_time_place(name: str, cursor: str | None) -> TimePlace | None:
    if cursor is None:
        return None
    moment, entry_id = decode(name, cursor, 2)
    return _moment(moment), _id(entry_id)


def from_key_place(name: str, place: KeyPlace | None) -> str | None:
    return None if place is None else encode(name, place[0].isoformat(), place[1])


def to_key_place(name: str, cursor: str | None) -> KeyPlace | None:
    if cursor is None:
        return None
    moment, key = decode(name, cursor, 2)
    if not key or len(key) > MAX_KEY or not is_storable(key):
        raise not_a_cursor()
    return _moment(moment), key


def from_lot_place(name: str, place: LotPlace | None) -> str | None:
    if place is None:
        return None
    dates = [each.isoformat() if each else "" for each in (place.expires_at, place.starts_at)]
    return encode(name, *dates, str(place.lot_id))


def to_lot_place(name: str, cursor: str | None) -> LotPlace | None:
    if cursor is None:
        return None
    expires_at, starts_at, lot_id = decode(name, cursor, 3)
    return LotPlace(
        expires_at=_moment(expires_at) if expires_at else None,
        starts_at=_moment(starts_at) if starts_at else None,
        lot_id=_id(lot_id),
    )


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise not_a_cursor() from error


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise not_a_cursor()
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise not_a_cursor() from error
