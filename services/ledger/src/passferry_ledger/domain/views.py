"""Entries, holds, lots and decisions as those see them who read."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryFacts:
    """What an entry says, whichever pass it is looked at from."""

    entry_id: UUID
    kind: str
    reference: str | None
    reason: str | None
    merchant_id: str | None
    merchant_name: str | None
    location: str | None
    terminal: str | None
    purchase_minor: int | None
    purchase_unit: str | None
    recorded_by: str
    #: Reversals: the entry that was taken back. Holds, captures and releases: the hold.
    reverses: UUID | None
    hold_id: UUID | None
    occurred_at: datetime
    recorded_at: datetime
    #: What reversals have taken back of it until now.
    reversed_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryView(EntryFacts):
    """One entry from the side of one pass: its signed change and the balance after it."""

    pass_id: UUID
    program_id: UUID
    version: int
    change_minor: int
    held_change_minor: int
    balance_after_minor: int
    held_after_minor: int
    unit: str
    unit_scale: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LotChange:
    lot_id: UUID
    starts_at: datetime | None
    expires_at: datetime | None
    change_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PostingView:
    """`account` is pass, or the kind of the program's counter-account; only of passes there are a
    pass id, a version and what was left after it."""

    account: str
    account_id: int
    pass_id: UUID | None
    program_id: UUID
    unit: str
    unit_scale: int
    change_minor: int
    version: int | None
    balance_after_minor: int | None
    held_change_minor: int
    held_after_minor: int
    lots: list[LotChange] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryRecord(EntryFacts):
    """One entry with all its postings, which sum to zero."""

    postings: list[PostingView]


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceAt:
    """The balance as it was at a time; version 0 before the first entry."""

    at: datetime
    balance_minor: int
    held_minor: int
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldView:
    hold_id: UUID
    state: str
    amount_minor: int
    captured_minor: int
    released_minor: int
    expires_at: datetime
    reference: str | None
    recorded_by: str
    recorded_at: datetime

    @property
    def left_minor(self) -> int:
        return self.amount_minor - self.captured_minor - self.released_minor


@dataclass(frozen=True, slots=True, kw_only=True)
class LotView:
    lot_id: UUID
    starts_at: datetime | None
    expires_at: datetime | None
    remaining_minor: int
    is_pending: bool
    is_lapsed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NextExpiry:
    at: datetime
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LotSummary:
    """`undated_minor` is what is in no lot; by a rolling rule it lapses at `undated_expires_at`."""

    undated_minor: int
    undated_expires_at: datetime | None
    next_expiry: NextExpiry | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What became of one command: applied or refused, by whom and when."""

    idempotency_key: str
    #: Both None of the oldest refusals, which did not record them.
    command: str | None
    kind: str | None
    code: str
    pass_id: UUID | None
    entry_id: UUID | None
    version: int
    balance_minor: int
    available_minor: int
    held_minor: int
    recorded_by: str
    recorded_at: datetime
