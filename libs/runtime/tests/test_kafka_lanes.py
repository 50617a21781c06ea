"""Lanes and offsets: order per key, and commits without gaps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from passferry_contracts.registry import PASS_BALANCE_CHANGED, PASS_REDEEMED
from passferry_runtime.kafka.lanes import Item, LaneScheduler
from passferry_runtime.kafka.offsets import OffsetTracker
from passferry_runtime.kafka.records import IncomingRecord, Route


async def _unused(batch):
    raise AssertionError


BALANCES = Route(topic=PASS_BALANCE_CHANGED, handler=_unused, max_batch=4)
REDEMPTIONS = Route(topic=PASS_REDEEMED, handler=_unused, max_batch=4)


def item(key: str, offset: int, route: Route = BALANCES) -> Item:
    record = IncomingRecord(route.topic.name, 0, offset, 0, key.encode(), b"{}", ())
    return Item(record, route, f"pass_id:{key}", 0)


def offsets(batch: list[Item] | None) -> list[int]:
    return [each.record.offset for each in batch or []]


def test_a_key_that_is_being_handled_waits_while_others_go_on():
    lanes = LaneScheduler()
    for offset, key in enumerate("aab"):
        lanes.add(item(key, offset))
    first = lanes.next_batch()
    assert offsets(first) == [0, 1, 2]
    lanes.add(item("a", 3))
    lanes.add(item("c", 4))
    assert offsets(lanes.next_batch()) == [4]
    assert lanes.next_batch() is None
    lanes.release({"pass_id:a", "pass_id:b"})
    assert offsets(lanes.next_batch()) == [3]


def test_one_key_keeps_its_order_across_topics():
    lanes = LaneScheduler()
    lanes.add(item("a", 0, BALANCES))
    lanes.add(item("a", 0, REDEMPTIONS))
    first = lanes.next_batch()
    assert [each.record.topic for each in first] == ["pass.balance_changed"]
    assert lanes.next_batch() is None
    lanes.release({"pass_id:a"})
    assert [each.record.topic for each in lanes.next_batch()] == ["pass.redeemed"]


def test_a_batch_is_never_larger_than_its_route_allows():
    lanes = LaneScheduler()
    for offset in range(10):
        lanes.add(item("a", offset))
    assert offsets(lanes.next_batch()) == [0, 1, 2, 3]
    assert lanes.queued == 6


def test_what_comes_while_its_topic_is_busy_makes_one_larger_batch():
    lanes = LaneScheduler()
    for offset, key in enumerate("abc"):
        lanes.add(item(key, offset))
    lanes.add(item("d", 0, REDEMPTIONS))
    busy = {"pass.balance_changed"}
    assert [each.record.topic for each in lanes.next_batch(busy)] == ["pass.redeemed"]
    assert lanes.next_batch(busy) is None
    assert offsets(lanes.next_batch()) == [0, 1, 2]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60), st.data())
def test_every_record_is_handed_out_once_and_in_order_of_its_key(added, data):
    lanes = LaneScheduler()
    handed: list[Item] = []
    busy: list[set[str]] = []
    for offset, (key, is_redemption) in enumerate(added):
        lanes.add(item(key, offset, REDEMPTIONS if is_redemption else BALANCES))
        if data.draw(st.booleans()) and (batch := lanes.next_batch()):
            handed += batch
            busy.append({each.lane for each in batch})
        if busy and data.draw(st.booleans()):
            lanes.release(busy.pop(0))
    while busy or lanes.queued:
        while batch := lanes.next_batch():
            handed += batch
            busy.append({each.lane for each in batch})
        if busy:
            lanes.release(busy.pop(0))
    assert len(handed) == len(added)
    for key in "abc":
        mine = [each.record.offset for each in handed if each.lane == f"pass_id:{key}"]
        assert mine == sorted(mine)


def test_an_offset_is_committable_only_when_all_before_it_are_done():
    tracker = OffsetTracker()
    for offset in (5, 6, 9):
        tracker.start(offset)
    tracker.finish(6)
    tracker.finish(9)
    assert tracker.dirty is None
    tracker.finish(5)
    assert tracker.dirty == 10
    tracker.mark_committed(10)
    assert tracker.dirty is None


@given(st.lists(st.integers(0, 10_000), unique=True, min_size=1, max_size=80), st.randoms())
def test_the_committable_offset_never_passes_an_unfinished_one(delivered, random):
    tracker = OffsetTracker()
    delivered.sort()
    for offset in delivered:
        tracker.start(offset)
    order = delivered[:]
    random.shuffle(order)
    done: set[int] = set()
    for offset in order:
        tracker.finish(offset)
        done.add(offset)
        open_ones = [each for each in delivered if each not in done]
        if tracker.dirty is not None:
            assert all(each >= tracker.dirty for each in open_ones)
    assert tracker.dirty == delivered[-1] + 1
