"""Sends deliveries: in lanes, so that one target gets one at a time, and in one queue per
credential, so that a slow or refused credential delays no other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from uuid import UUID

from passferry_notifier.domain.deliveries import Action, Delivery, Verdict
from passferry_runtime.logging import get_logger
from passferry_runtime.tracing import span

log = get_logger(__name__)

#: Pauses after a refused credential, doubled each time.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 300.0
IDLE_QUEUE_S = 600.0

Detail = TypeVar("Detail")


@dataclass(frozen=True, slots=True, eq=False)
class Work(Generic[Detail]):
    """`lane`: what gets one at a time. `queue`: the credential. `detail`: what the sender needs."""

    delivery: Delivery
    lane: Hashable
    queue: str
    detail: Detail


Send = Callable[[Work[Detail]], Awaitable[Verdict]]
OnOutcome = Callable[[Sequence[Work[Detail]], Verdict], None]


@dataclass(slots=True)
class _Lane(Generic[Detail]):
    #: By pass: a newer revision takes the place of an older one.
    waiting: dict[UUID, Work[Detail]] = field(default_factory=dict)
    in_flight: dict[UUID, Work[Detail]] = field(default_factory=dict)
    is_scheduled: bool = False
    not_before: float = 0.0


@dataclass(slots=True)
class _Queue:
    ready: deque[Hashable] = field(default_factory=deque)
    in_flight: int = 0
    is_starved: bool = False
    is_proven: bool = True
    faults: int = 0
    paused_until: float = 0.0
    reason: str = ""
    used_at: float = 0.0


class Dispatcher(Generic[Detail]):
    """Bounded in flight per credential and in total, and bounded in what it holds."""

    def __init__(
        self,
        *,
        send: Send[Detail],
        on_outcome: OnOutcome[Detail],
        on_coalesced: Callable[[int], None],
        per_credential: int,
        in_total: int,
        max_held: int = 50_000,
        interval_s: float = 0.0,
    ) -> None:
        self._send = send
        self._on_outcome = on_outcome
        self._on_coalesced = on_coalesced
        self._per_credential = per_credential
        self._in_total = in_total
        self._max_held = max_held
        self._interval_s = interval_s
        self._lanes: dict[Hashable, _Lane[Detail]] = {}
        self._queues: dict[str, _Queue] = {}
        self._starved: deque[str] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._held = 0
        self._stopping = False

    @property
    def has_room(self) -> bool:
        return self._held < self._max_held and not self._stopping

    @property
    def paused(self) -> dict[str, str]:
        """Credentials that the provider refuses, with its reason."""
        return {name: queue.reason for name, queue in self._queues.items() if queue.faults}

    def held(self) -> list[Delivery]:
        """Everything that waits here or is being sent."""
        return [
            work.delivery
            for lane in self._lanes.values()
            for works in (lane.waiting, lane.in_flight)
            for work in works.values()
        ]

    def submit(self, works: Iterable[Work[Detail]]) -> None:
        """Take `works`; those that there is no room for come back as postponed."""
        refused = [work for work in works if not self._take(work)]
        if refused:
            self._on_outcome(refused, Verdict(action=Action.POSTPONED, retry_after_s=1.0))

    def _take(self, work: Work[Detail]) -> bool:
        now = asyncio.get_running_loop().time()
        queue = self._queues.setdefault(work.queue, _Queue())
        queue.used_at = now
        if queue.paused_until > now:
            pause = Verdict(
                action=Action.POSTPONED,
                reason=queue.reason,
                retry_after_s=queue.paused_until - now,
            )
            self._on_outcome([work], pause)
            return True
        if not self.has_room:
            return False
        lane = self._lanes.setdefault(work.lane, _Lane())
        pass_id = work.delivery.pass_id
        flying = lane.in_flight.get(pass_id)
        if flying is not None and flying.delivery.delivery_id == work.delivery.delivery_id:
            return True  # our own, claimed again
        known = lane.waiting.get(pass_id)
        if known is None:
            self._held += 1
        elif known.delivery.revision > work.delivery.revision:
            return True
        elif known.delivery.delivery_id != work.delivery.delivery_id:
            self._on_coalesced(1)
        lane.waiting[pass_id] = work
        self._schedule(work.lane, lane)
        return True

    def _schedule(self, name: Hashable, lane: _Lane[Detail]) -> None:
        if lane.is_scheduled or lane.in_flight or not lane.waiting:
            return
        lane.is_scheduled = True
        loop = asyncio.get_running_loop()
        delay_s = lane.not_before - loop.time()
        if delay_s > 0:
            loop.call_later(delay_s, self._make_ready, name)
        else:
            self._make_ready(name)

    def _make_ready(self, name: Hashable) -> None:
        lane = self._lanes.get(name)
        if lane is None or not lane.waiting:
            if lane is not None:
                lane.is_scheduled = False
            return
        queue_name = next(reversed(lane.waiting.values())).queue
        queue = self._queues.setdefault(queue_name, _Queue())
        pause_s = queue.paused_until - asyncio.get_running_loop().time()
        if pause_s > 0:
            self._give_back([lane], queue.reason, pause_s)
            return
        queue.ready.append(name)
        self._pump(queue_name)

    def _pump(self, queue_name: str) -> None:
        queue = self._queues[queue_name]
        limit = self._per_credential if queue.is_proven else 1
        while queue.ready and queue.in_flight < limit and not self._stopping:
            if len(self._tasks) >= self._in_total:
                if not queue.is_starved:
                    queue.is_starved = True
                    self._starved.append(queue_name)
                return
            self._start(queue_name, queue, queue.ready.popleft())

    def _start(self, queue_name: str, queue: _Queue, name: Hashable) -> None:
        lane = self._lanes[name]
        lane.is_scheduled = False
        if not lane.waiting:
            return
        lane.in_flight, lane.waiting = lane.waiting, {}
        queue.in_flight += 1
        task = asyncio.create_task(self._run(queue_name, name, lane))
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        # Those that waited for a place get one each in turn.
        for _ in range(len(self._starved)):
            if len(self._tasks) >= self._in_total:
                return
            name = self._starved.popleft()
            self._queues[name].is_starved = False
            self._pump(name)

    async def _run(self, queue_name: str, name: Hashable, lane: _Lane[Detail]) -> None:
        works = list(lane.in_flight.values())
        # The oldest leads, so that a repetition carries the same id.
        leader = min(works, key=lambda work: work.delivery.delivery_id)
        verdict = Verdict(action=Action.POSTPONED)
        try:
            with span("deliver", parent=leader.delivery.traceparent):
                verdict = await self._send(leader)
        except Exception:
            log.exception("delivery_attempt_broke", delivery_id=leader.delivery.delivery_id)
            verdict = Verdict(action=Action.RETRY, reason="internal")
        finally:
            self._settle(queue_name, name, lane, works, verdict)

    def _settle(
        self,
        queue_name: str,
        name: Hashable,
        lane: _Lane[Detail],
        works: list[Work[Detail]],
        verdict: Verdict,
    ) -> None:
        now = asyncio.get_running_loop().time()
        queue = self._queues[queue_name]
        queue.in_flight -= 1
        queue.used_at = now
        lane.in_flight = {}
        self._held -= len(works)
        pause_s = (verdict.retry_after_s or 5.0) if verdict.slows_target else self._interval_s
        lane.not_before = now + pause_s
        if verdict.action is Action.CREDENTIAL_FAULT:
            self._on_outcome(works, self._pause(queue_name, queue, verdict.reason or "", now))
        else:
            if verdict.action in (Action.DELIVERED, Action.DELIVERED_SILENT):
                queue.is_proven, queue.faults, queue.reason = True, 0, ""
            self._on_outcome(works, verdict)
        self._schedule(name, lane)
        self._pump(queue_name)

    def _pause(self, name: str, queue: _Queue, reason: str, now: float) -> Verdict:
        """Nothing goes out on this credential for a while; afterwards one goes first."""
        if queue.paused_until <= now:
            queue.faults += 1
            pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(queue.faults - 1, 10))
            queue.paused_until = now + pause_s
            queue.is_proven = False
            queue.reason = reason
            log.error("credential_refused", credential=name, reason=reason, pause_s=pause_s)
        lanes = [self._lanes[lane_name] for lane_name in queue.ready]
        queue.ready.clear()
        return self._give_back(lanes, reason, queue.paused_until - now)

    def _give_back(self, lanes: Iterable[_Lane[Detail]], reason: str, pause_s: float) -> Verdict:
        """What waits in these lanes goes back to the database for as long as the pause lasts."""
        verdict = Verdict(action=Action.POSTPONED, reason=reason, retry_after_s=pause_s)
        waiting: list[Work[Detail]] = []
        for lane in lanes:
            lane.is_scheduled = False
            waiting += lane.waiting.values()
            lane.waiting = {}
        self._held -= len(waiting)
        if waiting:
            self._on_outcome(waiting, verdict)
        return verdict

    def sweep(self) -> None:
        """Forget lanes and queues that are idle; called once in a while."""
        now = asyncio.get_running_loop().time()
        idle = [
            name
            for name, lane in self._lanes.items()
            if not lane.waiting and not lane.in_flight and lane.not_before <= now
        ]
        for name in idle:
            del self._lanes[name]
        stale = [
            name
            for name, queue in self._queues.items()
            if not queue.in_flight
            and not queue.ready
            and not queue.is_starved
            and max(queue.used_at + IDLE_QUEUE_S, queue.paused_until) < now
        ]
        for name in stale:
            del self._queues[name]

    async def drain(self, timeout_s: float) -> None:
        """Finish what is being sent; what only waits goes back, for others to take at once."""
        self._stopping = True
        waiting = [work for lane in self._lanes.values() for work in lane.waiting.values()]
        for lane in self._lanes.values():
            lane.waiting = {}
        if waiting:
            self._held -= len(waiting)
            self._on_outcome(waiting, Verdict(action=Action.POSTPONED, retry_after_s=0.0))
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=timeout_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
