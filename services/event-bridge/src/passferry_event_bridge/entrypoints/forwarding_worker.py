"""Keeps one task for each sink that has something waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from passferry_event_bridge.application.forward_events import ForwardEvents
from passferry_event_bridge.application.ports import (
    Backlog,
    Observer,
    SinkKey,
    SinkStore,
    Workspaces,
)
from passferry_runtime.causes import cause_of
from passferry_runtime.lifecycle import Check, CheckResult, Worker
from passferry_runtime.logging import get_logger

log = get_logger(__name__)

#: How often sinks are looked for that nobody woke us for, such as another process's.
LOOK_INTERVAL_S = 1.0
#: Backlogs are counted this often; between counts, intake goes on as before.
COUNT_INTERVAL_S = 10.0
MAX_WORKSPACES_AT_ONCE = 1_000


class ForwardingWorker:
    def __init__(
        self,
        *,
        sinks: SinkStore,
        backlog: Backlog,
        workspaces: Workspaces,
        observer: Observer,
        backlog_max: int,
    ) -> None:
        self._sinks = sinks
        self._backlog = backlog
        self._workspaces = workspaces
        self._observer = observer
        self._backlog_max = backlog_max
        self._tasks: dict[SinkKey, asyncio.Task[None]] = {}
        self._again: set[SinkKey] = set()
        self._full: set[SinkKey] = set()
        self._stopped: list[tuple[SinkKey, str]] = []
        self._trouble = ""
        #: Filled by the use case: sinks that keep failing, with the last reason.
        self.troubles: dict[SinkKey, str] = {}
        self._stopping = asyncio.Event()
        self._forward: ForwardEvents | None = None
        self.worker = Worker(name="forwarding", run=self.run, stop=self.stop)
        self.check = Check(name="sinks", probe=self._probe, gates_readiness=False)

    def forward_with(self, forward: ForwardEvents) -> None:
        self._forward = forward

    def stop(self) -> None:
        self._stopping.set()

    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    def is_full(self, sink: SinkKey) -> bool:
        return sink in self._full

    def wake(self, sinks: Collection[SinkKey]) -> None:
        """Something waits for these sinks now."""
        for sink in sinks:
            if sink in self._tasks:
                self._again.add(sink)
            else:
                self._start(sink)

    async def renew(self, sink: SinkKey) -> None:
        """The sink was changed: what is being sent, or waits to be tried again, starts over."""
        task = self._tasks.get(sink)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        self.wake([sink])

    async def run(self) -> None:
        next_count = 0.0
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            try:
                waiting = await self._look()
                if loop.time() >= next_count:
                    await self._count(waiting)
                    next_count = loop.time() + COUNT_INTERVAL_S
                self._trouble = ""
            except Exception as error:
                self._trouble = type(error).__name__
                log.warning("looking_for_sinks_failed", error=type(error).__name__)
            await _wait(self._stopping, LOOK_INTERVAL_S)
        await self._end()

    async def _look(self) -> list[SinkKey]:
        """Start a task for each active sink that has something waiting."""
        ids = self._workspaces.ids
        waiting: list[SinkKey] = []
        stopped: list[tuple[SinkKey, str]] = []
        for start in range(0, len(ids), MAX_WORKSPACES_AT_ONCE):
            some = ids[start : start + MAX_WORKSPACES_AT_ONCE]
            for sink in await self._backlog.waiting(some):
                waiting.append(sink.key)
                if sink.status == "active" and sink.key not in self._tasks:
                    self._start(sink.key)
            stopped.extend(
                (sink.key, sink.stopped_reason or "") for sink in await self._sinks.stopped(some)
            )
        self._stopped = stopped
        self._observer.waiting(len(waiting))
        self._observer.stopped_sinks(len(stopped))
        return waiting

    async def _count(self, waiting: list[SinkKey]) -> None:
        limit = self._backlog_max
        self._full = {sink for sink in waiting if await self._backlog.count(sink, limit) >= limit}

    def _start(self, sink: SinkKey) -> None:
        if self._stopping.is_set() or self._forward is None:
            return
        task = asyncio.create_task(self._run_one(self._forward, sink))
        self._tasks[sink] = task
        task.add_done_callback(lambda done: self._ended(sink, done))

    async def _run_one(self, forward: ForwardEvents, sink: SinkKey) -> None:
        try:
            await forward(sink)
        except Exception as error:
            # What waits stays where it is, and is looked for again.
            log.warning(
                "forwarding_failed",
                workspace_id=sink[0],
                sink_id=sink[1],
                error=type(error).__name__,
                detail=cause_of(error)[:200],
            )

    def _ended(self, sink: SinkKey, task: asyncio.Task[None]) -> None:
        if self._tasks.get(sink) is task:
            del self._tasks[sink]
        if sink in self._again:
            # Woken after the last look at its backlog, maybe.
            self._again.discard(sink)
            if not task.cancelled():
                self._start(sink)

    async def _end(self) -> None:
        tasks = list(self._tasks.values())
        if not tasks:
            return
        # A request under way may end; one that waits to be repeated is given up.
        _, left = await asyncio.wait(tasks, timeout=1.0)
        for task in left:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _probe(self) -> CheckResult:
        if self._trouble:
            return CheckResult("degraded", f"cannot look for waiting events: {self._trouble}")
        if self._stopped:
            (workspace_id, sink_id), reason = self._stopped[0]
            first = f"{sink_id} of workspace {workspace_id} ({reason})"
            return CheckResult("degraded", f"{len(self._stopped)} sinks are stopped: {first}")
        if self.troubles:
            (workspace_id, sink_id), reason = next(iter(self.troubles.items()))
            first = f"{sink_id} of workspace {workspace_id} ({reason})"
            return CheckResult("degraded", f"{len(self.troubles)} sinks keep failing: {first}")
        return CheckResult("ok", f"{len(self._tasks)} sinks at work")


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
