"""How far a pass came: each step once for the pass, and once for each event."""

from __future__ import annotations

from datetime import date
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from passferry_pass_issuer.domain.funnel import MAX_DEVICES, FunnelPass, Moment, Step, advance

DAY = date(2026, 5, 14)


def fresh():
    return FunnelPass(
        workspace_id=uuid4(), pass_id=uuid4(), program_id=uuid4(), template_id=uuid4()
    )


def moment(step, platform="apple", **more):
    return Moment(step=step, platform=platform, day=DAY, **more)


def installed(device="a", **more):
    return moment(Step.INSTALLED, device=device, **more)


def removed(device="a", **more):
    return moment(Step.REMOVED, device=device, **more)


def told(row, *moments):
    """(the pass after them, sums by step and platform as (passes, events))."""
    sums: dict[tuple[str, str], tuple[int, int]] = {}
    for each in moments:
        row, counts = advance(row, each)
        for count in counts:
            passes, events = sums.get((count.step.value, count.platform), (0, 0))
            sums[count.step.value, count.platform] = (passes + count.passes, events + count.events)
    return row, sums


def test_a_step_counts_each_event_and_the_pass_once():
    _, sums = told(fresh(), moment(Step.OPENED), moment(Step.OPENED), moment(Step.OPENED, "other"))
    assert sums["opened", "apple"] == (1, 2)
    assert sums["opened", "any"] == (1, 3)


def test_a_pass_is_installed_while_one_device_has_it():
    row, sums = told(fresh(), installed("a"), installed("b"), removed("a"))
    assert sums["present", "apple"] == (1, 0)
    _, sums = told(row, removed("b"))
    assert sums["present", "apple"] == sums["present", "any"] == (-1, 0)


def test_both_wallets_are_one_pass():
    row, sums = told(fresh(), installed(), moment(Step.INSTALLED, "google"))
    assert (sums["installed", "any"], sums["present", "any"]) == ((1, 2), (1, 0))
    _, sums = told(row, moment(Step.REMOVED, "google"))
    assert ("present", "any") not in sums
    assert sums["present", "google"] == (-1, 0)


def test_what_is_told_again_changes_no_count():
    row, _ = told(fresh(), installed("a"))
    _, sums = told(row, installed("a", is_counted=False), removed("unknown"))
    assert sums == {}


def test_a_device_that_was_let_go_by_nobodys_wish_is_no_removal():
    row, _ = told(fresh(), installed("a"))
    _, sums = told(row, removed("a", is_counted=False))
    assert set(sums) == {("present", "apple"), ("present", "any")}


def test_what_follows_an_opening_is_counted_for_its_label():
    row, _ = told(fresh(), moment(Step.OPENED, label="till"), installed())
    assert row.label == "till"
    row, _ = told(row, moment(Step.OPENED, label=""))
    assert row.label == ""


def test_devices_are_bounded():
    row, sums = told(fresh(), *[installed(str(number)) for number in range(MAX_DEVICES + 5)])
    assert len(row.apple_devices) == MAX_DEVICES
    assert sums["installed", "apple"] == (1, MAX_DEVICES + 5)


_MOMENTS = st.builds(
    Moment,
    step=st.sampled_from([Step.OPENED, Step.DOWNLOADED, Step.INSTALLED, Step.REMOVED]),
    platform=st.sampled_from(["apple", "google", "other"]),
    day=st.just(DAY),
    device=st.sampled_from(["a", "b", None]),
    is_counted=st.booleans(),
)


@given(st.lists(_MOMENTS, max_size=40))
def test_whatever_happens_what_is_present_is_what_is_installed(moments):
    row, sums = told(fresh(), *moments)
    for platform in ("apple", "google", "any"):
        assert sums.get(("present", platform), (0, 0))[0] == int(row.is_on(platform))
    for (step, _), (passes, events) in sums.items():
        if step != "present":
            assert 1 == passes <= events
