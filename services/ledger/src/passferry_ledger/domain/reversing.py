"""Taking an entry back, in whole or in part.

A spending that is reversed puts the points back into the lots they came from, with the dates they
had: what has lapsed meanwhile lapses again. An earning that is reversed takes what is left of its
own points first; what was spent of them meanwhile must be covered by the rest of the balance.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from passferry_ledger.domain.book import Account, Entry, Posting
from passferry_ledger.domain.changes import (
    Case,
    Refused,
    applied,
    check_range,
    crossings_of,
    leg,
    other_side,
    spend_points,
    write,
)
from passferry_ledger.domain.commands import EntryKind
from passferry_ledger.domain.lots import Lot, LotMovement, soonest_first, take
from passferry_ledger.domain.outcomes import NEEDS_MANAGER, OtherSide, Outcome

REVERSIBLE = frozenset(
    {
        EntryKind.LOAD,
        EntryKind.EARN,
        EntryKind.REDEEM,
        EntryKind.ADJUST,
        EntryKind.TRANSFER,
        EntryKind.CAPTURE,
        EntryKind.CHECK_IN,
    }
)


def reverse(case: Case) -> Outcome:
    account, entry = case.account, _entry_to_reverse(case)
    amount = _amount_to_reverse(case, entry)
    passes = [posting for posting in entry.postings if posting.version is not None]
    sides = [(case.book.accounts[posting.account_id], posting) for posting in passes]
    for side, posting in sides:
        _check_side(entry, side, posting, amount, case.now)
    before = {side.account_id: (side.balance_minor, side.full_minor) for side, _ in sides}
    postings = [_mirror(entry, side, posting, amount, case.now) for side, posting in sides]
    postings.extend(
        Posting(
            account_id=posting.account_id,
            amount_minor=-_share(posting, amount),
            unit=posting.unit,
        )
        for posting in entry.postings
        if posting.version is None
    )
    entry.reversed_minor += amount
    if entry.kind == EntryKind.EARN:
        account.tier_earned_minor = max(account.tier_earned_minor - amount, 0)
    if entry.kind == EntryKind.CHECK_IN:
        account.is_checked_in = False
    written = write(case, postings, reverses=entry.entry_id)
    for movement in (each for posting in written.postings for each in posting.movements):
        before_it = entry.restored.get(movement.lot_id, 0)
        entry.restored[movement.lot_id] = before_it + movement.amount_minor
    others = [side for side, _ in sides if side is not account]
    return applied(
        case,
        written,
        before_minor=before[account.account_id][0],
        crossings=crossings_of(account, *before[account.account_id]),
        other=_told(others[0], before, case.now) if others else None,
    )


def _told(other: Account, before: dict[int, tuple[int, int]], now: datetime) -> OtherSide:
    balance, full = before[other.account_id]
    crossings = crossings_of(other, balance, full)
    return other_side(other, now, before_minor=balance, crossings=crossings)


def _entry_to_reverse(case: Case) -> Entry:
    command, book = case.command, case.book
    entry_id = command.reverses
    if entry_id is None and command.reverses_reference is not None:
        entry_id = book.references.get((command.workspace_id, command.reverses_reference))
    entry = None if entry_id is None else book.entries.get(entry_id)
    if entry is None or _own_posting(case.account, entry) is None:
        raise Refused("entry_unknown")
    return entry


def _own_posting(account: Account, entry: Entry) -> Posting | None:
    for posting in entry.postings:
        if posting.account_id == account.account_id:
            return posting
    return None


def _amount_to_reverse(case: Case, entry: Entry) -> int:
    own = _own_posting(case.account, entry)
    if entry.kind == EntryKind.ADJUST and not case.command.by_manager:
        raise Refused(NEEDS_MANAGER)
    if own is None or entry.kind not in REVERSIBLE or own.amount_minor == 0:
        raise Refused("entry_not_reversible")
    left = abs(own.amount_minor) - entry.reversed_minor
    if left == 0:
        raise Refused("already_reversed")
    wanted = case.command.amount_minor
    if wanted is not None and wanted > left:
        raise Refused("reversal_exceeds_entry")
    return left if wanted is None else wanted


def _share(posting: Posting, amount_minor: int) -> int:
    """The part of the posting that is taken back, with its sign."""
    return amount_minor if posting.amount_minor > 0 else -amount_minor


def _check_side(
    entry: Entry, side: Account, posting: Posting, amount_minor: int, now: datetime
) -> None:
    share = _share(posting, amount_minor)
    check_range(side.balance_minor - share)
    check_range(side.lots_minor - min(share, 0))
    own_pending, own_lapsed = _own_points(entry, side, posting, now)
    usable = side.available_minor(now) + own_pending + own_lapsed
    # What is held may rest on lapsed points, but not on those that have not begun.
    begun = side.balance_minor - side.pending_minor(now) + own_pending
    unheld = begun - side.held_minor - side.terms.floor_minor
    if share > 0 and amount_minor > min(usable, unheld):
        raise Refused("insufficient_balance")


def _own_points(entry: Entry, side: Account, posting: Posting, now: datetime) -> tuple[int, int]:
    """What is left of the entry although it cannot be spent: points not begun, and lapsed ones."""
    parts = _own_parts(entry, side, posting)
    return (
        sum(amount for lot, amount in parts if lot.is_pending(now)),
        sum(amount for lot, amount in parts if lot.is_lapsed(now)),
    )


def _own_parts(entry: Entry, side: Account, posting: Posting) -> list[tuple[Lot, int]]:
    """What the entry put into lots and is left there, in the order in which a giver gets it back.

    Points which had lapsed before were only set apart by it, and are not its own."""
    put = _put_into_lots(entry, posting)
    return [
        (lot, min(lot.remaining_minor, put[lot.lot_id]))
        for lot in reversed(soonest_first(side.lots))
        if lot.lot_id in put and not lot.is_lapsed(entry.recorded_at)
    ]


def _put_into_lots(entry: Entry, posting: Posting) -> dict[UUID, int]:
    """By lot, without what was taken back before."""
    put: dict[UUID, int] = {}
    for movement in posting.movements:
        put[movement.lot_id] = put.get(movement.lot_id, 0) + movement.amount_minor
    return {
        lot_id: max(amount + entry.restored.get(lot_id, 0), 0) for lot_id, amount in put.items()
    }


def _mirror(
    entry: Entry, side: Account, posting: Posting, amount_minor: int, now: datetime
) -> Posting:
    share = _share(posting, amount_minor)
    if share > 0:
        movements = _take_back(entry, side, posting, amount_minor, now)
    else:
        movements = _give_back(entry, side, posting, amount_minor)
        if side.undated_expires_at is None:
            # The date went with the last of them.
            side.undated_expires_at = side.terms.rules.expires_without_activity_at(now)
    return leg(side, -share, movements=movements)


def _take_back(
    entry: Entry, side: Account, posting: Posting, amount_minor: int, now: datetime
) -> list[LotMovement]:
    """The entry's own points first, undated ones before those of lots."""
    parts = _own_parts(entry, side, posting)
    left = amount_minor - _own_undated(entry, side, posting, amount_minor, now)
    movements: list[LotMovement] = []
    for lot, amount in parts:
        movements.extend(take([lot], min(left, amount)))
        left -= min(left, amount)
    return movements + spend_points(side, left, now)


