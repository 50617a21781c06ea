"""What a program's rules give for an amount, a day and two balances."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from passferry_ledger.domain.rules import (
    UNDATED,
    Crossing,
    EarnRule,
    ExpiryKind,
    ExpiryRule,
    LotDates,
    LowBalance,
    Rules,
    ThresholdReached,
    TierLevel,
    TierRule,
)

POINT_PER_EURO = EarnRule(points=1, per_minor=100, purchase_unit="EUR")
TIERS = TierRule(
    valid_days=365,
    levels=(
        TierLevel(name="silver", from_minor=100, earn_percent=125),
        TierLevel(name="gold", from_minor=500, earn_percent=150),
    ),
)


@pytest.mark.parametrize(
    ("purchase", "percent", "points"),
    [
        (99, 100, 0),
        (100, 100, 1),
        (199, 100, 1),
        (1_999, 100, 19),
        (1_999, 150, 29),
        (1_999, 125, 24),
        (100, 1, 0),
        (10_000, 1, 1),
        (2**62, 10_000, 2**62),
    ],
)
def test_points_for_a_purchase_are_rounded_down_once(
    purchase: int, percent: int, points: int
) -> None:
    # proves: A22
    assert POINT_PER_EURO.points_for(purchase, percent=percent) == points


def test_a_purchase_below_the_minimum_earns_nothing() -> None:
    rule = EarnRule(points=3, per_minor=100, purchase_unit="EUR", minimum_purchase_minor=500)
    assert [rule.points_for(purchase) for purchase in (499, 500)] == [0, 15]


@pytest.mark.parametrize(
    ("earned", "level"), [(0, None), (99, None), (100, "silver"), (499, "silver"), (500, "gold")]
)
def test_the_highest_level_that_was_reached_counts(earned: int, level: str | None) -> None:
    found = TIERS.level_for(earned)
    assert (found.name if found else None) == level


def test_a_tier_that_the_program_no_longer_has_counts_as_none() -> None:
    assert [TIERS.rank(name) for name in (None, "bronze", "silver", "gold")] == [0, 0, 1, 2]
    assert TIERS.earn_percent("bronze") == 100


def crossed(threshold: Any, balances: list[int]) -> list[int]:
    """Balances at which the threshold was told; credits set what a percentage is of."""
    rules = Rules(thresholds=(threshold,))
    told, full = [], balances[0]
    for before, after in pairwise(balances):
        if rules.crossings(before=before, after=after, full=full):
            told.append(after)
        full = after if after > before else full
    return told


def test_a_low_balance_is_told_once_per_crossing() -> None:
    # proves: J30
    assert crossed(LowBalance(below_minor=10), [12, 9, 8, 15, 9]) == [9, 9]


def test_a_balance_at_the_line_is_not_below_it() -> None:
    # proves: J30
    assert crossed(LowBalance(below_minor=10), [12, 10, 9, 10, 9]) == [9, 9]


def test_a_percentage_is_of_the_balance_after_the_last_credit() -> None:
    # proves: J30
    low = LowBalance(below_percent=20)
    assert crossed(low, [100, 20, 19, 10, 110, 22, 21]) == [19, 21]


def test_a_percentage_of_a_balance_that_it_does_not_divide_is_exact() -> None:
    # 20 % of 99 is 19.8: 20 is above it and 19 is below.
    assert crossed(LowBalance(below_percent=20), [99, 20, 19]) == [19]
    (told,) = Rules(thresholds=(LowBalance(below_percent=20),)).crossings(
        before=20, after=19, full=99
    )
    assert told == Crossing(kind="low_balance", threshold_minor=20, name=None)


def test_reaching_a_threshold_is_told_when_the_balance_rises_to_it() -> None:
    assert crossed(ThresholdReached(at_minor=10, name="ten"), [0, 9, 10, 11, 9, 12]) == [10, 12]


def test_a_repeating_threshold_is_told_at_each_multiple_and_once_per_entry() -> None:
    # proves: J30
    stamps = ThresholdReached(at_minor=10, name="free coffee", every=True)
    assert crossed(stamps, [0, 9, 10, 19, 20, 45, 44, 49, 50]) == [10, 20, 45, 50]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("zone", "kind", "number", "now", "expires"),
    [
        # Days are those of the program's zone, and the last one counts whole.
        ("UTC", "after_days", 1, "2026-05-14T23:59+00:00", "2026-05-16T00:00+00:00"),
        ("Asia/Tokyo", "after_days", 1, "2026-05-14T15:00+00:00", "2026-05-17T00:00+09:00"),
        ("America/New_York", "after_days", 1, "2026-05-15T03:59+00:00", "2026-05-16T00:00-04:00"),
        # Clocks change on the way: 30 days are 30 midnights, not 720 hours.
        ("Europe/Berlin", "after_days", 30, "2026-03-10T12:00+01:00", "2026-04-10T00:00+02:00"),
        ("Europe/Berlin", "after_days", 30, "2026-10-10T12:00+02:00", "2026-11-10T00:00+01:00"),
        # The night in which the hour is missing, and the one in which it comes twice.
        ("Europe/Berlin", "after_days", 1, "2026-03-28T23:30+01:00", "2026-03-30T00:00+02:00"),
        ("Europe/Berlin", "after_days", 1, "2026-10-25T02:30+02:00", "2026-10-27T00:00+01:00"),
        ("UTC", "end_of_month", 0, "2026-01-31T23:59+00:00", "2026-02-01T00:00+00:00"),
        ("UTC", "end_of_month", 1, "2026-01-31T12:00+00:00", "2026-03-01T00:00+00:00"),
        ("UTC", "end_of_month", 0, "2026-12-01T00:00+00:00", "2027-01-01T00:00+00:00"),
        ("UTC", "end_of_month", 13, "2026-12-31T12:00+00:00", "2028-02-01T00:00+00:00"),
        ("Europe/Berlin", "end_of_month", 0, "2026-05-31T22:30+00:00", "2026-07-01T00:00+02:00"),
        ("UTC", "end_of_year", 0, "2026-12-31T23:59+00:00", "2027-01-01T00:00+00:00"),
        ("Europe/Berlin", "end_of_year", 0, "2026-12-31T23:30+00:00", "2028-01-01T00:00+01:00"),
        ("Pacific/Kiritimati", "end_of_year", 1, "2026-12-31T10:00+00:00", "2029-01-01T00:00+14:00"),
    ],
)  # fmt: skip
def test_points_lapse_at_midnight_of_the_programs_zone(
    zone: str, kind: str, number: int, now: str, expires: str
) -> None:
    rules = Rules(time_zone=zone, expiry=ExpiryRule(kind=ExpiryKind(kind), number=number))
    assert rules.lot_dates(moment(now)) == LotDates(expires_at=moment(expires))


def test_what_is_earned_on_one_day_shares_its_dates() -> None:
    rules = Rules(
        time_zone="Europe/Berlin", expiry=ExpiryRule(kind=ExpiryKind.AFTER_DAYS, number=10)
    )
    times = ["2026-05-14T00:00+02:00", "2026-05-14T23:59+02:00", "2026-05-15T00:00+02:00"]
    first, second, third = [rules.lot_dates(moment(each)) for each in times]
    assert first == second != third


def test_pending_points_begin_at_a_midnight() -> None:
    rules = Rules(time_zone="Europe/Berlin", pending_days=14)
    dates = rules.lot_dates(moment("2026-03-20T15:00+01:00"))
    assert dates == LotDates(starts_at=moment("2026-04-03T00:00+02:00"))


def test_points_never_lapse_before_they_begin() -> None:
    rules = Rules(pending_days=10, expiry=ExpiryRule(kind=ExpiryKind.END_OF_MONTH, number=0))
    assert rules.lot_dates(moment("2026-05-25T12:00+00:00")) == LotDates(
        starts_at=moment("2026-06-04T00:00+00:00"), expires_at=moment("2026-07-01T00:00+00:00")
    )


def test_without_an_expiry_points_have_no_dates() -> None:
    now = moment("2026-05-14T12:00+00:00")
    rolling = Rules(expiry=ExpiryRule(kind=ExpiryKind.ROLLING, number=30))
    assert Rules().lot_dates(now) == rolling.lot_dates(now) == UNDATED
    assert Rules().expires_without_activity_at(now) is None
    assert rolling.expires_without_activity_at(now) == moment("2026-06-14T00:00+00:00")
