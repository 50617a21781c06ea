"""Exact-key lanes: equal keys in order and never at the same time, different keys at once."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from passferry_runtime.kafka.records import IncomingRecord, Route


@dataclass(slots=True)
class Item:
    """A record on its way through the consumer."""

    record: IncomingRecord
    route: Route
    lane: str
    epoch: int

    @property
    def parking_lane(self) -> str:
        """Where it waits when it must; a record that waits holds up its own lane alone.

        By topic: a record may be waiting for one of the same key on another topic, such as a
        command for its pass. By workspace: keys that tenants choose may be equal. And apart when
        it may overtake: what waits for a creation must not hold that creation up.
        """
        return f"{self.lane_behind}/ahead" if self.may_overtake else self.lane_behind

    @property
    def lane_behind(self) -> str:
        """The parking lane of its key's ordinary records."""
        workspace, _ = self.record.subject
        # Whatever bytes and however many a producer chose, the name can be stored.
        digest = hashlib.blake2b(workspace + b"\0" + self.lane.encode(), digest_size=16)
        return f"{self.record.topic}/{digest.hexdigest()}"

    @property
    def size(self) -> int:
        """Bytes, without headers."""
        return len(self.record.value or b"")

    @property
    def may_overtake(self) -> bool:
        event_type = self.record.header("ce_type") or b""
        return event_type.decode("utf-8", "replace") in self.route.may_overtake


@dataclass(slots=True)
class _Lane:
    items: deque[Item] = field(default_factory=deque)
    is_busy: bool = False


class LaneScheduler:
    """Queues items by lane and hands out batches of lanes that are not being worked on."""

    def __init__(self) -> None:
        self._lanes: dict[str, _Lane] = {}
        self._ready: dict[str, deque[str]] = {}
        self._turn: deque[str] = deque()
        self.queued = 0
        self.queued_bytes = 0

    def add(self, item: Item) -> None:
        lane = self._lanes.get(item.lane)
        if lane is None:
            lane = self._lanes[item.lane] = _Lane()
        lane.items.append(item)
        self.queued += 1
        self.queued_bytes += item.size
        if not lane.is_busy and len(lane.items) == 1:
            self._make_ready(item.lane, lane)

    def ready(self, topic: str) -> int:
        """How many lanes of the topic could be worked on."""
        return len(self._ready.get(topic, ()))

    def next_batch(self, busy_topics: Collection[str] = ()) -> list[Item] | None:
        """Items of one route, each lane's in order; their lanes are busy until `release`.

        Nothing of `busy_topics`: what waits for them meanwhile makes one larger batch.
        """
        for _ in range(len(self._turn)):
            topic = self._turn[0]
            ready = self._ready.get(topic)
            if not ready:
                self._turn.popleft()
                self._ready.pop(topic, None)
                continue
            # Routes take turns, so that a busy topic does not starve the others.
            self._turn.rotate(-1)
            if topic not in busy_topics:
                return self._collect(topic, ready)
        return None

    def _collect(self, topic: str, ready: deque[str]) -> list[Item]:
        batch: list[Item] = []
        limit: int | None = None
        while ready and (limit is None or len(batch) < limit):
            name = ready.popleft()
            lane = self._lanes[name]
            lane.is_busy = True
            limit = limit or lane.items[0].route.max_batch
            while lane.items and len(batch) < limit and lane.items[0].record.topic == topic:
                batch.append(lane.items.popleft())
        self.queued -= len(batch)
        self.queued_bytes -= sum(item.size for item in batch)
        return batch

    def release(self, lane_names: Iterator[str] | set[str]) -> None:
        for name in lane_names:
            lane = self._lanes.get(name)
            if lane is None:
                continue
            lane.is_busy = False
            if lane.items:
                self._make_ready(name, lane)
            else:
                del self._lanes[name]

    def clear(self) -> None:
        self._lanes.clear()
        self._ready.clear()
        self._turn.clear()
        self.queued = self.queued_bytes = 0

    def _make_ready(self, name: str, lane: _Lane) -> None:
        topic = lane.items[0].record.topic
        ready = self._ready.get(topic)
        if ready is None:
            ready = self._ready[topic] = deque()
        if topic not in self._turn:
            self._turn.append(topic)
        ready.append(name)
