"""Earning, redeeming, transferring, and what a scan at the till does."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from passferry_ledger.domain.rules import (
    Crossing,
    EarnRule,
    LowBalance,
    RedeemRule,
    Rules,
    ThresholdReached,
    TierLevel,
    TierRule,
)

LARGEST = 2**63 - 1
BUYING = EarnRule(points=1, per_minor=100, purchase_unit="EUR")
TIERS = TierRule(
    valid_days=365,
    levels=(
        TierLevel(name="silver", from_minor=100, earn_percent=150),
        TierLevel(name="gold", from_minor=500, earn_percent=200),
    ),
)


def test_a_purchase_earns_by_the_rule_and_the_tier(till: Any) -> None:
    account = till.open(rules=Rules(earn=BUYING, tiers=TIERS))
    first = till.tell(account, "earn", purchase_minor=10_099, purchase_unit="EUR")
    assert (first.change_minor, first.tier) == (100, "silver")
    second = till.tell(account, "earn", purchase_minor=10_099)
    assert (second.change_minor, second.balance_minor) == (151, 251)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"purchase_minor": 99}, "purchase_earns_nothing"),
        ({"purchase_minor": 500, "purchase_unit": "USD"}, "purchase_unit_mismatch"),
        ({}, "amount_required"),
    ],
)
def test_a_purchase_that_earns_nothing_is_refused(
    till: Any, said: dict[str, Any], code: str
) -> None:
    assert till.code(till.open(rules=Rules(earn=BUYING)), "earn", **said) == code


def test_without_a_rule_a_purchase_earns_nothing(till: Any) -> None:
    assert till.code(till.open(), "earn", purchase_minor=500) == "no_earn_rule"


def test_a_redemption_stays_within_the_programs_bounds(till: Any) -> None:
    rules = Rules(redeem=RedeemRule(minimum_minor=10, maximum_minor=50))
    account = till.open(rules=rules, balance=100)
    codes = [till.code(account, "redeem", amount) for amount in (9, 10, 50, 51)]
    assert codes == ["redemption_too_small", "applied", "applied", "redemption_too_large"]
    assert till.tell(account, "redeem", everything=True).balance_minor == 0
    assert till.code(account, "redeem", everything=True) == "nothing_to_redeem"


def test_limits_bind_per_entry_per_day_and_in_all(till: Any) -> None:
    account = till.open(max_entry_minor=50, max_per_day_minor=80, max_balance_minor=120)
    assert till.code(account, "earn", 51) == "entry_limit_exceeded"
    assert till.code(account, "earn", 50) == "applied"
    assert till.code(account, "earn", 31) == "day_limit_exceeded"
    assert till.code(account, "load", 30) == "applied"
    # What is redeemed is counted for itself.
    assert till.code(account, "redeem", 20) == "applied"
    till.later(hours=12)
    assert till.code(account, "earn", 50) == "applied"
    assert till.code(account, "earn", 11) == "balance_limit_exceeded"
    assert till.code(account, "adjust", 11) == "balance_limit_exceeded"
    assert account.balance_minor == 110


def test_balances_stay_within_64_bits(till: Any) -> None:
    # proves: A22
    account = till.open(balance=LARGEST - 1)
    assert till.code(account, "earn", 2) == "amount_out_of_range"
    assert till.code(account, "adjust", LARGEST) == "amount_out_of_range"
    assert till.tell(account, "earn", 1).balance_minor == LARGEST
    indebted = till.open(floor_minor=-LARGEST)
    assert till.code(indebted, "redeem", LARGEST) == "applied"
    assert till.code(indebted, "redeem", 1) == "amount_out_of_range"


def test_the_low_balance_journey_has_two_crossings(till: Any) -> None:
    # proves: J30
    account = till.open(rules=Rules(thresholds=(LowBalance(below_minor=10, name="low"),)))
    till.tell(account, "earn", 12)
    steps = [("redeem", 3), ("redeem", 1), ("earn", 7), ("redeem", 6)]
    outcomes = [till.tell(account, kind, amount) for kind, amount in steps]
    assert [outcome.balance_minor for outcome in outcomes] == [9, 8, 15, 9]
    low = Crossing(kind="low_balance", threshold_minor=10, name="low")
    assert [outcome.crossings for outcome in outcomes] == [(low,), (), (), (low,)]


def test_a_percentage_is_of_the_last_credit_whichever_command_it_was(till: Any) -> None:
    # proves: J30
    account = till.open(rules=Rules(thresholds=(LowBalance(below_percent=20),)), balance=100)
    assert till.tell(account, "redeem", 81).crossings[0].threshold_minor == 20
    till.tell(account, "adjust", 31)
    assert till.tell(account, "adjust", -40).crossings == ()
    assert till.tell(account, "redeem", 1).crossings[0].threshold_minor == 10


def test_every_tenth_stamp_is_told_once(till: Any) -> None:
    every = ThresholdReached(at_minor=10, name="free coffee", every=True)
    account = till.open(unit="stamps", rules=Rules(thresholds=(every,)))
    told = [till.tell(account, "use").crossings for _ in range(20)]
    assert [place for place, crossings in enumerate(told, start=1) if crossings] == [10, 20]


def test_a_tier_rises_with_what_was_earned_and_is_told(till: Any) -> None:
    account = till.open(rules=Rules(tiers=TIERS))
    assert till.tell(account, "earn", 99).crossings == ()
    silver = Crossing(kind="tier_changed", threshold_minor=100, name="silver")
    assert till.tell(account, "earn", 1).crossings == (silver,)
    gold = till.tell(account, "earn", 400)
    assert (gold.tier, gold.crossings[0].name) == ("gold", "gold")
    # Spending costs no tier.
    assert till.tell(account, "redeem", 450).tier == "gold"


def test_a_tier_is_kept_by_what_was_earned_in_its_period(till: Any) -> None:
    account = till.open(rules=Rules(tiers=TIERS))
    till.tell(account, "earn", 500)
    assert till.code(account, "review") == "nothing_to_review"
    till.later(days=100)
    till.tell(account, "earn", 20)
    till.later(days=265)
    kept = till.tell(account, "review")
    assert (kept.code, kept.tier, kept.crossings) == ("applied", "gold", ())
    assert till.code(account, "review") == "nothing_to_review"


def test_a_tier_goes_down_to_what_was_earned_since(till: Any) -> None:
    account = till.open(rules=Rules(tiers=TIERS))
    till.tell(account, "earn", 500)
    till.later(days=365)
    till.tell(account, "review")
    till.tell(account, "earn", 150)
    till.later(days=365)
    down = till.tell(account, "review")
    assert (down.tier, down.crossings[0].name, down.change_minor) == ("silver", "silver", 0)
    till.later(days=365)
    gone = till.tell(account, "review")
    assert (gone.tier, gone.crossings[0].threshold_minor) == (None, None)
    till.later(days=400)
    assert till.code(account, "review") == "nothing_to_review"


def test_an_earning_after_the_period_begins_the_next(till: Any) -> None:
    account = till.open(rules=Rules(tiers=TIERS))
    till.tell(account, "earn", 120)
    till.later(days=365)
    till.tell(account, "earn", 5)
    till.later(days=365)
    down = till.tell(account, "earn", 7)
    assert (down.tier, [crossing.name for crossing in down.crossings]) == (None, [None])


@pytest.mark.parametrize(
    ("protocol", "unit", "said", "kind", "change"),
    [
        ("MEMBERSHIP", "points", {"purchase_minor": 700}, "earn", 7),
        ("MEMBERSHIP", "points", {"amount": 5}, "redeem", -5),
        ("MEMBERSHIP", "stamps", {}, "earn", 1),
        ("COUPON", "uses", {}, "redeem", -1),
        ("COUPON", "EUR", {"amount": 30}, "redeem", -30),
        ("GIFT_CARD", "EUR", {"amount": 45}, "redeem", -45),
        ("EVENT_TICKET", "visits", {}, "check_in", -1),
    ],
)
def test_a_scan_does_what_the_protocol_says(
    till: Any, protocol: str, unit: str, said: dict[str, Any], kind: str, change: int
) -> None:
    # proves: C9
    account = till.open(protocol=protocol, unit=unit, balance=50, rules=Rules(earn=BUYING))
    outcome = till.tell(account, "use", **said)
    assert (outcome.code, outcome.kind, outcome.change_minor) == ("applied", kind, change)


@pytest.mark.parametrize(
    ("protocol", "unit"), [("MEMBERSHIP", "points"), ("COUPON", "EUR"), ("GIFT_CARD", "EUR")]
)
def test_a_scan_that_needs_an_amount_says_so(till: Any, protocol: str, unit: str) -> None:
    # proves: C9
    account = till.open(protocol=protocol, unit=unit, balance=50)
    assert till.code(account, "use") == "amount_required"


def test_a_ticket_lets_its_holder_in_once(till: Any) -> None:
    ticket = till.open(protocol="EVENT_TICKET", unit="visits", balance=1)
    first = till.tell(ticket, "check_in")
    assert (first.code, first.balance_minor, first.is_exhausted) == ("applied", 0, False)
    assert till.code(ticket, "check_in") == "already_checked_in"
    assert till.code(ticket, "use") == "already_checked_in"
    assert till.code(till.open(protocol="EVENT_TICKET"), "check_in") == "nothing_to_redeem"
    assert till.code(till.open(balance=5), "check_in") == "action_not_supported"


def test_a_ticket_with_re_entry_lets_its_holder_in_again_for_nothing(till: Any) -> None:
    ticket = till.open(
        protocol="EVENT_TICKET", unit="visits", balance=1, rules=Rules(allows_re_entry=True)
    )
    first, again = till.tell(ticket, "check_in"), till.tell(ticket, "check_in")
    assert [first.change_minor, again.change_minor] == [-1, 0]
    assert again.version == first.version + 1
    # The way in that was a mistake is given back, and no more than that.
    assert till.code(ticket, "reverse", reverses=again.entry_id) == "entry_not_reversible"
    assert till.tell(ticket, "reverse", reverses=first.entry_id).balance_minor == 1


def test_a_coupon_is_exhausted_exactly_once(till: Any) -> None:
    # proves: A18, A5
    coupon = till.open(protocol="COUPON", unit="uses", balance=3)
    outcomes = [till.tell(coupon, "use") for _ in range(5)]
    assert [outcome.code for outcome in outcomes] == ["applied"] * 3 + ["insufficient_balance"] * 2
    assert [outcome.is_exhausted for outcome in outcomes] == [False, False, True, False, False]


def test_marking_a_coupon_as_used_takes_all_that_is_left(till: Any) -> None:
    # proves: A5
    coupon = till.open(protocol="COUPON", unit="EUR", balance=1_250)
    till.tell(coupon, "redeem", 50)
    used = till.tell(coupon, "redeem", everything=True)
    assert (used.change_minor, used.balance_minor, used.is_exhausted) == (-1_200, 0, True)


@pytest.mark.parametrize("protocol", ["MEMBERSHIP", "GIFT_CARD"])
def test_an_empty_balance_is_final_for_coupons_only(till: Any, protocol: str) -> None:
    account = till.open(protocol=protocol, balance=5)
    assert till.tell(account, "redeem", 5).is_exhausted is False


def test_a_closed_account_gives_back_and_lets_go_and_no_more(till: Any) -> None:
    # proves: A26, J93
    coupon, friend = till.open(protocol="COUPON", balance=9), till.open()
    spent = till.tell(coupon, "redeem", 2)
    kept = till.tell(coupon, "hold", 3)
    coupon.is_open = False
    refused = {
        till.code(coupon, kind, amount, **said)
        for kind, amount, said in [
            ("load", 1, {}),
            ("earn", 1, {}),
            ("redeem", 1, {}),
            ("use", None, {}),
            ("adjust", 1, {}),
            ("adjust", -1, {}),
            ("transfer", 1, {"to": friend}),
            ("hold", 1, {}),
            ("capture", None, {"hold_id": kept.hold_id}),
            ("expire", 1, {}),
            ("close", None, {}),
            ("check_in", None, {}),
        ]
    }
    assert refused == {"account_closed"}
    assert till.code(friend, "transfer", 1, to=coupon) == "other_account_closed"
    assert till.code(coupon, "release", hold_id=kept.hold_id) == "applied"
    assert till.code(coupon, "reverse", reverses=spent.entry_id) == "applied"
    assert (coupon.is_open, coupon.balance_minor) == (False, 9)


def test_closing_needs_all_holds_ended_and_is_done_once(till: Any) -> None:
    # proves: J93
    account = till.open(balance=9)
    kept = till.tell(account, "hold", 3)
    assert till.code(account, "close") == "holds_open"
    till.tell(account, "release", hold_id=kept.hold_id)
    closed = till.tell(account, "close", reason="left")
    assert (closed.code, closed.balance_minor, account.closed_reason) == ("applied", 9, "left")
    assert till.code(account, "close") == "account_closed"


def test_who_may_not_is_told_why(till: Any) -> None:
    upstream = till.open(balance=5)
    upstream.is_kept_upstream = True
    assert till.code(upstream, "redeem", 1) == "balance_kept_upstream"
    assert till.code(till.open(), "earn", 1, suspended=True) == "workspace_suspended"
    assert till.code(till.open(status="suspended"), "earn", 1) == "program_suspended"
    assert till.code(till.open(status="retired"), "earn", 1) == "program_retired"
    assert till.code(till.open(), "earn", 1, unit="EUR") == "unit_mismatch"


def test_a_transfer_moves_what_the_giver_has_and_no_more(till: Any) -> None:
    giver, receiver = till.open(balance=30), till.open(balance=5, max_balance_minor=30)
    assert till.code(giver, "transfer", 31, to=receiver) == "other_balance_limit_exceeded"
    assert till.code(giver, "transfer", 1) == "other_pass_unknown"
    assert till.code(giver, "transfer", 1, to=giver) == "transfer_to_itself"
    assert till.code(giver, "transfer", to=receiver) == "amount_required"
    assert till.code(giver, "transfer", 1, to=till.open(unit="stamps")) == "unit_mismatch"
    moved = till.tell(giver, "transfer", 20, to=receiver)
    assert (moved.balance_minor, moved.version) == (10, 2)
    assert (moved.other.balance_minor, moved.other.version) == (25, 2)
    till.tell(giver, "hold", 4)
    richer = till.open()
    assert till.tell(giver, "transfer", everything=True, to=richer).balance_minor == 4
    assert till.code(giver, "transfer", everything=True, to=richer) == "nothing_to_redeem"


def test_a_reference_is_written_once(till: Any) -> None:
    # proves: A19
    account, other = till.open(balance=9), till.open(balance=9)
    reference = str(uuid4())
    assert till.code(account, "redeem", 99, reference=reference) == "insufficient_balance"
    assert till.code(account, "redeem", 1, reference=reference) == "applied"
    assert till.code(account, "redeem", 1, reference=reference) == "reference_used"
    assert till.code(other, "redeem", 1, reference=reference) == "reference_used"
    assert till.code(account, "reverse", reverses_reference=reference) == "applied"
