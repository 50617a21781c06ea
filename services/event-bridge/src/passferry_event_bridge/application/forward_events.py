"""Give one sink the events that wait for it: in order, one request at a time."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from passferry_event_bridge.application.ports import (
    Backlog,
    BridgedCounter,
    CredentialUnreadable,
    DeadLetterBox,
    Observer,
    OpenedSink,
    PendingEvent,
    Sink,
    SinkGateway,
    SinkKey,
    SinkStore,
    Turns,
    Workspaces,
)
from passferry_event_bridge.domain.answers import Answer, Verdict, retry_delay_s
from passferry_event_bridge.domain.profiles import MAX_BATCH_ITEMS, MAX_BODY_BYTES

#: So many bad events in a row, with none accepted between, are a fault of the sink.
MAX_BAD_IN_A_ROW = 20
#: So many failed requests in a row show in health.
FAILURES_TO_TELL = 3
#: Around the items of a batch.
ENVELOPE_BYTES = 64


class SinkStopped(Exception):
    """The sink cannot go on until somebody has seen to it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TurnLost(Exception):
    """Another process may be sending to this sink now, or this one is stopping."""


@dataclass(slots=True)
class _Run:
    """One drain of a sink: its failures and bad events in a row."""

    key: SinkKey
    #: As it was for the last request: one that was renewed since is not stopped.
    sink: Sink | None = None
    failures: int = 0
    bad_in_a_row: int = 0


@dataclass(frozen=True, kw_only=True)
class ForwardEvents:
    backlog: Backlog
    sinks: SinkStore
    gateway: SinkGateway
    turns: Turns
    dead_letters: DeadLetterBox
    counter: BridgedCounter
    workspaces: Workspaces
    observer: Observer
    is_stopping: Callable[[], bool]
    #: Requests to all sinks at one time.
    in_flight: asyncio.Semaphore
    #: Sinks that keep failing, with the last reason; for the health check.
    troubles: dict[SinkKey, str]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = field(default=random.random)
    max_bad_in_a_row: int = MAX_BAD_IN_A_ROW

    async def __call__(self, key: SinkKey) -> None:
        """Return when nothing waits, the sink is stopped, or it is another process's turn."""
        if not await self.turns.take(key):
            return
        try:
            await self._drain(_Run(key))
        except TurnLost:
            return
        finally:
            self.troubles.pop(key, None)
            await self.turns.give_back(key)

    async def _drain(self, run: _Run) -> None:
        while not self.workspaces.is_suspended(run.key[0]):
            events = first_batch(await self.backlog.next_events(run.key, MAX_BATCH_ITEMS))
            if not events:
                return
            try:
                await self._deliver(run, events)
            except SinkStopped as stopped:
                if run.sink is not None:
                    await self.sinks.stop(run.sink, reason=stopped.reason)
                return

    async def _deliver(self, run: _Run, events: Sequence[PendingEvent]) -> None:
        """Until each of `events` is accepted or given up, halving what the sink refuses."""
        while True:
            answer = await self._send(run, events)
            if answer.verdict is not Verdict.RETRY:
                break
            run.failures += 1
            if run.failures >= FAILURES_TO_TELL:
                self.troubles[run.key] = answer.reason
            await self.sleep(retry_delay_s(run.failures, answer=answer, jitter=self.jitter()))
        run.failures = 0
        self.troubles.pop(run.key, None)
        if answer.verdict is Verdict.ACCEPTED:
            run.bad_in_a_row = 0
            await self._accepted(run, events)
        elif answer.verdict is Verdict.STOP:
            raise SinkStopped(answer.reason)
        elif len(events) > 1:
            middle = len(events) // 2
            await self._deliver(run, events[:middle])
            await self._deliver(run, events[middle:])
        else:
            await self._give_up(run, events[0], answer)

    async def _send(self, run: _Run, events: Sequence[PendingEvent]) -> Answer:
        if self.is_stopping() or not self.turns.is_ours(run.key):
            raise TurnLost
        opened = await self._opened(run)
        items = [item for event in events for item in event.items]
        async with self.in_flight:
            started_at = time.perf_counter()
            answer = await self.gateway.send(opened, items)
            elapsed_s = time.perf_counter() - started_at
        outcome = answer.reason or answer.verdict.value
        self.observer.answered(opened.sink.profile, outcome, elapsed_s)
        return answer

    async def _opened(self, run: _Run) -> OpenedSink:
        # Read before each request: it may have been changed, stopped or deleted meanwhile.
        try:
            opened = await self.sinks.open(run.key)
        except CredentialUnreadable as error:
            run.sink = error.sink
            raise SinkStopped("credential_unreadable") from error
        if opened is None or opened.sink.status != "active":
            raise TurnLost
        run.sink = opened.sink
        return opened

    async def _accepted(self, run: _Run, events: Sequence[PendingEvent]) -> None:
        await self.backlog.remove(run.key, [event.position for event in events])
        self.observer.forwarded(events)
        await self.counter.count(events)

    async def _give_up(self, run: _Run, event: PendingEvent, answer: Answer) -> None:
        run.bad_in_a_row += 1
        if run.bad_in_a_row > self.max_bad_in_a_row:
            raise SinkStopped("refuses_everything")
        detail = f"sink {event.sink_id} refused this event alone"
        await self.dead_letters.give_up(event, code=answer.reason, detail=detail)
        self.observer.gave_up(answer.reason)
        await self.backlog.remove(run.key, [event.position])


def first_batch(events: Sequence[PendingEvent]) -> list[PendingEvent]:
    """As many from the front as fit one request; at least one."""
    batch: list[PendingEvent] = []
    items, size = 0, ENVELOPE_BYTES
    for event in events:
        items += len(event.items)
        size += sum(len(item.encode()) + 1 for item in event.items)
        if batch and (items > MAX_BATCH_ITEMS or size > MAX_BODY_BYTES):
            break
        batch.append(event)
    return batch
