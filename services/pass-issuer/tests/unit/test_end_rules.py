"""When a pass ends by itself, and with which reason. proves: J93, A26"""

from __future__ import annotations

from dataclasses import MISSING, fields
from datetime import UTC, datetime, timedelta

import pytest

from passferry_contracts.types import PassStatus
from passferry_pass_issuer.domain.end_rules import (
    NEVER,
    SPENT_RESTS,
    check_not_over,
    ended_by_rule,
    moment_of,
    rules_over,
    with_end,
)
from passferry_pass_issuer.domain.google_states import google_state
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.template_parsing import parse_template_content
from passferry_pass_issuer.domain.wallet_pass import WalletPass

pytestmark = pytest.mark.unit

NOW = datetime(2026, 5, 14, 12, tzinfo=UTC)
ISSUED = NOW - timedelta(days=10)
APPLE = {
    "style": "storeCard",
    "organization_name": "Café",
    "description": "Card",
    "fields": {"header": [{"key": "a", "value": "b"}]},
}


def card(**changes):
    """Rules look at nothing else of a pass."""
    nothing = {each.name: None for each in fields(WalletPass) if each.default is MISSING}
    given = {"status": PassStatus.ACTIVE, "created_at": ISSUED, "field_values": {}}
    return WalletPass(**(nothing | given | {"balance_minor": 100} | changes))


def rules(*given):
    return parse_template_content({"apple": APPLE, "ends_when": list(given)}).ends_when


def end_of(row, *given, time_zone=None):
    ending = with_end(row, rules(*given), time_zone=time_zone, now=NOW)
    return ending.ends_at, ending.ends_as


def test_a_pass_of_a_template_without_rules_never_ends_by_itself():
    assert end_of(card(balance_minor=0, uses=9)) == (None, None)


def test_a_spent_balance_ends_a_pass_that_was_used_and_none_that_begins_with_nothing():
    rule = {"balance_spent": True}
    assert end_of(card(balance_minor=0), rule) == (None, None)
    assert end_of(card(balance_minor=1, redeemed_version=3), rule) == (None, None)
    rested = NOW + SPENT_RESTS
    assert end_of(card(balance_minor=0, redeemed_version=3), rule) == (rested, "redeemed")
    # One that takes the place of a used card has nothing until the ledger moved it.
    assert end_of(card(balance_minor=0, uses=1), rule) == (None, None)


def test_a_spent_card_rests_once_and_lives_on_when_it_is_topped_up_meanwhile():
    rule, soon = {"balance_spent": True}, NOW + timedelta(minutes=1)
    resting = {"redeemed_version": 3, "ends_at": soon, "ends_as": "redeemed"}
    assert end_of(card(balance_minor=0, **resting), rule) == (soon, "redeemed")
    assert end_of(card(balance_minor=5, **resting), rule) == (None, None)
    # A far end for another rule with the same word is no rest.
    far = resting | {"ends_at": NOW + timedelta(days=9)}
    assert end_of(card(balance_minor=0, **far), rule) == (NOW + SPENT_RESTS, "redeemed")


def test_uses_that_are_used_up_end_a_pass():
    assert end_of(card(uses=9), {"uses": 10}) == (None, None)
    assert end_of(card(uses=10), {"uses": 10}) == (NOW, "redeemed")


def test_days_count_from_the_issue_or_from_the_last_use():
    used = NOW - timedelta(days=1)
    assert end_of(card(), {"days_after_issue": 30}) == (ISSUED + timedelta(days=30), "expired")
    idle = {"days_after_last_use": 30}
    assert end_of(card(), idle) == (ISSUED + timedelta(days=30), "inactive")
    assert end_of(card(last_used_at=used), idle) == (used + timedelta(days=30), "inactive")
    # Used before it was written down when: the pass was changed then, or later.
    before = card(redeemed_version=3, updated_at=used)
    assert end_of(before, idle) == (used + timedelta(days=30), "inactive")
    # What an upstream says of the future is no reason to fall over.
    far = datetime.max.replace(tzinfo=UTC)
    assert end_of(card(last_used_at=far), idle) == (None, None)


