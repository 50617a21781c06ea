"""The hash chain over a workspace's entries: whoever changes the past breaks it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

FIRST_HASH = bytes(32)


@dataclass(slots=True, kw_only=True)
class SealedEntry:
    """All that an entry says. `postings` are (account, amount, unit, version, balance after, held
    change, held after), `movements` are (place, lot, amount); both are sorted."""

    entry_id: UUID
    kind: str
    reference: str | None
    reason: str | None
    merchant_id: str | None
    merchant_name: str | None
    location: str | None
    terminal: str | None
    recorded_by: str
    occurred_at: datetime
    recorded_at: datetime
    reverses: UUID | None
    hold_id: UUID | None
    purchase_minor: int | None
    purchase_unit: str | None
    postings: list[tuple[int, int, str, int | None, int | None, int, int]] = field(
        default_factory=list
    )
    movements: list[tuple[int, str, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    number: int
    entries: int
    previous_hash: bytes
    hash: bytes


def canonical(entry: SealedEntry) -> bytes:
    """One line of JSON: a list of the fields in their order above, absent ones as null, ids as
    text, times in UTC with microseconds, amounts as integers."""
    said: list[Any] = [
        str(entry.entry_id),
        entry.kind,
        entry.reference,
        entry.reason,
        entry.merchant_id,
        entry.merchant_name,
        entry.location,
        entry.terminal,
        entry.recorded_by,
        _instant(entry.occurred_at),
        _instant(entry.recorded_at),
        _text(entry.reverses),
        _text(entry.hold_id),
        entry.purchase_minor,
        entry.purchase_unit,
        [list(posting) for posting in sorted(entry.postings, key=lambda posting: posting[0])],
        [list(movement) for movement in sorted(entry.movements)],
    ]
    return json.dumps(said, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def seal_hash(previous_hash: bytes, number: int, entries: Iterable[SealedEntry]) -> bytes:
    """SHA-256 over the hash before, the number, and each entry in its canonical form."""
    digest = hashlib.sha256(previous_hash)
    digest.update(f"{number}\n".encode())
    for entry in entries:
        digest.update(canonical(entry))
    return digest.digest()


def next_seal(last: Seal | None, entries: Sequence[SealedEntry]) -> Seal:
    previous = FIRST_HASH if last is None else last.hash
    number = 1 if last is None else last.number + 1
    return Seal(
        number=number,
        entries=len(entries),
        previous_hash=previous,
        hash=seal_hash(previous, number, entries),
    )


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)
