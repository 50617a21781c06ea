"""The part of the ledger that a batch of commands is about: read under locks, changed by
decisions, written back whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from uuid import UUID

from passferry_ledger.domain.accounts import spendable_minor
from passferry_ledger.domain.commands import Command
from passferry_ledger.domain.lots import Lot, LotMovement
from passferry_ledger.domain.outcomes import Outcome
from passferry_ledger.domain.rules import NO_RULES, Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """One revision of a program, as decisions need it. `counters` are its counter-accounts by
    kind and unit."""

    workspace_id: UUID
    program_id: UUID
    revision: int
    protocol: str
    status: str
    floor_minor: int
    max_entry_minor: int | None = None
    max_balance_minor: int | None = None
    max_per_day_minor: int | None = None
    rules: Rules = NO_RULES
    counters: dict[tuple[str, str], int] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Account:
    """A pass's account, running through the batch."""

    account_id: int
    workspace_id: UUID
    pass_id: UUID
    external_id: str | None
    code: str | None = None
    terms: Terms
    unit: str
    unit_scale: int
    is_kept_upstream: bool = False
    is_open: bool = True
    closed_reason: str | None = None
    balance_minor: int = 0
    held_minor: int = 0
    open_holds: int = 0
    version: int = 0
    #: The UTC day that the two sums below are about.
    counted_on: date | None = None
    day_earned_minor: int = 0
    day_redeemed_minor: int = 0
    #: Balance after the last credit.
    full_minor: int = 0
    tier: str | None = None
    #: Earned since the tier's period began.
    tier_earned_minor: int = 0
    tier_until: datetime | None = None
    #: When undated points lapse.
    undated_expires_at: datetime | None = None
    is_checked_in: bool = False
    recorded_at: datetime | None = None
    lots: list[Lot] = field(default_factory=list)
    is_changed: bool = False

    @property
    def undated_minor(self) -> int:
        return self.balance_minor - self.lots_minor

    @property
    def lots_minor(self) -> int:
        if not self.lots:
            return 0
        return sum(lot.remaining_minor for lot in self.lots)

    def pending_minor(self, now: datetime) -> int:
        return sum(lot.remaining_minor for lot in self.lots if lot.is_pending(now))

    def has_matured(self, lot: Lot, now: datetime) -> bool:
        """Whether it began since the last change: a debt of before is paid by it."""
        starts_at = lot.dates.starts_at
        if starts_at is None or starts_at > now:
            return False
        return self.recorded_at is None or starts_at > self.recorded_at

    def lapsed_minor(self, now: datetime) -> int:
        """What a debt is owed of lapsed points was spent of them in time."""
        lapsed = [lot for lot in self.lots if lot.is_lapsed(now)]
        owed = sum(lot.remaining_minor for lot in lapsed if self.has_matured(lot, now))
        total = sum(lot.remaining_minor for lot in lapsed)
        lapsed_minor = total - min(max(-self.undated_minor, 0), owed)
        if self.undated_expires_at is not None and self.undated_expires_at <= now:
            lapsed_minor += max(self.undated_minor, 0)
        return lapsed_minor

    def available_minor(self, now: datetime) -> int:
        return spendable_minor(
            balance=self.balance_minor,
            held=self.held_minor,
            pending=self.pending_minor(now) if self.lots else 0,
            lapsed=self.lapsed_minor(now) if self.lots or self.undated_expires_at else 0,
            floor=self.terms.floor_minor,
        )

    def start_day(self, today: date) -> None:
        # Clocks of replicas differ: a day that was counted does not come again.
        if self.counted_on is None or self.counted_on < today:
            self.counted_on = today
            self.day_earned_minor = self.day_redeemed_minor = 0


@dataclass(slots=True, kw_only=True)
class Hold:
    """Set aside by the entry `hold_id`. `state` is open, captured, released or expired."""

    hold_id: UUID
    account_id: int
    amount_minor: int
    expires_at: datetime
    captured_minor: int = 0
    released_minor: int = 0
    state: str = "open"
    is_changed: bool = False

    @property
    def left_minor(self) -> int:
        return self.amount_minor - self.captured_minor - self.released_minor


@dataclass(slots=True, kw_only=True)
class Posting:
    """One leg of an entry. `version` and the sums after it are of pass accounts only."""

    account_id: int
    amount_minor: int
    unit: str
    version: int | None = None
    balance_after_minor: int | None = None
    held_change_minor: int = 0
    held_after_minor: int = 0
    movements: list[LotMovement] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Entry:
    """What is written once and stays."""

    entry_id: UUID
    workspace_id: UUID
    kind: str
    #: None of an entry that was stored before.
    command: Command | None
    recorded_at: datetime
    postings: list[Posting]
    reverses: UUID | None = None
    hold_id: UUID | None = None
    #: What reversals took back of it, in all and by lot.
    reversed_minor: int = 0
    restored: dict[UUID, int] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Result:
    """The remembered outcome of an idempotency key."""

    fingerprint: bytes
    account_id: int
    outcome: Outcome


KeyName = tuple[UUID, str]


@dataclass(slots=True)
class Book:
    """`entries` are those that reversals of the batch name, by id; `references` say which entry
    has a reference. What `written_*` holds is new and to be stored."""

    accounts: dict[int, Account] = field(default_factory=dict)
    results: dict[KeyName, Result] = field(default_factory=dict)
    references: dict[KeyName, UUID] = field(default_factory=dict)
    entries: dict[UUID, Entry] = field(default_factory=dict)
    holds: dict[UUID, Hold] = field(default_factory=dict)
    written_results: dict[KeyName, tuple[Command, Result]] = field(default_factory=dict)
    written_entries: list[Entry] = field(default_factory=list)
