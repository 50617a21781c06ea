"""Amounts set aside, to be captured or released."""

from __future__ import annotations

from datetime import datetime, timedelta

from passferry_ledger.domain.book import Hold
from passferry_ledger.domain.changes import (
    Case,
    Refused,
    applied,
    check_covered,
    check_day,
    check_entry_limit,
    check_range,
    count_redeemed,
    crossings_of,
    leg,
    spend_points,
    write,
)
from passferry_ledger.domain.outcomes import Outcome
from passferry_ledger.domain.spending import check_redemption, is_used_up, note_activity

MAX_OPEN_HOLDS = 100
LONGEST_HOLD = timedelta(days=31)


def hold(case: Case) -> Outcome:
    """`hold_id` is the id of the entry."""
    account, amount = case.account, case.command.amount_minor or 0
    until = _ends_at(case)
    if account.open_holds >= MAX_OPEN_HOLDS:
        raise Refused("too_many_holds")
    check_redemption(account.terms.rules.redeem, amount)
    check_range(account.held_minor + amount)
    check_entry_limit(case, amount)
    check_day(case, amount, earned=False)
    check_covered(case, amount)
    count_redeemed(case, amount)
    account.open_holds += 1
    hold_id = case.order.entry_id
    case.book.holds[hold_id] = Hold(
        hold_id=hold_id,
        account_id=account.account_id,
        amount_minor=amount,
        expires_at=until,
        is_changed=True,
    )
    entry = write(case, [leg(account, 0, held_change_minor=amount)], hold_id=hold_id)
    return applied(case, entry, before_minor=account.balance_minor)


def _ends_at(case: Case) -> datetime:
    wanted = case.command.hold_until
    if wanted is None:
        return case.now + timedelta(seconds=case.account.terms.rules.hold_expires_after_s)
    if not case.now < wanted <= case.now + LONGEST_HOLD:
        raise Refused("hold_until_invalid")
    return wanted


def capture(case: Case) -> Outcome:
    """Spend what was held, in whole or in part; what was promised is not refused for limits."""
    account, kept = case.account, _open_hold(case)
    if kept.expires_at <= case.now:
        raise Refused("hold_ended")
    amount = kept.left_minor if case.command.amount_minor is None else case.command.amount_minor
    if amount > kept.left_minor:
        raise Refused("hold_exceeded")
    released = 0 if case.command.keep_rest else kept.left_minor - amount
    kept.captured_minor += amount
    kept.released_minor += released
    _end_when_empty(case, kept, "captured")
    before, full = account.balance_minor, account.full_minor
    movements = spend_points(account, amount, case.now, lapsed_too=True)
    entry = write(
        case,
        [leg(account, -amount, held_change_minor=-amount - released, movements=movements)],
        hold_id=kept.hold_id,
    )
    note_activity(case)
    return applied(
        case,
        entry,
        before_minor=before,
        crossings=crossings_of(account, before, full),
        is_exhausted=is_used_up(account),
    )


def release(case: Case) -> Outcome:
    account, kept = case.account, _open_hold(case)
    amount = kept.left_minor
    kept.released_minor += amount
    _end_when_empty(case, kept, "expired" if kept.expires_at <= case.now else "released")
    entry = write(case, [leg(account, 0, held_change_minor=-amount)], hold_id=kept.hold_id)
    return applied(case, entry, before_minor=account.balance_minor)


def _open_hold(case: Case) -> Hold:
    hold_id = case.command.hold_id
    kept = None if hold_id is None else case.book.holds.get(hold_id)
    if kept is None or kept.account_id != case.account.account_id:
        raise Refused("hold_unknown")
    if kept.state != "open":
        raise Refused("hold_ended")
    return kept


def _end_when_empty(case: Case, kept: Hold, state: str) -> None:
    kept.is_changed = True
    if kept.left_minor == 0:
        kept.state = state
        case.account.open_holds -= 1