def test_days_of_a_card_that_takes_the_place_of_another_count_from_the_first():
    first = ISSUED - timedelta(days=20)
    row = card(first_issued_at=first)
    assert end_of(row, {"days_after_issue": 31}) == (first + timedelta(days=31), "expired")
    assert end_of(row, {"days_after_last_use": 31}) == (first + timedelta(days=31), "inactive")
    used = NOW - timedelta(days=1)
    row = card(first_issued_at=first, last_used_at=used)
    assert end_of(row, {"days_after_last_use": 31}) == (used + timedelta(days=31), "inactive")


@pytest.mark.parametrize(
    ("row", "rule", "where"),
    [
        (card(field_values={"until": "2026-05-13"}), {"date_field": "until"}, "fields.until"),
        (card(uses=3), {"uses": 3}, "ends_when.0"),
        (card(first_issued_at=NOW - timedelta(days=30)), {"days_after_issue": 30}, "ends_when.0"),
    ],
)
def test_a_new_pass_that_would_be_over_at_once_is_refused_with_what_is_at_fault(row, rule, where):
    with pytest.raises(ContentRejected) as refused:
        check_not_over(row, rules(rule), time_zone=None, now=NOW)
    assert (refused.value.field, refused.value.code) == (where, "over_already")


def test_a_new_pass_whose_day_is_today_is_not_over():
    row = card(field_values={"until": "2026-05-14"}, uses=2, balance_minor=0)
    given = rules({"date_field": "until"}, {"uses": 3}, {"balance_spent": True})
    check_not_over(row, given, time_zone="Europe/Berlin", now=NOW)


@pytest.mark.parametrize(
    "value", ["9999-12-31", "9999-12-31T23:59:59-05:00", "9999-12-31T23:59:59.999999"]
)
def test_the_last_day_of_all_is_no_end(value):
    row = card(field_values={"until": value})
    assert end_of(row, {"date_field": "until"}) == (None, None)
    assert end_of(row, {"date_field": "until"}, time_zone="Europe/Berlin") == (None, None)


def test_the_earliest_rule_decides_and_says_its_own_reason():
    row = card(uses=1, balance_minor=5, field_values={"until": "2026-05-20"})
    given = (
        {"balance_spent": True},
        {"date_field": "until", "reason": "inactive"},
        {"days_after_issue": 365},
    )
    assert end_of(row, *given) == (datetime(2026, 5, 21, tzinfo=UTC), "inactive")


