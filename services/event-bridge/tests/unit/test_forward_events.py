"""One sink's events against each kind of answer; the sink is a recorder over loopback HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from passferry_event_bridge.adapters.http_sinks import HttpSinks
from passferry_event_bridge.adapters.prometheus_observer import PrometheusObserver
from passferry_event_bridge.adapters.redis_counter import NoCounter
from passferry_event_bridge.application.forward_events import ForwardEvents, first_batch
from passferry_event_bridge.application.ports import (
    OpenedSink,
    PendingEvent,
    Sink,
    SinkKey,
)
from passferry_runtime.kafka.records import IncomingRecord
from passferry_testing.dittofeed_recorder import DittofeedRecorder, IngestionFault

WORKSPACE = UUID("01900000-0000-7000-8000-000000000001")
KEY: SinkKey = (WORKSPACE, "dittofeed")


class FakeBacklog:
    def __init__(self) -> None:
        self.events: list[PendingEvent] = []

    def fill(self, *items: dict[str, Any]) -> None:
        for item in items:
            position = len(self.events) + 1
            record = IncomingRecord("pass.created", 0, position, 0, b"key", b"{}", ())
            text = json.dumps(item)
            self.events.append(
                PendingEvent(WORKSPACE, KEY[1], f"e{position}", (text,), record, position)
            )

    async def next_events(self, sink: SinkKey, limit: int) -> list[PendingEvent]:
        return self.events[:limit]

    async def remove(self, sink: SinkKey, positions: Sequence[int]) -> None:
        self.events = [each for each in self.events if each.position not in positions]

    async def waiting(self, workspace_ids: Collection[UUID]) -> list[Sink]:
        raise NotImplementedError

    async def count(self, sink: SinkKey, limit: int) -> int:
        return len(self.events)


@dataclass
class FakeSinks:
    sink: Sink
    credential: str

    async def open(self, key: SinkKey) -> OpenedSink | None:
        return OpenedSink(self.sink, self.credential)

    async def stop(self, sink: Sink, *, reason: str) -> None:
        self.sink = replace(self.sink, status="stopped", stopped_reason=reason)


class FakeTurns:
    async def take(self, sink: SinkKey) -> bool:
        return True

    def is_ours(self, sink: SinkKey) -> bool:
        return True

    async def give_back(self, sink: SinkKey) -> None:
        return None


@dataclass
class FakeDeadLetters:
    letters: list[tuple[str, str]] = field(default_factory=list)

    async def give_up(self, event: PendingEvent, *, code: str, detail: str) -> None:
        self.letters.append((event.event_id, code))


class NobodySuspended:
    ids: Sequence[UUID] = ()

    def is_known(self, workspace_id: UUID) -> bool:
        return True

    def is_suspended(self, workspace_id: UUID) -> bool:
        return False


@dataclass
class Scene:
    recorder: DittofeedRecorder
    backlog: FakeBacklog
    sinks: FakeSinks
    letters: FakeDeadLetters
    forward: ForwardEvents
    pauses: list[float]

    def answer(self, status: int, **rule: Any) -> None:
        self.recorder.faults.add([IngestionFault(action="answer", status=status, **rule)])

    @property
    def arrived(self) -> list[str]:
        return [each.item["messageId"] for each in self.recorder.recorded("w")]


@pytest_asyncio.fixture
async def scene(recorder: DittofeedRecorder) -> AsyncIterator[Scene]:
    write_key = recorder.add_write_key("w")
    sink = Sink(
        workspace_id=WORKSPACE,
        sink_id=KEY[1],
        profile="dittofeed",
        base_url=recorder.url,
        status="active",
        stopped_reason=None,
        updated_at=datetime(2026, 5, 14, tzinfo=UTC),
    )
    backlog, letters = FakeBacklog(), FakeDeadLetters()
    sinks = FakeSinks(sink, f"{write_key.secret_id}:{write_key.value}")
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async with HttpSinks.open(
        allowed_hosts=["127.0.0.1"], timeout_s=0.3, connections=2, version="1"
    ) as gateway:
        forward = ForwardEvents(
            backlog=backlog,
            sinks=sinks,  # type: ignore[arg-type]  # the part that is used
            gateway=gateway,
            turns=FakeTurns(),
            dead_letters=letters,
            counter=NoCounter(),
            workspaces=NobodySuspended(),
            observer=PrometheusObserver(),
            is_stopping=lambda: False,
            in_flight=asyncio.Semaphore(2),
            troubles={},
            sleep=pause,
            jitter=lambda: 1.0,
        )
        yield Scene(recorder, backlog, sinks, letters, forward, pauses)


def good(number: int, **more: Any) -> dict[str, Any]:
    return {"type": "track", "messageId": f"m{number}", "userId": "u", "event": "e", **more}


async def test_more_than_a_batch_is_sent_in_order_in_bounded_requests(scene: Scene) -> None:
    scene.backlog.fill(*(good(number) for number in range(250)))
    await scene.forward(KEY)
    assert scene.arrived == [f"m{number}" for number in range(250)]
    assert scene.recorder.summary()["requests"] == 3
    assert scene.backlog.events == []


async def test_a_poison_event_is_found_by_halving_and_its_neighbours_arrive(scene: Scene) -> None:
    # proves: J45
    poison = {"type": "alias", "messageId": "bad", "userId": "u"}
    scene.backlog.fill(*(good(n) for n in range(5)), poison, *(good(n) for n in range(5, 9)))
    await scene.forward(KEY)
    assert scene.arrived == [f"m{number}" for number in range(9)]
    assert scene.letters.letters == [("e6", "sink_refused")]
    assert scene.backlog.events == []
    assert scene.sinks.sink.status == "active"


async def test_a_sink_that_refuses_everything_is_stopped_before_all_is_lost(scene: Scene) -> None:
    scene.answer(400)
    scene.backlog.fill(*(good(number) for number in range(60)))
    await scene.forward(KEY)
    assert scene.sinks.sink.stopped_reason == "refuses_everything"
    assert (len(scene.letters.letters), len(scene.backlog.events)) == (20, 40)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_credential_stops_the_sink_and_keeps_its_events(
    scene: Scene, status: int
) -> None:
    scene.answer(status)
    scene.backlog.fill(good(1), good(2))
    await scene.forward(KEY)
    assert scene.sinks.sink.stopped_reason == "credential_refused"
    assert len(scene.backlog.events) == 2
    assert scene.letters.letters == []
    await scene.forward(KEY)
    assert scene.recorder.answers[status] == 1


@pytest.mark.parametrize("status", [302, 404, 501, 505])
async def test_a_sink_at_the_wrong_address_is_stopped(scene: Scene, status: int) -> None:
    scene.answer(status)
    scene.backlog.fill(good(1))
    await scene.forward(KEY)
    assert scene.sinks.sink.stopped_reason == f"status_{status}"
    assert len(scene.backlog.events) == 1


async def test_too_large_a_batch_is_split_and_a_single_event_given_up(scene: Scene) -> None:
    # proves: J45
    scene.answer(413, count=1)
    scene.backlog.fill(good(1), good(2), good(3))
    await scene.forward(KEY)
    assert scene.arrived == ["m1", "m2", "m3"]
    scene.answer(413)
    scene.backlog.fill(good(4))
    await scene.forward(KEY)
    assert scene.letters.letters == [("e1", "sink_says_too_large")]
    assert scene.backlog.events == []


@pytest.mark.parametrize("status", [408, 410, 429, 460, 500, 503])
async def test_a_passing_failure_is_retried_with_growing_pauses(scene: Scene, status: int) -> None:
    scene.answer(status, count=4)
    scene.backlog.fill(good(1), good(2))
    await scene.forward(KEY)
    assert scene.arrived == ["m1", "m2"]
    assert scene.pauses == [0, 0.5, 1, 2]
    assert scene.forward.troubles == {}


async def test_the_sinks_own_wish_to_wait_is_honoured_within_a_bound(scene: Scene) -> None:
    scene.answer(429, count=1, retry_after_s=7)
    scene.answer(503, count=1, retry_after_s=4_000)
    scene.backlog.fill(good(1))
    await scene.forward(KEY)
    assert scene.pauses == [7, 300]


async def test_a_lost_answer_repeats_the_request_with_the_same_message_ids(scene: Scene) -> None:
    # proves: J45
    scene.recorder.faults.add([IngestionFault(action="answer_lost", count=1)])
    scene.backlog.fill(good(1), good(2))
    await scene.forward(KEY)
    assert scene.arrived == ["m1", "m2", "m1", "m2"]


async def test_an_unreachable_sink_is_retried_and_shows_as_trouble(scene: Scene) -> None:
    scene.sinks.sink = replace(scene.sinks.sink, base_url="http://127.0.0.1:9")
    scene.backlog.fill(good(1))
    seen: list[dict[SinkKey, str]] = []

    async def pause(seconds: float) -> None:
        seen.append(dict(scene.forward.troubles))
        if len(seen) == 4:
            scene.sinks.sink = replace(scene.sinks.sink, base_url=scene.recorder.url)

    await replace(scene.forward, sleep=pause)(KEY)
    assert seen == [{}, {}, {KEY: "unreachable"}, {KEY: "unreachable"}]
    assert scene.arrived == ["m1"]


async def test_a_sink_whose_name_leads_inside_is_stopped(scene: Scene) -> None:
    scene.sinks.sink = replace(scene.sinks.sink, base_url="https://10.0.0.1")
    scene.backlog.fill(good(1))
    await scene.forward(KEY)
    assert scene.sinks.sink.stopped_reason == "address_refused"


def test_a_batch_keeps_within_its_items_and_bytes() -> None:
    backlog = FakeBacklog()
    backlog.fill(*(good(number, properties={"x": "y" * 30_000}) for number in range(40)))
    batch = first_batch(backlog.events)
    size = sum(len(item.encode()) + 1 for event in batch for item in event.items)
    assert len(batch) == 15
    assert size <= 475_000
    assert [event.position for event in batch] == list(range(1, 16))
