"""What waits for a credential is due once it is there, whenever that is. proves: A23, J15"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from passferry_contracts.types import Channel
from passferry_notifier.application.keep_sending import (
    MAX_PRUNED_AT_ONCE,
    PRUNE_WORKSPACES_AT_ONCE,
    KeepSending,
)
from passferry_notifier.application.ports import Completion
from passferry_notifier.application.record_outcomes import Recorder
from passferry_notifier.application.ring_devices import CREDENTIAL_MISSING
from passferry_notifier.domain.deliveries import Delivery
from passferry_notifier.domain.retry_policy import RetryPolicy
from passferry_runtime.clock import FixedClock
from passferry_testing.harness import eventually

pytestmark = pytest.mark.unit

NOW = datetime(2026, 3, 1, tzinfo=UTC)
WORKSPACE = uuid4()


def delivery() -> Delivery:
    return Delivery(
        workspace_id=WORKSPACE,
        delivery_id=uuid4(),
        pass_id=uuid4(),
        channel=Channel.GOOGLE_WALLET,
        target="1.object",
        revision=1,
        notification_type="general_update",
        cause_type="pass.updated",
        caused_at=NOW,
        created_at=NOW,
    )


@dataclass
class FakeQueue:
    """Deliveries with the time of their next attempt. Storing waits until it may go on."""

    next_attempt_at: dict[UUID, datetime] = field(default_factory=dict)
    may_store: asyncio.Event = field(default_factory=asyncio.Event)
    rescheduled: int = 0
    workspaces: list[UUID] = field(default_factory=list)
    claimed: int = 0
    #: Workspaces of each statement that prunes, and what comes of it instead of "none".
    pruned: list[Sequence[UUID]] = field(default_factory=list)
    prunes: Callable[[Sequence[UUID]], Awaitable[int]] | None = None

    async def active_workspaces(self) -> list[UUID]:
        return self.workspaces

    async def claim(self, _workspaces: Sequence[UUID], _now: Any, _lease_until: Any) -> int:
        self.claimed += 1
        return 0

    async def prune(self, workspaces: Sequence[UUID], *, before: datetime, limit: int) -> int:
        self.pruned.append(workspaces)
        return await self.prunes(workspaces) if self.prunes else 0

    async def renew(self, deliveries: Sequence[Delivery], *, lease_until: datetime) -> None: ...

    async def complete(self, completions: Sequence[Completion], *, now: datetime) -> set[Any]:
        await self.may_store.wait()
        for each in completions:
            self.next_attempt_at[each.delivery.delivery_id] = each.next_attempt_at
        return set()

    async def reschedule(self, workspace_id: UUID, *, now: datetime) -> None:
        self.rescheduled += 1
        self.next_attempt_at = dict.fromkeys(self.next_attempt_at, now)


@dataclass
class FakeDispatcher:
    deliveries: list[Delivery] = field(default_factory=list)
    has_room: bool = False

    def held(self) -> list[Delivery]:
        return self.deliveries

    def sweep(self) -> None: ...

    async def drain(self, timeout_s: float) -> None: ...


class FakeCredentials:
    async def until_known(self) -> None: ...


@asynccontextmanager
async def sending(queue: FakeQueue, dispatcher: FakeDispatcher) -> AsyncIterator[KeepSending]:
    unused: Any = SimpleNamespace(completed=lambda *_: None)
    clock = FixedClock(NOW)
    store: Any = queue
    channel: Any = SimpleNamespace(dispatcher=dispatcher, claim_due=queue.claim)
    credentials: Any = FakeCredentials()
    recorder = Recorder(store=store, cache=unused, meter=unused, clock=clock, policy=RetryPolicy())
    keep = KeepSending(
        channels=[channel],
        deliveries=store,
        recorder=recorder,
        credentials=credentials,
        clock=clock,
        lease_s=15.0,
        retention=timedelta(days=1),
    )
    running = asyncio.create_task(keep.run())
    try:
        yield keep
    finally:
        queue.may_store.set()
        keep.stop()
        await running


async def test_a_credential_that_comes_while_its_lack_is_being_stored_is_not_waited_for() -> None:
    queue, one = FakeQueue(), delivery()
    async with sending(queue, FakeDispatcher()) as keep:
        keep.recorder.add([one], CREDENTIAL_MISSING)
        keep.credentials_changed(WORKSPACE)
        await eventually(lambda: queue.rescheduled == 1)
        assert queue.next_attempt_at == {}
        queue.may_store.set()
        await eventually(lambda: queue.next_attempt_at == {one.delivery_id: NOW})
        await eventually(lambda: not keep._changed)
        # Whoever lacks one later waits for the next.
        later = delivery()
        keep.recorder.add([later], CREDENTIAL_MISSING)
        await eventually(lambda: later.delivery_id in queue.next_attempt_at)
        assert queue.next_attempt_at[later.delivery_id] > NOW


async def test_what_was_under_way_with_the_former_credential_is_due_when_it_is_refused() -> None:
    queue, one = FakeQueue(), delivery()
    queue.may_store.set()
    dispatcher = FakeDispatcher([one])
    async with sending(queue, dispatcher) as keep:
        keep.credentials_changed(WORKSPACE)
        await eventually(lambda: queue.rescheduled == 1)
        dispatcher.deliveries.clear()
        keep.recorder.add([one], CREDENTIAL_MISSING)
        await eventually(lambda: queue.next_attempt_at == {one.delivery_id: NOW})
        await eventually(lambda: not keep._changed)
    assert queue.rescheduled == 2


async def test_what_is_due_is_claimed_while_ended_deliveries_cannot_be_pruned() -> None:
    """proves: A23"""

    async def fail(_workspaces: Sequence[UUID]) -> int:
        raise TimeoutError

    async def hang(_workspaces: Sequence[UUID]) -> int:
        return await asyncio.get_running_loop().create_future()

    for prunes in (fail, hang):
        queue = FakeQueue(workspaces=[WORKSPACE], prunes=prunes)
        async with sending(queue, FakeDispatcher(has_room=True)):
            await eventually(lambda queue=queue: queue.claimed >= 2 and queue.pruned != [])
        assert queue.pruned == [[WORKSPACE]], "not again before its interval"


async def test_pruning_names_few_workspaces_at_once_and_one_failure_keeps_none_of_the_others() -> (
    None
):
    workspaces = [uuid4() for _ in range(PRUNE_WORKSPACES_AT_ONCE * 3)]
    full = [MAX_PRUNED_AT_ONCE, 1]

    async def prunes(some: Sequence[UUID]) -> int:
        if workspaces[0] in some:
            raise TimeoutError
        return full.pop(0) if full else 0

    queue = FakeQueue(workspaces=workspaces, prunes=prunes)
    async with sending(queue, FakeDispatcher()):
        await eventually(lambda: len(queue.pruned) == 4)
    first, second, third = (
        workspaces[start : start + PRUNE_WORKSPACES_AT_ONCE]
        for start in range(0, len(workspaces), PRUNE_WORKSPACES_AT_ONCE)
    )
    assert queue.pruned == [first, second, second, third], "where there may be more, once again"
