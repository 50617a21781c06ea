"""Which rules and thresholds a program can have, and where a fault lies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from passferry_contracts.program_rules import (
    AfterDays,
    LowBalance,
    ProgramRules,
    Rolling,
    Threshold,
    ThresholdReached,
    parse_rules,
    parse_thresholds,
)
from passferry_contracts.types import MAX_AMOUNT_MINOR

pytestmark = pytest.mark.unit

EARN = {"points": 1, "per_minor": 100, "purchase_unit": "EUR"}
ALL_RULES = {
    "time_zone": "Europe/Berlin",
    "earn": EARN | {"minimum_purchase_minor": 500},
    "redeem": {"minimum_minor": 10, "maximum_minor": 10},
    "expiry": {"kind": "after_days", "days": 365},
    "pending_days": 14,
    "announce_expiry_days": 30,
    "hold": {"expire_after_s": 60},
    "check_in": {"re_entry": True},
    "tiers": {
        "valid_days": 730,
        "levels": [
            {"name": "Silver", "from_minor": 500},
            {"name": "Gold", "from_minor": 501, "earn_percent": 150},
        ],
    },
}


def levels(*pairs):
    return {"levels": [{"name": name, "from_minor": from_minor} for name, from_minor in pairs]}


def low(**members):
    return {"kind": "low_balance", **members}


def reached(**members):
    return {"kind": "threshold_reached", "at_minor": 60, "name": "Free espresso", **members}


def places(parse, given):
    with pytest.raises(ValidationError) as refused:
        parse(given)
    return [".".join(map(str, fault["loc"])) for fault in refused.value.errors()]


def test_no_rules_are_rules_with_every_default():
    rules = parse_rules({})
    assert rules == ProgramRules()
    assert (rules.time_zone, rules.pending_days, rules.announce_expiry_days) == ("UTC", 0, 0)
    assert (rules.hold.expire_after_s, rules.check_in.re_entry) == (604_800, False)
    assert (rules.earn, rules.redeem, rules.expiry, rules.tiers) == (None, None, None, None)


def test_every_rule_is_read_and_what_was_given_comes_back():
    rules = parse_rules(ALL_RULES)
    assert isinstance(rules.expiry, AfterDays)
    assert [level.earn_percent for level in rules.tiers.levels] == [100, 150]
    assert rules.model_dump(mode="json", exclude_unset=True) == ALL_RULES
    assert parse_rules(rules.model_dump(mode="json")) == rules


@pytest.mark.parametrize(
    ("rules", "place"),
    [
        ({"a": 1}, "a"),
        ({"time_zone": "Berlin"}, "time_zone"),
        ({"time_zone": "Europe"}, "time_zone"),
        ({"time_zone": "../etc/passwd"}, "time_zone"),
        ({"time_zone": "/usr/share/zoneinfo/UTC"}, "time_zone"),
        ({"time_zone": "right/UTC"}, "time_zone"),
        ({"time_zone": "localtime"}, "time_zone"),
        ({"time_zone": "leapseconds"}, "time_zone"),
        ({"time_zone": ""}, "time_zone"),
        ({"time_zone": None}, "time_zone"),
        ({"earn": {"points": 1, "per_minor": 100}}, "earn.purchase_unit"),
        ({"earn": EARN | {"points": 0}}, "earn.points"),
        ({"earn": EARN | {"points": 1.0}}, "earn.points"),
        ({"earn": EARN | {"points": "1"}}, "earn.points"),
        ({"earn": EARN | {"points": True}}, "earn.points"),
        ({"earn": EARN | {"per_minor": MAX_AMOUNT_MINOR + 1}}, "earn.per_minor"),
        ({"earn": EARN | {"purchase_unit": "E R"}}, "earn.purchase_unit"),
        ({"earn": EARN | {"minimum_purchase_minor": -1}}, "earn.minimum_purchase_minor"),
        ({"redeem": {"minimum_minor": 0}}, "redeem.minimum_minor"),
        ({"redeem": {"minimum_minor": 5, "maximum_minor": 4}}, "redeem.maximum_minor"),
        ({"expiry": 30}, "expiry"),
        ({"expiry": {"days": 30}}, "expiry.kind"),
        ({"expiry": {"kind": "some_day"}}, "expiry.kind"),
        ({"expiry": {"kind": ["rolling"]}}, "expiry.kind"),
        ({"expiry": {"kind": "after_days"}}, "expiry.days"),
        ({"expiry": {"kind": "after_days", "days": 0}}, "expiry.days"),
        ({"expiry": {"kind": "after_days", "days": 3_651}}, "expiry.days"),
        ({"expiry": {"kind": "end_of_month", "months": 121}}, "expiry.months"),
        ({"expiry": {"kind": "end_of_year", "years": -1}}, "expiry.years"),
        ({"expiry": {"kind": "end_of_year", "years": 1, "days": 1}}, "expiry.days"),
        ({"expiry": {"kind": "rolling", "days": 1.5}}, "expiry.days"),
        ({"pending_days": 366}, "pending_days"),
        ({"announce_expiry_days": -1}, "announce_expiry_days"),
        ({"hold": {"expire_after_s": 59}}, "hold.expire_after_s"),
        ({"hold": {"expire_after_s": 2_678_401}}, "hold.expire_after_s"),
        ({"check_in": {"re_entry": 1}}, "check_in.re_entry"),
        ({"check_in": {"re_entry": "yes"}}, "check_in.re_entry"),
        ({"tiers": {}}, "tiers.levels"),
        ({"tiers": levels()}, "tiers.levels"),
        ({"tiers": levels(*((f"{n}", n) for n in range(1, 18)))}, "tiers.levels"),
        ({"tiers": levels(("Silver", 5), ("Gold", 5))}, "tiers.levels.1.from_minor"),
        ({"tiers": levels(("Silver", 5), ("Gold", 6), ("Tin", 4))}, "tiers.levels.2.from_minor"),
        ({"tiers": levels(("Gold", 5), ("Gold", 6))}, "tiers.levels.1.name"),
        ({"tiers": levels(("", 5))}, "tiers.levels.0.name"),
        ({"tiers": levels(("Gold", 0))}, "tiers.levels.0.from_minor"),
        ({"tiers": levels(("Gold", 1)) | {"valid_days": 0}}, "tiers.valid_days"),
    ],
)
def test_a_faulty_rule_is_refused_at_its_path(rules, place):
    assert places(parse_rules, rules) == [place]


@pytest.mark.parametrize(
    ("expiry", "pending_days", "is_refused"),
    [
        ({"kind": "after_days", "days": 30}, 29, False),
        ({"kind": "after_days", "days": 30}, 30, True),
        ({"kind": "rolling", "days": 30}, 0, False),
        ({"kind": "rolling", "days": 30}, 1, True),
        ({"kind": "end_of_year", "years": 1}, 365, False),
        (None, 365, False),
    ],
)
def test_points_can_be_spent_before_they_expire(expiry, pending_days, is_refused):
    rules = {"expiry": expiry, "pending_days": pending_days}
    if is_refused:
        assert places(parse_rules, rules) == ["pending_days"]
    else:
        assert parse_rules(rules).pending_days == pending_days


def test_all_faults_are_named_at_once():
    given = {"pending_days": -1, "expiry": {"kind": "rolling"}, "hold": {"for_s": 1}}
    assert places(parse_rules, given) == ["expiry.days", "pending_days", "hold.for_s"]


def test_the_bounds_themselves_are_taken():
    parse_rules({"earn": EARN | {"points": MAX_AMOUNT_MINOR, "per_minor": MAX_AMOUNT_MINOR}})
    parse_rules({"expiry": {"kind": "end_of_month", "months": 0}})
    parse_rules({"expiry": {"kind": "end_of_year", "years": 10}})
    parse_rules({"hold": {"expire_after_s": 2_678_400}})
    parse_rules({"tiers": levels(*((f"{n}", n) for n in range(1, 17)))})
    rolling = parse_rules({"expiry": {"kind": "rolling", "days": 3_650}}).expiry
    assert rolling == Rolling(kind="rolling", days=3_650)


def test_thresholds_keep_their_order_and_their_kind():
    given = [low(below_minor=-5), low(below_percent=99, name="Nearly empty"), reached(every=True)]
    assert parse_thresholds(given) == (
        LowBalance(kind="low_balance", below_minor=-5),
        LowBalance(kind="low_balance", below_percent=99, name="Nearly empty"),
        ThresholdReached(kind="threshold_reached", at_minor=60, name="Free espresso", every=True),
    )
    assert parse_thresholds([]) == ()
    assert len(parse_thresholds([reached()] * 32)) == 32


@pytest.mark.parametrize(
    ("thresholds", "place"),
    [
        ([3], "0"),
        ([{}], "0.kind"),
        ([reached(), {"kind": "high_balance"}], "1.kind"),
        ([low()], "0"),
        ([low(below_minor=1, below_percent=1)], "0"),
        ([low(below_minor=1.5)], "0.below_minor"),
        ([low(below_minor=-MAX_AMOUNT_MINOR - 1)], "0.below_minor"),
        ([low(below_percent=0)], "0.below_percent"),
        ([low(below_percent=100)], "0.below_percent"),
        ([low(at_minor=10, below_minor=1)], "0.at_minor"),
        ([reached(at_minor=0)], "0.at_minor"),
        ([reached(at_minor=True)], "0.at_minor"),
        ([reached(every=1)], "0.every"),
        ([reached(name=None)], "0.name"),
        ([reached(name="x" * 201)], "0.name"),
        ([reached(name="a\x00")], "0.name"),
        ([reached()] * 33, ""),
    ],
)
def test_a_faulty_threshold_is_refused_at_its_path(thresholds, place):
    assert places(parse_thresholds, thresholds) == [place]


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text("aÄ\x00", max_size=3)
JSON = LEAVES | st.lists(LEAVES, max_size=2) | st.dictionaries(st.just("kind"), LEAVES)
NAMES = st.sampled_from([*ProgramRules.model_fields, "kind"])


@given(st.dictionaries(NAMES, JSON, max_size=4))
def test_whatever_is_given_is_read_or_refused(rules):
    for parse, given_rules in ((parse_rules, rules), (parse_thresholds, [rules])):
        try:
            parse(given_rules)
        except ValidationError as refusal:
            assert refusal.errors()  # noqa: PT017  # a refusal is one of the two right outcomes


def numbers_in(schema):
    if isinstance(schema, dict):
        yield from ([schema] if schema.get("type") == "number" else [])
        schema = list(schema.values())
    if isinstance(schema, list):
        for item in schema:
            yield from numbers_in(item)


def test_no_rule_has_a_place_for_fractions():
    # proves: A22
    threshold = TypeAdapter(Threshold).json_schema()
    assert list(numbers_in([ProgramRules.model_json_schema(), threshold])) == []
