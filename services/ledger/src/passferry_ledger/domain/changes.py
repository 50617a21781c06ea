"""What every decision is made of: a leg on a pass's account, and the points behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import UUID, uuid5

from passferry_contracts.types import MAX_AMOUNT_MINOR
from passferry_ledger.domain.book import Account, Book, Entry, Posting
from passferry_ledger.domain.commands import Command, EntryKind
from passferry_ledger.domain.lots import Lot, LotMovement, soonest_first, take
from passferry_ledger.domain.outcomes import APPLIED, OtherSide, Outcome
from passferry_ledger.domain.rules import Crossing, LotDates

#: The counter-account of each kind of entry; those of two passes or of none have none.
COUNTERS = {
    EntryKind.OPENING: "issuance",
    EntryKind.LOAD: "issuance",
    EntryKind.EARN: "issuance",
    EntryKind.REDEEM: "redeemed",
    EntryKind.CAPTURE: "redeemed",
    EntryKind.CHECK_IN: "redeemed",
    EntryKind.ADJUST: "adjustments",
    EntryKind.EXPIRE: "expired",
}


class Refused(Exception):
    """The command is not applied; the code is a key of `REFUSALS`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(slots=True, kw_only=True)
class Order:
    """A command with what was found of the names in it.

    `entry_id` is the id of the entry that it may become; `other_id` is the account of a transfer's
    receiver, or of the second pass of what is to be reversed.
    """

    command: Command
    fingerprint: bytes
    entry_id: UUID
    account_id: int | None
    other_id: int | None = None
    is_suspended: bool = False


@dataclass(slots=True, kw_only=True)
class Case:
    """One command before one account."""

    book: Book
    order: Order
    account: Account
    kind: EntryKind
    now: datetime

    @property
    def command(self) -> Command:
        return self.order.command

    @property
    def today(self) -> date:
        return self.now.astimezone(UTC).date()


def check_range(balance_minor: int) -> None:
    if abs(balance_minor) > MAX_AMOUNT_MINOR:
        raise Refused("amount_out_of_range")


def check_entry_limit(case: Case, amount_minor: int) -> None:
    limit = case.account.terms.max_entry_minor
    if limit is not None and amount_minor > limit:
        raise Refused("entry_limit_exceeded")


def check_cap(account: Account, amount_minor: int, code: str = "balance_limit_exceeded") -> None:
    limit = account.terms.max_balance_minor
    if limit is not None and account.balance_minor + amount_minor > limit:
        raise Refused(code)


def check_covered(case: Case, amount_minor: int) -> None:
    if amount_minor > case.account.available_minor(case.now):
        raise Refused("insufficient_balance")


def count_earned(case: Case, amount_minor: int) -> None:
    account = case.account
    account.start_day(case.today)
    account.day_earned_minor = _within_day(account, account.day_earned_minor, amount_minor)


def count_redeemed(case: Case, amount_minor: int) -> None:
    account = case.account
    account.start_day(case.today)
    account.day_redeemed_minor = _within_day(account, account.day_redeemed_minor, amount_minor)


def check_day(case: Case, amount_minor: int, *, earned: bool) -> None:
    account = case.account
    account.start_day(case.today)
    _within_day(
        account, account.day_earned_minor if earned else account.day_redeemed_minor, amount_minor
    )


def _within_day(account: Account, counted_minor: int, amount_minor: int) -> int:
    limit = account.terms.max_per_day_minor
    if limit is not None and counted_minor + amount_minor > limit:
        raise Refused("day_limit_exceeded")
    return min(counted_minor + amount_minor, MAX_AMOUNT_MINOR)


def add_points(
    case: Case, account: Account, parts: Sequence[tuple[int, LotDates]]
) -> list[LotMovement]:
    """Put what is about to be credited into the lots of its dates, debts first; changes no
    balance. Undated points that have lapsed are set apart, so that these do not lapse with them."""
    # Debts are no part of the lots, so that lots may exceed what the balance does not.
    check_range(max(account.balance_minor, account.lots_minor) + sum(part[0] for part in parts))
    movements = _set_lapsed_apart(case, account)
    debt = max(-account.undated_minor, 0)
    for amount, dates in parts:
        paid = min(debt, amount)
        debt -= paid
        if dates.is_dated and amount > paid:
            movements.append(_put(account, amount - paid, dates))
    if account.undated_expires_at is None:
        rules = account.terms.rules
        account.undated_expires_at = rules.expires_without_activity_at(case.now)
    return movements


def _set_lapsed_apart(case: Case, account: Account) -> list[LotMovement]:
    until, undated = account.undated_expires_at, account.undated_minor
    if until is None or until > case.now:
        return []
    account.undated_expires_at = None
    if undated <= 0:
        return []
    return [_put(account, undated, LotDates(expires_at=until))]


def _put(account: Account, amount_minor: int, dates: LotDates) -> LotMovement:
    lot = _lot_of(account, dates)
    lot.remaining_minor += amount_minor
    return LotMovement(lot_id=lot.lot_id, amount_minor=amount_minor)


