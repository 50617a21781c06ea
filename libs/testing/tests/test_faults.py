import pytest
from pydantic import ValidationError

from passferry_testing.apns_simulator import ApnsFault
from passferry_testing.faults import FaultSchedule


def schedule(*rules, seed=7):
    return FaultSchedule(seed, [ApnsFault(**rule) for rule in rules])


def test_a_rule_passes_over_its_first_matches_then_fires_a_counted_number_of_times():
    faults = schedule({"action": "cut", "skip": 2, "count": 2})
    fired = [faults.decide("aa", "topic")[0] is not None for _ in range(6)]
    assert fired == [False, False, True, True, False, False]


def test_a_rule_hits_only_its_prefix_and_scope():
    faults = schedule({"action": "cut", "subject_prefix": "ab", "scope": "t1"})
    assert faults.decide("ab12", "t1")[0] is not None
    assert faults.decide("ac12", "t1")[0] is None
    assert faults.decide("ab12", "t2")[0] is None


def test_chance_depends_on_the_seed_and_not_on_the_order_of_requests():
    def outcomes(seed, subjects):
        faults = schedule({"action": "cut", "probability": 0.3}, seed=seed)
        return {subject: faults.decide(subject, "t")[0] is not None for subject in subjects}

    subjects = [f"{n:04x}" for n in range(1000)]
    first = outcomes(1, subjects)
    assert outcomes(1, reversed(subjects)) == first
    assert outcomes(2, subjects) != first
    assert 200 < sum(first.values()) < 400


def test_delays_add_up_and_a_later_rule_still_ends_the_request():
    faults = schedule(
        {"action": "delay", "delay_ms": 100},
        {"action": "delay", "delay_ms": [10, 20]},
        {"action": "answer", "status": 500},
    )
    rule, delay_s = faults.decide("aa", "t")
    assert rule.status == 500
    assert 0.110 <= delay_s <= 0.120


@pytest.mark.parametrize(
    "bad",
    [
        {"action": "explode"},
        {"action": "delay"},
        {"action": "cut", "probability": 1.5},
        {"action": "delay", "delay_ms": [20, 10]},
        {"action": "cut", "unknown": 1},
    ],
)
def test_a_malformed_rule_is_refused(bad):
    with pytest.raises(ValidationError):
        ApnsFault(**bad)
