"""Giving to a pass, and taking from it."""

from __future__ import annotations

from datetime import timedelta

from passferry_contracts.types import MAX_AMOUNT_MINOR
from passferry_ledger.domain.book import Account
from passferry_ledger.domain.changes import (
    Case,
    Refused,
    add_points,
    applied,
    check_cap,
    check_covered,
    check_day,
    check_entry_limit,
    check_range,
    count_earned,
    count_redeemed,
    crossings_of,
    leg,
    other_side,
    spend_points,
    write,
)
from passferry_ledger.domain.commands import Command, EntryKind
from passferry_ledger.domain.lapsing import end_tier_period
from passferry_ledger.domain.lots import LotMovement
from passferry_ledger.domain.outcomes import OTHER_UNKNOWN, Outcome
from passferry_ledger.domain.rules import UNDATED, Crossing, LotDates, RedeemRule, TierRule

CURRENCY_CODE_LENGTH = 3
COUNTED_ONE_BY_ONE = frozenset({"stamps", "visits"})


def kind_of_use(command: Command, account: Account) -> EntryKind:
    """What a scan at the till means for this protocol; other commands say it themselves."""
    if command.kind is not EntryKind.USE:
        return command.kind
    has_purchase = command.purchase_minor is not None
    match account.terms.protocol:
        case "EVENT_TICKET":
            if has_purchase or command.amount_minor is not None:
                raise Refused("action_not_supported")
            return EntryKind.CHECK_IN
        case "MEMBERSHIP":
            earns = has_purchase or command.amount_minor is None
            return EntryKind.EARN if earns else EntryKind.REDEEM
        case _:
            if has_purchase:
                raise Refused("action_not_supported")
            return EntryKind.REDEEM


def credit(case: Case) -> Outcome:
    """An opening, a load, or points earned."""
    account, kind = case.account, case.kind
    amount = _amount_earned(case)
    check_range(amount)
    check_range(account.balance_minor + amount)
    if kind is not EntryKind.OPENING:
        check_entry_limit(case, amount)
        check_day(case, amount, earned=True)
        check_cap(account, amount)
    elif amount < 0 and account.balance_minor + amount < account.terms.floor_minor:
        raise Refused("insufficient_balance")
    before, full = account.balance_minor, account.full_minor
    dates = account.terms.rules.lot_dates(case.now) if kind is not EntryKind.LOAD else UNDATED
    movements = add_points(case, account, [(amount, dates)]) if amount > 0 else []
    if kind is not EntryKind.OPENING:
        count_earned(case, amount)
    tier_crossings = _count_for_tier(case, amount) if kind is EntryKind.EARN else []
    note_activity(case)
    entry = write(case, [leg(account, amount, movements=movements)])
    crossings = crossings_of(account, before, full) + tier_crossings
    return applied(case, entry, before_minor=before, crossings=crossings)


def _amount_earned(case: Case) -> int:
    command, account = case.command, case.account
    if command.amount_minor is not None:
        return command.amount_minor
    rule = account.terms.rules.earn
    if command.purchase_minor is None:
        if command.kind is EntryKind.USE and account.unit in COUNTED_ONE_BY_ONE:
            return 1
        raise Refused("amount_required")
    if rule is None:
        raise Refused("no_earn_rule")
    if command.purchase_unit not in (None, rule.purchase_unit):
        raise Refused("purchase_unit_mismatch")
    tiers = account.terms.rules.tiers
    percent = 100 if tiers is None else tiers.earn_percent(_tier_now(case, tiers))
    points = rule.points_for(command.purchase_minor, percent=percent)
    if points <= 0:
        raise Refused("purchase_earns_nothing")
    return points


def _tier_now(case: Case, tiers: TierRule) -> str | None:
    """The tier that a review at this moment would leave."""
    account = case.account
    if account.tier_until is None or account.tier_until > case.now:
        return account.tier
    level = tiers.level_for(account.tier_earned_minor)
    return None if level is None else level.name


