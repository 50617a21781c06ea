"""Many callers, few transactions: commands that come at the same time share one.

A lane applies one batch at a time. What arrives meanwhile is the next batch, so that batches grow
with the load and a lone caller waits for nobody. Commands of one pass share a lane, which keeps
their order and spares them waiting for each other's row.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from passferry_ledger.application.keys_in_flight import KeysInFlight, command_in_flight
from passferry_ledger.application.ports import Submission
from passferry_ledger.domain.outcomes import Outcome
from passferry_runtime.errors import RetryLater, Unavailable

LANES = 4
MAX_BATCH = 128
MAX_QUEUED_PER_LANE = 2_048
ANSWER_TIMEOUT_S = 15.0

Apply = Callable[[Sequence[Submission]], Awaitable[list[Outcome]]]


@dataclass(slots=True)
class _Waiting:
    submission: Submission
    answer: asyncio.Future[Outcome]


@dataclass(slots=True)
class _Lane:
    queue: deque[_Waiting] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)


class BatchCommands:
    """`run` works the lanes until `stop`, which lets what is queued be finished first."""

    def __init__(
        self,
        apply: Apply,
        *,
        lanes: int = LANES,
        max_batch: int = MAX_BATCH,
        max_queued_per_lane: int = MAX_QUEUED_PER_LANE,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
        in_flight: KeysInFlight | None = None,
    ) -> None:
        self._apply = apply
        self._lanes = [_Lane() for _ in range(lanes)]
        self._max_batch = max_batch
        self._max_queued = max_queued_per_lane
        self._answer_timeout_s = answer_timeout_s
        self._in_flight = in_flight or KeysInFlight()
        self._is_stopping = False

    @property
    def queued(self) -> int:
        return sum(len(lane.queue) for lane in self._lanes)

    async def __call__(self, submission: Submission) -> Outcome:
        """Raises `Conflict` while the same key is in flight, and `Unavailable` when it cannot be
        said what became of the command: the caller asks again with the same key."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(submission, loop.create_future())
        self._enqueue(waiting)
        # Whoever waits no longer, hung up or told to ask again, leaves the command to its lane.
        patience = loop.call_later(self._answer_timeout_s, _lose_patience, waiting.answer)
        try:
            return await waiting.answer
        except RetryLater as error:
            raise Unavailable(error.code, error.detail, retry_after_s=1) from error
        finally:
            patience.cancel()

    def _enqueue(self, waiting: _Waiting) -> None:
        if self._is_stopping:
            raise Unavailable("ledger_stopping", "The service is stopping.", retry_after_s=1)
        command = waiting.submission.command
        name = command.pass_id or command.external_id or command.code
        lane = self._lanes[hash((command.workspace_id, name)) % len(self._lanes)]
        if len(lane.queue) >= self._max_queued:
            raise Unavailable("ledger_overloaded", "Too many commands wait.", retry_after_s=1)
        if not self._in_flight.take(waiting.submission.key):
            raise command_in_flight()
        lane.queue.append(waiting)
        lane.wake.set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for lane in self._lanes:
                tasks.create_task(self._work(lane))

    def stop(self) -> None:
        self._is_stopping = True
        for lane in self._lanes:
            lane.wake.set()

    async def _work(self, lane: _Lane) -> None:
        while True:
            if not lane.queue:
                if self._is_stopping:
                    return
                lane.wake.clear()
                await lane.wake.wait()
                # Callers that are ready in this turn of the loop join the batch.
                await asyncio.sleep(0)
                continue
            batch = [lane.queue.popleft() for _ in range(min(len(lane.queue), self._max_batch))]
            await self._apply_batch(batch)

    async def _apply_batch(self, batch: list[_Waiting]) -> None:
        try:
            outcomes = await self._apply([waiting.submission for waiting in batch])
        except RetryLater as error:
            _fail(batch, error)
        except Exception as error:
            await self._apply_alone(batch, error)
        else:
            for waiting, outcome in zip(batch, outcomes, strict=True):
                if not waiting.answer.done():
                    waiting.answer.set_result(outcome)
        finally:
            self._in_flight.give_back(waiting.submission.key for waiting in batch)

    async def _apply_alone(self, batch: list[_Waiting], error: Exception) -> None:
        """A command that breaks its batch must not take its neighbours with it."""
        if len(batch) == 1:
            _fail(batch, error)
            return
        for waiting in batch:
            await self._apply_batch([waiting])


def _lose_patience(answer: asyncio.Future[Outcome]) -> None:
    if not answer.done():
        answer.set_exception(
            Unavailable(
                "ledger_busy", "No answer in time; ask again with the same key.", retry_after_s=1
            )
        )


def _fail(batch: list[_Waiting], error: Exception) -> None:
    for waiting in batch:
        if not waiting.answer.done():
            waiting.answer.set_exception(error)
            # Nobody may be waiting any more, and then nobody would look at it.
            waiting.answer.exception()