def _lot_of(account: Account, dates: LotDates) -> Lot:
    for lot in account.lots:
        if lot.dates == dates:
            return lot
    name = f"{account.account_id}:{dates.starts_at}:{dates.expires_at}"
    lot = Lot(lot_id=uuid5(account.pass_id, name), dates=dates, remaining_minor=0)
    account.lots.append(lot)
    return lot


def spend_points(
    account: Account, amount_minor: int, now: datetime, *, lapsed_too: bool = False
) -> list[LotMovement]:
    """Take what is debited from the lots that lapse soonest, undated points last."""
    if not account.lots:
        return []
    usable = [
        lot
        for lot in soonest_first(account.lots)
        if not lot.is_pending(now) and (lapsed_too or not lot.is_lapsed(now))
    ]
    return list(take(usable, amount_minor))


def leg(
    account: Account,
    amount_minor: int,
    *,
    held_change_minor: int = 0,
    movements: Sequence[LotMovement] = (),
) -> Posting:
    """Change the account by one version. Everything has been checked before."""
    account.balance_minor += amount_minor
    account.held_minor += held_change_minor
    account.version += 1
    account.is_changed = True
    if amount_minor > 0:
        account.full_minor = account.balance_minor
    return Posting(
        account_id=account.account_id,
        amount_minor=amount_minor,
        unit=account.unit,
        version=account.version,
        balance_after_minor=account.balance_minor,
        held_change_minor=held_change_minor,
        held_after_minor=account.held_minor,
        movements=list(movements),
    )


def write(
    case: Case,
    postings: list[Posting],
    *,
    reverses: UUID | None = None,
    hold_id: UUID | None = None,
) -> Entry:
    """Enter the legs; the counter-account of the kind takes what they do not balance."""
    for posting in postings:
        _settle_debt(case, posting)
    rest = sum(posting.amount_minor for posting in postings)
    if rest:
        account = case.account
        counter = account.terms.counters[(COUNTERS[case.kind], account.unit)]
        postings.append(Posting(account_id=counter, amount_minor=-rest, unit=account.unit))
    entry = Entry(
        entry_id=case.order.entry_id,
        workspace_id=case.account.workspace_id,
        kind=case.kind.value,
        command=case.command,
        recorded_at=_stamp(case, postings),
        postings=postings,
        reverses=reverses,
        hold_id=hold_id,
    )
    book = case.book
    book.written_entries.append(entry)
    if case.command.reference is not None:
        book.references[(entry.workspace_id, case.command.reference)] = entry.entry_id
        book.entries[entry.entry_id] = entry
    return entry


def _settle_debt(case: Case, posting: Posting) -> None:
    """A debt does not stand beside points that could pay it: they would lapse although they were
    spent. What began since the last change pays even if it has lapsed since; what had lapsed
    before the debt was made does not."""
    account = case.book.accounts.get(posting.account_id)
    if account is None or not account.lots or account.undated_minor >= 0:
        return
    matured = [lot for lot in soonest_first(account.lots) if account.has_matured(lot, case.now)]
    posting.movements.extend(take(matured, -account.undated_minor))
    if account.undated_minor < 0:
        posting.movements.extend(spend_points(account, -account.undated_minor, case.now))


def _stamp(case: Case, postings: list[Posting]) -> datetime:
    """Times of a pass's entries never run against their versions."""
    recorded_at = case.now
    accounts = []
    for posting in postings:
        account = case.book.accounts.get(posting.account_id)
        if account is not None:
            accounts.append(account)
            if account.recorded_at is not None and account.recorded_at > recorded_at:
                recorded_at = account.recorded_at
    for account in accounts:
        account.recorded_at = recorded_at
    return recorded_at


def crossings_of(account: Account, before_minor: int, full_before_minor: int) -> list[Crossing]:
    rules = account.terms.rules
    if not rules.thresholds:
        return []
    return rules.crossings(before=before_minor, after=account.balance_minor, full=full_before_minor)


def applied(
    case: Case,
    entry: Entry,
    *,
    before_minor: int,
    crossings: Sequence[Crossing] = (),
    is_exhausted: bool = False,
    other: OtherSide | None = None,
) -> Outcome:
    account = case.account
    return Outcome(
        code=APPLIED,
        kind=entry.kind,
        pass_id=account.pass_id,
        external_id=account.external_id,
        program_id=account.terms.program_id,
        unit=account.unit,
        unit_scale=account.unit_scale,
        entry_id=entry.entry_id,
        version=account.version,
        previous_balance_minor=before_minor,
        balance_minor=account.balance_minor,
        available_minor=account.available_minor(case.now),
        held_minor=account.held_minor,
        is_exhausted=is_exhausted,
        recorded_at=entry.recorded_at,
        hold_id=entry.hold_id,
        reverses=entry.reverses,
        tier=account.tier,
        crossings=tuple(crossings),
        other=other,
    )


def other_side(
    account: Account, now: datetime, *, before_minor: int, crossings: Sequence[Crossing]
) -> OtherSide:
    return OtherSide(
        pass_id=account.pass_id,
        external_id=account.external_id,
        program_id=account.terms.program_id,
        version=account.version,
        previous_balance_minor=before_minor,
        balance_minor=account.balance_minor,
        available_minor=account.available_minor(now),
        held_minor=account.held_minor,
        tier=account.tier,
        crossings=tuple(crossings),
    )