def _count_for_tier(case: Case, amount_minor: int) -> list[Crossing]:
    """An upgrade counts at once, and starts with the entry that earned it."""
    account, rule = case.account, case.account.terms.rules.tiers
    if rule is None:
        return []
    crossings: list[Crossing] = []
    if account.tier_until is not None and account.tier_until <= case.now:
        crossings.extend(end_tier_period(account, case.now))
    period_end = case.now + timedelta(days=rule.valid_days)
    if account.tier_until is None:
        account.tier_until = period_end
    account.tier_earned_minor = min(account.tier_earned_minor + amount_minor, MAX_AMOUNT_MINOR)
    level = rule.level_for(account.tier_earned_minor)
    if level is not None and rule.rank(level.name) > rule.rank(account.tier):
        account.tier, account.tier_until = level.name, period_end
        crossings.append(
            Crossing(kind="tier_changed", threshold_minor=level.from_minor, name=level.name)
        )
    return crossings


def note_activity(case: Case) -> None:
    """Points that lapse by inactivity lapse later now, unless they have lapsed already."""
    account = case.account
    until = account.undated_expires_at
    if until is None or until > case.now or account.undated_minor <= 0:
        account.undated_expires_at = account.terms.rules.expires_without_activity_at(case.now)


def redeem(case: Case) -> Outcome:
    account = case.account
    amount = _amount_redeemed(case)
    check_range(account.balance_minor - amount)
    check_entry_limit(case, amount)
    check_day(case, amount, earned=False)
    check_covered(case, amount)
    count_redeemed(case, amount)
    before, full = account.balance_minor, account.full_minor
    movements = spend_points(account, amount, case.now)
    entry = write(case, [leg(account, -amount, movements=movements)])
    note_activity(case)
    return applied(
        case,
        entry,
        before_minor=before,
        crossings=crossings_of(account, before, full),
        is_exhausted=is_used_up(account),
    )


def is_used_up(account: Account) -> bool:
    """Of a coupon, the last use is final."""
    is_coupon = account.terms.protocol == "COUPON"
    return is_coupon and account.balance_minor <= account.terms.floor_minor


def _amount_redeemed(case: Case) -> int:
    command, account = case.command, case.account
    rule = account.terms.rules.redeem
    if command.everything:
        # All there is may be little, but not too much.
        available = _everything(case)
        check_redemption(RedeemRule(maximum_minor=rule.maximum_minor), available)
        return available
    amount = command.amount_minor
    if amount is None:
        is_single_use = command.kind is EntryKind.USE and not _is_money(account)
        if not (is_single_use and account.terms.protocol == "COUPON"):
            raise Refused("amount_required")
        amount = 1
    check_redemption(rule, amount)
    return amount


def check_redemption(rule: RedeemRule, amount_minor: int) -> None:
    if rule.minimum_minor is not None and amount_minor < rule.minimum_minor:
        raise Refused("redemption_too_small")
    if rule.maximum_minor is not None and amount_minor > rule.maximum_minor:
        raise Refused("redemption_too_large")


def _everything(case: Case) -> int:
    amount = case.account.available_minor(case.now)
    if amount == 0:
        raise Refused("nothing_to_redeem")
    return amount


def _is_money(account: Account) -> bool:
    return len(account.unit) == CURRENCY_CODE_LENGTH and account.unit.isupper()


def adjust(case: Case) -> Outcome:
    """A correction is available at once, yet lapses like what was earned."""
    account, amount = case.account, case.command.amount_minor or 0
    check_range(account.balance_minor + amount)
    check_entry_limit(case, abs(amount))
    before, full = account.balance_minor, account.full_minor
    if amount > 0:
        check_cap(account, amount)
        dates = LotDates(expires_at=account.terms.rules.lot_dates(case.now).expires_at)
        movements = add_points(case, account, [(amount, dates)])
    else:
        check_covered(case, -amount)
        movements = spend_points(account, -amount, case.now)
    entry = write(case, [leg(account, amount, movements=movements)])
    crossings = crossings_of(account, before, full)
    return applied(case, entry, before_minor=before, crossings=crossings)


