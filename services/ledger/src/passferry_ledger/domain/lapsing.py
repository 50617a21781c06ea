"""What time alone does: points lapse, and tiers end."""

from __future__ import annotations

from datetime import datetime, timedelta

from passferry_ledger.domain.book import Account
from passferry_ledger.domain.changes import (
    Case,
    Refused,
    applied,
    crossings_of,
    leg,
    spend_points,
    write,
)
from passferry_ledger.domain.lots import LotMovement, soonest_first, take
from passferry_ledger.domain.outcomes import Outcome
from passferry_ledger.domain.rules import Crossing


def expire(case: Case) -> Outcome:
    """What is held does not lapse; with an amount, an operator lets points lapse before time."""
    account, now = case.account, case.now
    # A credit line is no points: nothing lapses that is not there, nor what the floor keeps.
    there = account.balance_minor - max(account.terms.floor_minor, 0)
    unheld = there - account.held_minor - account.pending_minor(now)
    amount = case.command.amount_minor
    if amount is None:
        # Holds rest on lapsed points first.
        amount = min(account.lapsed_minor(now) - account.held_minor, unheld)
        if amount <= 0:
            raise Refused("nothing_to_expire")
        movements = _take_lapsed(account, amount, now)
    else:
        if amount > unheld:
            raise Refused("insufficient_balance")
        movements = spend_points(account, amount, now, lapsed_too=True)
    before, full = account.balance_minor, account.full_minor
    entry = write(case, [leg(account, -amount, movements=movements)])
    if account.undated_minor <= 0:
        account.undated_expires_at = None
    crossings = crossings_of(account, before, full)
    return applied(case, entry, before_minor=before, crossings=crossings)


def _take_lapsed(account: Account, amount_minor: int, now: datetime) -> list[LotMovement]:
    lapsed = [lot for lot in soonest_first(account.lots) if lot.is_lapsed(now)]
    return list(take(lapsed, amount_minor))


def review(case: Case) -> Outcome:
    """At the end of a tier's period: what was earned in it says which tier comes next."""
    account = case.account
    if account.tier_until is None or account.tier_until > case.now:
        raise Refused("nothing_to_review")
    crossings = end_tier_period(account, case.now)
    entry = write(case, [leg(account, 0)])
    return applied(case, entry, before_minor=account.balance_minor, crossings=crossings)


def end_tier_period(account: Account, now: datetime) -> list[Crossing]:
    rule, before = account.terms.rules.tiers, account.tier
    level = None if rule is None else rule.level_for(account.tier_earned_minor)
    account.tier = None if level is None else level.name
    account.tier_earned_minor = 0
    account.tier_until = None
    if rule is not None and level is not None:
        account.tier_until = now + timedelta(days=rule.valid_days)
    if account.tier == before:
        return []
    threshold = None if level is None else level.from_minor
    return [Crossing(kind="tier_changed", threshold_minor=threshold, name=account.tier)]