def _own_undated(
    entry: Entry, side: Account, posting: Posting, amount_minor: int, now: datetime
) -> int:
    if side.undated_expires_at is not None and side.undated_expires_at <= now:
        return 0
    apart = {lot.lot_id for lot in side.lots if lot.is_lapsed(entry.recorded_at)}
    put = _put_into_lots(entry, posting)
    dated = sum(amount for lot_id, amount in put.items() if lot_id not in apart)
    own = abs(posting.amount_minor) - entry.reversed_minor - dated
    return max(min(amount_minor, own, side.undated_minor), 0)


def _give_back(
    entry: Entry, side: Account, posting: Posting, amount_minor: int
) -> list[LotMovement]:
    """Last used, first restored: undated points, then those that lapse latest."""
    # One posting may have moved a lot twice: to spend, and to settle a debt.
    taken: dict[UUID, int] = {}
    for movement in posting.movements:
        taken[movement.lot_id] = taken.get(movement.lot_id, 0) - movement.amount_minor
    used = [
        (lot_id, max(amount - entry.restored.get(lot_id, 0), 0)) for lot_id, amount in taken.items()
    ]
    unreversed = abs(posting.amount_minor) - entry.reversed_minor
    undated = max(unreversed - sum(amount for _, amount in used), 0)
    left = max(amount_minor - undated, 0)
    lots = {lot.lot_id: lot for lot in side.lots}
    movements: list[LotMovement] = []
    for lot_id, amount in reversed(used):
        restored = min(left, amount)
        if restored > 0:
            lots[lot_id].remaining_minor += restored
            left -= restored
            movements.append(LotMovement(lot_id=lot_id, amount_minor=restored))
    return movements