def transfer(case: Case) -> Outcome:
    """Points keep their dates on the way."""
    giver, receiver = case.account, _receiver(case)
    if case.command.everything:
        amount = _everything(case)
    elif case.command.amount_minor is not None:
        amount = case.command.amount_minor
    else:
        raise Refused("amount_required")
    check_range(giver.balance_minor - amount)
    check_range(max(receiver.balance_minor, receiver.lots_minor) + amount)
    check_entry_limit(case, amount)
    check_day(case, amount, earned=False)
    check_cap(receiver, amount, "other_balance_limit_exceeded")
    check_covered(case, amount)
    count_redeemed(case, amount)
    before, full = giver.balance_minor, giver.full_minor
    other_before, other_full = receiver.balance_minor, receiver.full_minor
    given = spend_points(giver, amount, case.now)
    received = _receive(case, receiver, amount, given)
    entry = write(
        case,
        [leg(giver, -amount, movements=given), leg(receiver, amount, movements=received)],
    )
    note_activity(case)
    return applied(
        case,
        entry,
        before_minor=before,
        crossings=crossings_of(giver, before, full),
        is_exhausted=False,
        other=other_side(
            receiver,
            case.now,
            before_minor=other_before,
            crossings=crossings_of(receiver, other_before, other_full),
        ),
    )


def _receiver(case: Case) -> Account:
    other_id = case.order.other_id
    receiver = None if other_id is None else case.book.accounts.get(other_id)
    if receiver is None:
        raise Refused(OTHER_UNKNOWN)
    if receiver.account_id == case.account.account_id:
        raise Refused("transfer_to_itself")
    if receiver.is_kept_upstream:
        raise Refused("balance_kept_upstream")
    if not receiver.is_open:
        raise Refused("other_account_closed")
    if receiver.terms.status != "active":
        raise Refused(f"program_{receiver.terms.status}")
    if (receiver.unit, receiver.unit_scale) != (case.account.unit, case.account.unit_scale):
        raise Refused("unit_mismatch")
    return receiver


def _receive(
    case: Case, receiver: Account, amount_minor: int, given: list[LotMovement]
) -> list[LotMovement]:
    dates = {lot.lot_id: lot.dates for lot in case.account.lots}
    parts = [(-movement.amount_minor, dates[movement.lot_id]) for movement in given]
    undated = amount_minor - sum(amount for amount, _ in parts)
    return add_points(case, receiver, [(undated, UNDATED), *parts])


def check_in(case: Case) -> Outcome:
    """The first time uses one entry up; again only where the program allows re-entry."""
    account = case.account
    if account.terms.protocol != "EVENT_TICKET":
        raise Refused("action_not_supported")
    before, full = account.balance_minor, account.full_minor
    if account.available_minor(case.now) >= 1:
        amount = 1
    elif account.is_checked_in and account.terms.rules.allows_re_entry:
        amount = 0
    else:
        raise Refused("already_checked_in" if account.is_checked_in else "nothing_to_redeem")
    movements = spend_points(account, amount, case.now)
    account.is_checked_in = True
    entry = write(case, [leg(account, -amount, movements=movements)])
    crossings = crossings_of(account, before, full)
    return applied(case, entry, before_minor=before, crossings=crossings)


def close(case: Case) -> Outcome:
    """The balance stays as it is, and nobody can spend it."""
    account = case.account
    if account.held_minor:
        raise Refused("holds_open")
    account.is_open = False
    account.closed_reason = case.command.reason or "closed"
    entry = write(case, [leg(account, 0)])
    return applied(case, entry, before_minor=account.balance_minor)
