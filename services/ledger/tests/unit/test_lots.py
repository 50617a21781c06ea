"""Points with dates: which are taken first, which come back, and which lapse."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passferry_ledger.domain.lots import Lot, soonest_first, take
from passferry_ledger.domain.rules import ExpiryKind, ExpiryRule, LotDates, Rules

NOON = datetime(2026, 5, 14, 12, tzinfo=UTC)
TEN_DAYS = Rules(expiry=ExpiryRule(kind=ExpiryKind.AFTER_DAYS, number=10))
ROLLING = Rules(expiry=ExpiryRule(kind=ExpiryKind.ROLLING, number=30))


def lot(amount: int, *, starts: int | None = None, expires: int | None = None) -> Lot:
    def day(number: int | None) -> datetime | None:
        return None if number is None else NOON + timedelta(days=number)

    dates = LotDates(starts_at=day(starts), expires_at=day(expires))
    return Lot(lot_id=uuid4(), dates=dates, remaining_minor=amount)


def test_what_lapses_soonest_comes_first_and_what_never_lapses_last() -> None:
    never, late, soon = lot(1, starts=-3), lot(1, expires=9), lot(1, expires=2)
    assert soonest_first([never, late, soon]) == [soon, late, never]


@given(
    amounts=st.lists(st.integers(0, 2**62), max_size=8),
    wanted=st.integers(0, 2**63 - 1),
)
def test_taking_never_takes_more_than_there_is_or_than_is_wanted(
    amounts: list[int], wanted: int
) -> None:
    # proves: A22
    lots = [lot(amount, expires=place) for place, amount in enumerate(amounts)]
    taken = -sum(movement.amount_minor for movement in take(lots, wanted))
    assert taken == min(wanted, sum(amounts))
    left = [each.remaining_minor for each in lots]
    assert sum(left) == sum(amounts) - taken
    assert all(0 <= rest <= amount for rest, amount in zip(left, amounts, strict=True))
    emptied = [rest == 0 for rest in left]
    assert emptied == sorted(emptied, reverse=True) or 0 in amounts


@pytest.fixture
def two_lots(till: Any) -> tuple[Any, LotDates, LotDates]:
    """30 that lapse on the 25th and 50 that lapse on the 26th."""
    account = till.open(rules=TEN_DAYS)
    till.tell(account, "earn", 30)
    till.later(days=1)
    till.tell(account, "earn", 50)
    soon, late = sorted(till.lots(account), key=lambda dates: dates.expires_at)
    assert soon.expires_at == datetime(2026, 5, 25, tzinfo=UTC)
    return account, soon, late


def test_spending_takes_what_lapses_soonest_and_undated_points_last(
    till: Any, two_lots: Any
) -> None:
    account, _, late = two_lots
    till.tell(account, "load", 20)
    till.tell(account, "redeem", 40)
    assert till.lots(account) == {late: 40}
    till.tell(account, "redeem", 50)
    assert (till.lots(account), account.undated_minor) == ({}, 10)


def test_points_earned_on_one_day_share_a_lot(till: Any) -> None:
    account = till.open(rules=TEN_DAYS)
    till.tell(account, "earn", 30)
    till.later(hours=11)
    till.tell(account, "earn", 12)
    assert list(till.lots(account).values()) == [42]


def test_a_refund_puts_the_points_back_where_they_came_from(till: Any, two_lots: Any) -> None:
    account, soon, late = two_lots
    spent = till.tell(account, "redeem", 60)
    assert till.lots(account) == {late: 20}
    till.later(days=3)
    refund = till.tell(account, "reverse", reverses=spent.entry_id)
    assert (refund.code, refund.balance_minor, refund.reverses) == ("applied", 80, spent.entry_id)
    assert till.lots(account) == {soon: 30, late: 50}


def test_partial_refunds_restore_last_used_first_and_end_where_it_began(
    till: Any, two_lots: Any
) -> None:
    account, soon, late = two_lots
    till.tell(account, "load", 20)
    spent = till.tell(account, "redeem", 90)
    steps = [
        # 10 undated, 50 late, 30 soon were used: they come back the other way round.
        (5, {}),
        (15, {late: 10}),
        (50, {late: 50, soon: 10}),
        (20, {late: 50, soon: 30}),
    ]
    for amount, lots in steps:
        assert till.code(account, "reverse", amount, reverses=spent.entry_id) == "applied"
        assert till.lots(account) == lots
    assert account.balance_minor == 100
    assert account.undated_minor == 20
    assert till.code(account, "reverse", reverses=spent.entry_id) == "already_reversed"


def test_a_refund_of_points_that_have_lapsed_meanwhile_lets_them_lapse_again(
    till: Any, two_lots: Any
) -> None:
    account, soon, late = two_lots
    spent = till.tell(account, "redeem", 30)
    till.later(days=10)
    assert till.code(account, "expire") == "nothing_to_expire"
    refund = till.tell(account, "reverse", reverses=spent.entry_id)
    assert (refund.balance_minor, refund.available_minor) == (80, 50)
    assert till.lots(account) == {soon: 30, late: 50}
    lapsed = till.tell(account, "expire")
    assert (lapsed.change_minor, till.lots(account)) == (-30, {late: 50})


def test_an_earning_that_was_partly_spent_is_taken_back_from_the_rest(till: Any) -> None:
    account = till.open(rules=TEN_DAYS, balance=0)
    first = till.tell(account, "earn", 30)
    till.later(days=1)
    till.tell(account, "earn", 50)
    till.tell(account, "redeem", 20)
    undone = till.tell(account, "reverse", reverses=first.entry_id)
    assert (undone.code, undone.balance_minor) == ("applied", 30)
    assert list(till.lots(account).values()) == [30]


def test_an_earning_of_which_too_much_was_spent_cannot_be_taken_back_whole(till: Any) -> None:
    account = till.open(rules=TEN_DAYS)
    earned = till.tell(account, "earn", 30)
    till.tell(account, "redeem", 20)
    assert till.code(account, "reverse", reverses=earned.entry_id) == "insufficient_balance"
    assert till.code(account, "reverse", 11, reverses=earned.entry_id) == "insufficient_balance"
    assert till.code(account, "reverse", 10, reverses=earned.entry_id) == "applied"
    assert (account.balance_minor, till.lots(account)) == (0, {})


def test_an_earning_that_is_pending_or_has_lapsed_can_still_be_taken_back(till: Any) -> None:
    pending = till.open(rules=Rules(pending_days=5))
    earned = till.tell(pending, "earn", 30)
    assert earned.available_minor == 0
    assert till.code(pending, "reverse", reverses=earned.entry_id) == "applied"
    lapsed = till.open(rules=TEN_DAYS)
    earned = till.tell(lapsed, "earn", 30)
    till.later(days=20)
    assert till.code(lapsed, "reverse", reverses=earned.entry_id) == "applied"
    assert (pending.balance_minor, lapsed.balance_minor) == (0, 0)


def test_taking_an_earning_back_leaves_what_is_held_covered(till: Any) -> None:
    account = till.open(rules=TEN_DAYS)
    earned = till.tell(account, "earn", 30)
    till.tell(account, "hold", 25)
    assert till.code(account, "reverse", reverses=earned.entry_id) == "insufficient_balance"
    assert till.code(account, "reverse", 5, reverses=earned.entry_id) == "applied"


def test_what_is_held_is_never_left_to_points_that_have_not_begun(till: Any) -> None:
    account = till.open(rules=TEN_DAYS)
    earned = till.tell(account, "earn", 60)
    kept = till.tell(account, "hold", 60, hold_until=till.now + timedelta(days=30))
    till.later(days=11)
    account.terms = replace(account.terms, rules=Rules(pending_days=9))
    till.tell(account, "earn", 40)
    assert till.code(account, "reverse", 1, reverses=earned.entry_id) == "insufficient_balance"
    till.tell(account, "capture", hold_id=kept.hold_id)
    assert (account.balance_minor, account.undated_minor) == (40, 0)


def test_pending_points_are_there_but_cannot_be_spent(till: Any) -> None:
    account = till.open(rules=Rules(pending_days=3))
    earned = till.tell(account, "earn", 30)
    assert (earned.balance_minor, earned.available_minor) == (30, 0)
    assert till.code(account, "redeem", 1) == "insufficient_balance"
    till.later(days=3)
    assert till.tell(account, "redeem", 30).code == "applied"


def test_lapsed_points_cannot_be_spent_even_before_they_are_taken_out(
    till: Any, two_lots: Any
) -> None:
    account, _, late = two_lots
    till.later(days=10)
    refused = till.tell(account, "redeem", 51)
    assert (refused.code, refused.balance_minor, refused.available_minor) == (
        "insufficient_balance", 80, 50,
    )  # fmt: skip
    till.tell(account, "redeem", 10)
    assert till.lots(account)[late] == 40
    assert till.tell(account, "expire").change_minor == -30


def test_points_lapse_once(till: Any, two_lots: Any) -> None:
    account, *_ = two_lots
    till.later(days=10)
    assert till.code(account, "expire") == "applied"
    assert till.code(account, "expire") == "nothing_to_expire"


def test_what_is_held_does_not_lapse_and_can_be_captured_later(till: Any, two_lots: Any) -> None:
    account, _, late = two_lots
    kept = till.tell(account, "hold", 60, hold_until=till.now + timedelta(days=20))
    till.later(days=10)
    # 30 have lapsed; 50 are good; 60 are held: holds rest on lapsed points first.
    assert account.available_minor(till.now) == 20
    assert till.code(account, "expire") == "nothing_to_expire"
    captured = till.tell(account, "capture", hold_id=kept.hold_id)
    assert (captured.code, captured.balance_minor) == ("applied", 20)
    assert (till.lots(account), account.undated_minor) == ({late: 20}, 0)


def test_what_has_lapsed_beyond_what_is_held_lapses(till: Any, two_lots: Any) -> None:
    account, _, late = two_lots
    kept = till.tell(account, "hold", 10, hold_until=till.now + timedelta(days=20))
    till.later(days=10)
    assert till.tell(account, "expire").change_minor == -20
    assert account.available_minor(till.now) == 50
    till.tell(account, "capture", hold_id=kept.hold_id)
    assert till.lots(account) == {late: 50}


def test_points_of_a_released_hold_lapse_as_if_it_had_never_been(till: Any) -> None:
    account = till.open(rules=TEN_DAYS)
    till.tell(account, "earn", 30)
    kept = till.tell(account, "hold", 30, hold_until=till.now + timedelta(days=20))
    till.later(days=15)
    assert till.code(account, "expire") == "nothing_to_expire"
    assert till.code(account, "release", hold_id=kept.hold_id) == "applied"
    assert till.tell(account, "expire").balance_minor == 0


def test_transferred_points_keep_their_dates(till: Any, two_lots: Any) -> None:
    giver, soon, late = two_lots
    receiver = till.open(rules=Rules())
    till.tell(giver, "load", 5)
    moved = till.tell(giver, "transfer", 83, to=receiver)
    assert (moved.balance_minor, moved.other.balance_minor) == (2, 83)
    assert till.lots(receiver) == {soon: 30, late: 50}
    assert receiver.undated_minor == 3
    back = till.tell(giver, "reverse", reverses=moved.entry_id)
    assert (back.code, back.other.balance_minor) == ("applied", 0)
    assert till.lots(giver) == {soon: 30, late: 50}
    assert (till.lots(receiver), receiver.undated_minor) == ({}, 0)


def test_what_is_received_pays_debts_first(till: Any) -> None:
    account = till.open(rules=TEN_DAYS, floor_minor=-50)
    till.tell(account, "redeem", 40)
    till.tell(account, "earn", 30)
    assert (account.balance_minor, till.lots(account)) == (-10, {})
    till.tell(account, "earn", 30)
    assert (account.balance_minor, list(till.lots(account).values())) == (20, [20])


def test_rolling_points_lapse_together_after_the_last_activity(till: Any) -> None:
    account = till.open(rules=ROLLING)
    till.tell(account, "earn", 30)
    till.later(days=20)
    till.tell(account, "redeem", 10)
    till.later(days=20)
    assert till.code(account, "expire") == "nothing_to_expire"
    till.tell(account, "earn", 5)
    till.later(days=31)
    assert account.available_minor(till.now) == 0
    assert till.tell(account, "expire").change_minor == -25


def test_new_points_do_not_lapse_with_old_ones_nor_revive_them(till: Any) -> None:
    account = till.open(rules=ROLLING)
    till.tell(account, "earn", 30)
    till.later(days=31)
    earned = till.tell(account, "earn", 8)
    assert (earned.balance_minor, earned.available_minor) == (38, 8)
    lapsed = till.tell(account, "expire")
    assert (lapsed.change_minor, lapsed.available_minor) == (-30, 8)
    assert till.code(account, "expire") == "nothing_to_expire"


def test_paying_with_what_was_held_is_activity_too(till: Any) -> None:
    account = till.open(rules=ROLLING)
    till.tell(account, "earn", 30)
    kept = till.tell(account, "hold", 10, hold_until=till.now + timedelta(days=25))
    till.later(days=20)
    till.tell(account, "capture", hold_id=kept.hold_id)
    till.later(days=20)
    assert till.code(account, "expire") == "nothing_to_expire"


def test_points_that_come_back_after_all_have_lapsed_do_not_stay_for_ever(till: Any) -> None:
    account = till.open(rules=ROLLING)
    till.tell(account, "earn", 30)
    spent = till.tell(account, "redeem", 10)
    till.later(days=31)
    assert till.tell(account, "expire").change_minor == -20
    till.tell(account, "reverse", reverses=spent.entry_id)
    till.later(days=31)
    assert till.tell(account, "expire").change_minor == -10


def test_an_operator_lets_points_lapse_before_their_time(till: Any, two_lots: Any) -> None:
    account, _, late = two_lots
    assert till.code(account, "expire", 81) == "insufficient_balance"
    assert till.tell(account, "expire", 40).balance_minor == 40
    assert till.lots(account) == {late: 40}


def test_points_that_lapse_do_not_come_back(till: Any, two_lots: Any) -> None:
    account, *_ = two_lots
    lapsed = till.tell(account, "expire", 40)
    assert till.code(account, "reverse", reverses=lapsed.entry_id) == "entry_not_reversible"


def test_taking_an_earning_back_does_not_take_points_that_had_lapsed_before(till: Any) -> None:
    account = till.open(rules=ROLLING)
    till.tell(account, "earn", 30)
    till.later(days=31)
    earned = till.tell(account, "earn", 8)
    till.tell(account, "redeem", 3)
    assert till.code(account, "reverse", reverses=earned.entry_id) == "insufficient_balance"
    undone = till.tell(account, "reverse", 5, reverses=earned.entry_id)
    assert (undone.balance_minor, undone.available_minor) == (30, 0)


def test_a_transfer_that_is_taken_back_in_part_leaves_every_point_its_dates(
    till: Any, two_lots: Any
) -> None:
    giver, soon, late = two_lots
    till.tell(giver, "load", 20)
    receiver = till.open(rules=TEN_DAYS)
    till.tell(receiver, "earn", 100)
    moved = till.tell(giver, "transfer", 100, to=receiver)
    assert till.lots(receiver) == {soon: 30, late: 150}
    for amount, lots, rest in [(15, {}, 5), (40, {late: 35}, 0), (30, {late: 50, soon: 15}, 0)]:
        assert till.code(receiver, "reverse", amount, reverses=moved.entry_id) == "applied"
        assert till.lots(giver) == lots
        assert receiver.undated_minor == rest
        assert till.lots(receiver)[soon] == 30 - lots.get(soon, 0)
        assert till.lots(receiver)[late] == 150 - lots.get(late, 0)


def test_a_load_that_is_taken_back_costs_no_points_with_dates(till: Any, two_lots: Any) -> None:
    account, soon, late = two_lots
    loaded = till.tell(account, "load", 20)
    till.tell(account, "reverse", reverses=loaded.entry_id)
    assert till.lots(account) == {soon: 30, late: 50}
