"""Points with dates. What an account holds beside its lots is undated: spent last, lost never
(or, where points lapse by inactivity, all together)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from passferry_ledger.domain.rules import LotDates

_NEVER = datetime.max.replace(tzinfo=UTC)
_ALWAYS = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True, kw_only=True)
class Lot:
    """Points of one account that share their dates."""

    lot_id: UUID
    dates: LotDates
    remaining_minor: int

    def is_pending(self, now: datetime) -> bool:
        return self.dates.starts_at is not None and self.dates.starts_at > now

    def is_lapsed(self, now: datetime) -> bool:
        return self.dates.expires_at is not None and self.dates.expires_at <= now


@dataclass(frozen=True, slots=True, kw_only=True)
class LotMovement:
    """What an entry put into a lot, or took out of it."""

    lot_id: UUID
    amount_minor: int


def soonest_first(lots: Iterable[Lot]) -> list[Lot]:
    return sorted(
        lots,
        key=lambda lot: (
            lot.dates.expires_at or _NEVER,
            lot.dates.starts_at or _ALWAYS,
            lot.lot_id,
        ),
    )


def take(lots: Iterable[Lot], amount_minor: int) -> Iterator[LotMovement]:
    """Take up to `amount_minor` out of `lots`, in their order."""
    left = amount_minor
    for lot in lots:
        taken = min(left, lot.remaining_minor)
        if taken > 0:
            lot.remaining_minor -= taken
            left -= taken
            yield LotMovement(lot_id=lot.lot_id, amount_minor=-taken)
