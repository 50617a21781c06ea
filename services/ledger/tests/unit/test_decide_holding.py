"""Amounts set aside: captured in whole, in part, or let go."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from passferry_ledger.domain.rules import Rules


def test_what_is_held_cannot_be_spent_otherwise(till: Any) -> None:
    account = till.open(balance=10)
    kept = till.tell(account, "hold", 7)
    assert (kept.balance_minor, kept.held_minor, kept.available_minor) == (10, 7, 3)
    assert kept.hold_id == kept.entry_id
    assert till.code(account, "redeem", 4) == "insufficient_balance"
    assert till.code(account, "adjust", -4) == "insufficient_balance"
    assert till.code(account, "hold", 4) == "insufficient_balance"
    assert till.code(account, "expire", 4) == "insufficient_balance"
    assert till.tell(account, "redeem", 3).available_minor == 0


def test_capturing_a_part_releases_the_rest(till: Any) -> None:
    account = till.open(balance=10)
    kept = till.tell(account, "hold", 7)
    captured = till.tell(account, "capture", 5, hold_id=kept.hold_id)
    assert (captured.balance_minor, captured.held_minor, captured.available_minor) == (5, 0, 5)
    assert till.code(account, "capture", 1, hold_id=kept.hold_id) == "hold_ended"
    assert till.code(account, "release", hold_id=kept.hold_id) == "hold_ended"
    hold = till.book.holds[kept.hold_id]
    assert (hold.captured_minor, hold.released_minor, hold.state) == (5, 2, "captured")


def test_capturing_a_part_may_keep_the_rest(till: Any) -> None:
    account = till.open(balance=10)
    kept = till.tell(account, "hold", 7)
    first = till.tell(account, "capture", 2, hold_id=kept.hold_id, keep_rest=True)
    assert (first.balance_minor, first.held_minor) == (8, 5)
    assert till.code(account, "capture", 6, hold_id=kept.hold_id) == "hold_exceeded"
    last = till.tell(account, "capture", hold_id=kept.hold_id)
    assert (last.balance_minor, last.held_minor, account.open_holds) == (3, 0, 0)


def test_releasing_gives_back_what_was_not_captured(till: Any) -> None:
    account = till.open(balance=10)
    kept = till.tell(account, "hold", 7)
    till.tell(account, "capture", 2, hold_id=kept.hold_id, keep_rest=True)
    released = till.tell(account, "release", hold_id=kept.hold_id)
    assert (released.balance_minor, released.held_minor, released.available_minor) == (8, 0, 8)
    assert released.change_minor == 0


def test_a_hold_is_of_one_pass(till: Any) -> None:
    account, other = till.open(balance=10), till.open(balance=10)
    kept = till.tell(account, "hold", 7)
    for kind in ("capture", "release"):
        assert till.code(other, kind, hold_id=kept.hold_id) == "hold_unknown"
        assert till.code(other, kind) == "hold_unknown"


def test_a_hold_that_has_run_out_can_only_be_released(till: Any) -> None:
    account = till.open(balance=10, rules=Rules(hold_expires_after_s=60))
    kept = till.tell(account, "hold", 7)
    till.later(seconds=60)
    assert till.code(account, "capture", hold_id=kept.hold_id) == "hold_ended"
    assert till.tell(account, "release", hold_id=kept.hold_id).available_minor == 10
    assert till.book.holds[kept.hold_id].state == "expired"


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        (timedelta(0), "hold_until_invalid"),
        (timedelta(seconds=1), "applied"),
        (timedelta(days=31), "applied"),
        (timedelta(days=31, seconds=1), "hold_until_invalid"),
    ],
)
def test_a_hold_ends_within_a_month(till: Any, ends: timedelta, code: str) -> None:
    account = till.open(balance=10)
    assert till.code(account, "hold", 1, hold_until=till.now + ends) == code


def test_a_pass_has_a_bounded_number_of_open_holds(till: Any) -> None:
    account = till.open(balance=1_000)
    holds = [till.tell(account, "hold", 1) for _ in range(101)]
    assert [each.code for each in holds] == ["applied"] * 100 + ["too_many_holds"]
    till.tell(account, "release", hold_id=holds[0].hold_id)
    assert till.code(account, "hold", 1) == "applied"


def test_what_was_promised_is_not_refused_for_limits(till: Any) -> None:
    account = till.open(balance=100, max_per_day_minor=60)
    kept = till.tell(account, "hold", 50)
    assert till.code(account, "redeem", 11) == "day_limit_exceeded"
    till.tell(account, "redeem", 10)
    assert till.code(account, "capture", hold_id=kept.hold_id) == "applied"


def test_a_coupon_is_exhausted_by_capture_too(till: Any) -> None:
    # proves: A18
    coupon = till.open(protocol="COUPON", unit="uses", balance=1)
    kept = till.tell(coupon, "hold", 1)
    assert kept.is_exhausted is False
    assert till.tell(coupon, "capture", hold_id=kept.hold_id).is_exhausted is True


def test_a_capture_can_be_taken_back_and_its_hold_stays_ended(till: Any) -> None:
    account = till.open(balance=10)
    kept = till.tell(account, "hold", 7)
    captured = till.tell(account, "capture", 5, hold_id=kept.hold_id)
    undone = till.tell(account, "reverse", reverses=captured.entry_id)
    assert (undone.balance_minor, undone.held_minor, undone.available_minor) == (10, 0, 10)
    assert till.code(account, "reverse", reverses=kept.entry_id) == "entry_not_reversible"
