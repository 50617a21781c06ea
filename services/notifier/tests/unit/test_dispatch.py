"""Lanes, queues and pauses of the dispatcher."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

from passferry_contracts.types import Channel
from passferry_notifier.application.dispatch import Dispatcher, Work
from passferry_notifier.domain.deliveries import DELIVERED, Action, Delivery, Verdict
from passferry_runtime.ids import uuid7

NOON = datetime(2026, 5, 14, 12, tzinfo=UTC)


class FakeProvider:
    """Answers when told to; remembers what it was asked and how much of it at one time."""

    def __init__(self, verdict: Verdict = DELIVERED) -> None:
        self.verdict = verdict
        self.asked: list[Work[None]] = []
        self.outcomes: list[tuple[Delivery, Verdict]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.most_at_once = self._at_once = 0

    async def send(self, work: Work[None]) -> Verdict:
        self.asked.append(work)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        await self.may_answer.wait()
        self._at_once -= 1
        return self.verdict

    def on_outcome(self, works: Sequence[Work[None]], verdict: Verdict) -> None:
        self.outcomes += [(work.delivery, verdict) for work in works]

    def dispatcher(
        self, *, per_credential: int = 10, in_total: int = 100, max_held: int = 1_000
    ) -> Dispatcher[None]:
        return Dispatcher(
            send=self.send,
            on_outcome=self.on_outcome,
            on_coalesced=lambda count: None,
            per_credential=per_credential,
            in_total=in_total,
            max_held=max_held,
        )


def work(
    lane: str = "device", revision: int = 1, pass_id: UUID | None = None, queue: str = "key"
) -> Work[None]:
    delivery = Delivery(
        workspace_id=uuid4(),
        delivery_id=uuid7(),
        pass_id=pass_id or uuid4(),
        channel=Channel.APPLE_WALLET,
        target=lane,
        revision=revision,
        notification_type="general_update",
        cause_type="pass.updated",
        caused_at=NOON,
        created_at=NOON,
    )
    return Work(delivery, lane, queue, None)


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_while_one_is_under_way_all_newer_ones_become_one() -> None:
    """proves: N5"""
    provider, pass_id = FakeProvider(), uuid4()
    dispatcher = provider.dispatcher()
    provider.may_answer.clear()
    dispatcher.submit([work(revision=number, pass_id=pass_id) for number in range(1, 51)])
    await settled()
    dispatcher.submit([work(revision=51, pass_id=pass_id)])
    provider.may_answer.set()
    await settled()
    assert [each.delivery.revision for each in provider.asked] == [1, 51]


async def test_one_ring_stands_for_all_passes_of_a_device() -> None:
    provider = FakeProvider()
    dispatcher = provider.dispatcher()
    provider.may_answer.clear()
    dispatcher.submit([work()])
    await settled()
    waiting = [work(), work(), work()]
    dispatcher.submit(waiting)
    provider.may_answer.set()
    await settled()
    assert len(provider.asked) == 2
    assert provider.asked[1] is waiting[0]
    assert len(provider.outcomes) == 4
    assert dispatcher.held() == []


async def test_what_is_in_flight_is_bounded_per_credential_and_in_total() -> None:
    """proves: N6"""
    provider = FakeProvider()
    dispatcher = provider.dispatcher(per_credential=3, in_total=5)
    provider.may_answer.clear()
    dispatcher.submit([work(lane=f"a{number}", queue="a") for number in range(20)])
    await settled()
    assert provider.most_at_once == 3
    dispatcher.submit([work(lane=f"b{number}", queue="b") for number in range(20)])
    await settled()
    assert provider.most_at_once == 5
    provider.may_answer.set()
    for _ in range(20):
        await settled()
    assert len(provider.outcomes) == 40


async def test_a_refused_credential_pauses_its_own_queue_only() -> None:
    """proves: N6, A23"""
    provider = FakeProvider(Verdict(action=Action.CREDENTIAL_FAULT, reason="bad_certificate"))
    dispatcher = provider.dispatcher(per_credential=1)
    dispatcher.submit([work(lane=f"a{number}", queue="a") for number in range(5)])
    await settled()
    assert len(provider.asked) == 1
    assert {verdict.action for _, verdict in provider.outcomes} == {Action.POSTPONED}
    assert len(provider.outcomes) == 5
    assert dispatcher.paused == {"a": "bad_certificate"}
    provider.verdict = DELIVERED
    dispatcher.submit([work(lane="b", queue="b")])
    await settled()
    assert provider.outcomes[-1][1].action is Action.DELIVERED


async def test_what_there_is_no_room_for_goes_back_to_the_database() -> None:
    provider = FakeProvider()
    dispatcher = provider.dispatcher(max_held=2)
    provider.may_answer.clear()
    dispatcher.submit([work(lane=f"a{number}") for number in range(5)])
    assert [verdict.action for _, verdict in provider.outcomes] == [Action.POSTPONED] * 3
    provider.may_answer.set()
    await settled()


async def test_draining_finishes_what_is_sent_and_gives_back_the_rest() -> None:
    """proves: N7"""
    provider = FakeProvider()
    dispatcher = provider.dispatcher(per_credential=1)
    dispatcher.submit([work(lane=f"a{number}") for number in range(3)])
    provider.may_answer.clear()
    await settled()
    asyncio.get_running_loop().call_later(0.05, provider.may_answer.set)
    await dispatcher.drain(1.0)
    actions = [verdict.action for _, verdict in provider.outcomes]
    assert len(actions) == 3
    assert Action.POSTPONED in actions


async def test_idle_lanes_and_queues_are_forgotten() -> None:
    provider = FakeProvider()
    dispatcher = provider.dispatcher()
    dispatcher.submit([work()])
    await settled()
    dispatcher.sweep()
    assert dispatcher._lanes == {}


async def test_a_lane_that_was_put_off_does_not_break_a_pause() -> None:
    """proves: A23"""
    refused = Verdict(action=Action.CREDENTIAL_FAULT, reason="bad_certificate")
    provider, pass_id = FakeProvider(refused), uuid4()
    dispatcher = provider.dispatcher()
    provider.may_answer.clear()
    dispatcher.submit([work(revision=1, pass_id=pass_id)])
    await settled()
    dispatcher.submit([work(revision=2, pass_id=pass_id)])
    provider.may_answer.set()
    await settled()
    assert len(provider.asked) == 1
    assert len(provider.outcomes) == 2
    assert dispatcher.held() == []