@pytest.mark.parametrize(
    ("value", "zone", "moment"),
    [
        ("2026-05-20", None, datetime(2026, 5, 21, tzinfo=UTC)),
        ("2026-05-20", "Europe/Berlin", datetime(2026, 5, 20, 22, tzinfo=UTC)),
        ("2026-05-20T18:00:00+02:00", None, datetime(2026, 5, 20, 16, tzinfo=UTC)),
        ("2026-05-20T18:00:00", "Europe/Berlin", datetime(2026, 5, 20, 16, tzinfo=UTC)),
        ("20260520", None, None),
        ("soon", None, None),
        (45000, None, None),
        ("2026-05-20 18:00", None, datetime(2026, 5, 20, 18, tzinfo=UTC)),
        ("2026-05-20T18:00:00.5Z", None, datetime(2026, 5, 20, 18, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-W21-3", None, None),
        ("20260520T180000", None, None),
        ("0001-01-01", None, None),
        ("2026-02-30", None, None),
        ("2026-05-20T24:30", None, None),
        ("2026-05-20\n", None, None),
        ("9999-12-31", None, NEVER),
    ],
)
def test_a_day_is_over_when_it_ends_where_the_program_is(value, zone, moment):
    assert moment_of(value, zone) == moment


def test_a_value_that_is_no_date_is_refused_with_its_name_and_an_absent_one_ends_nothing():
    rule = {"date_field": "until"}
    assert end_of(card(), rule) == (None, None)
    with pytest.raises(ContentRejected) as refused:
        end_of(card(field_values={"until": "soon"}), rule)
    assert (refused.value.field, refused.value.code) == ("fields.until", "date_invalid")


def test_a_pass_that_ended_otherwise_is_not_ended_again():
    voided = card(status=PassStatus.VOIDED, status_reason="exhausted", balance_minor=0, uses=1)
    assert end_of(voided, {"balance_spent": True}) == (None, None)


@pytest.mark.parametrize(
    ("reason", "status", "state"),
    [("redeemed", "voided", "COMPLETED"), ("expired", "expired", "EXPIRED"),
     ("inactive", "voided", "INACTIVE")],
)  # fmt: skip
def test_each_reason_has_its_status_and_its_state_at_google(reason, status, state):
    ended = ended_by_rule(card(ends_at=NOW, ends_as=reason))
    assert (ended.status.value, ended.status_reason) == (status, reason)
    assert google_state(ended.status, ended.status_reason) == state


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ([{}], "ends_when.0"),
        ([{"uses": 3, "balance_spent": True}], "ends_when.0"),
        ([{"balance_spent": False}], "ends_when.0.balance_spent"),
        ([{"uses": 0}], "ends_when.0.uses"),
        ([{"uses": "3"}], "ends_when.0.uses"),
        ([{"uses": True}], "ends_when.0.uses"),
        ([{"days_after_issue": 3651}], "ends_when.0.days_after_issue"),
        ([{"date_field": "no name"}], "ends_when.0.date_field"),
        ([{"uses": 3, "reason": "fraud"}], "ends_when.0.reason"),
        ([{"uses": 3, "after": 1}], "ends_when.0.after"),
        ([{"uses": 3}, {"uses": 4}], "ends_when.1"),
        ([{"uses": 3}] * 9, "ends_when"),
        ({"uses": 3}, "ends_when"),
    ],
)
def test_a_rule_that_cannot_be_kept_is_refused_with_its_path(given, where):
    with pytest.raises(ContentRejected) as refused:
        parse_template_content({"apple": APPLE, "ends_when": given})
    assert refused.value.field == where


SPENT, USED, DATED = {"balance_spent": True}, {"uses": 3}, {"date_field": "until"}


@pytest.mark.parametrize(
    ("changes", "over"),
    [
        ({}, []),
        ({"balance_minor": 0}, []),
        # It rests for five minutes, and ends then.
        ({"balance_minor": 0, "redeemed_version": 1}, [0]),
        ({"uses": 3}, [1]),
        ({"uses": 3, "balance_minor": 0, "redeemed_version": 3}, [0, 1]),
        ({"field_values": {"until": "2026-05-13"}}, [2]),
        ({"field_values": {"until": "2026-05-14"}}, []),
        ({"field_values": {"until": "2026-05-14T12:03:00Z"}}, []),
        ({"field_values": {"until": "2026-05-14T12:00:00Z"}}, [2]),
        ({"uses": 3, "status": PassStatus.VOIDED}, []),
    ],
)
def test_the_rules_that_would_end_a_pass_now_are_named_by_their_places(changes, over):
    found = rules_over(card(**changes), rules(SPENT, USED, DATED), time_zone=None, now=NOW)
    assert found == over
    # The same rules end it, and no other.
    at, _ = end_of(card(**changes), SPENT, USED, DATED)
    is_ending = at is not None and at <= NOW + SPENT_RESTS
    assert bool(over) <= is_ending


def test_a_date_that_is_none_is_refused_as_the_rule_would_refuse_it():
    with pytest.raises(ContentRejected, match="must be a day"):
        rules_over(
            card(field_values={"until": "soon"}), rules(DATED, USED), time_zone=None, now=NOW
        )
