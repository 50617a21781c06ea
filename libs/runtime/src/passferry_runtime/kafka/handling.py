"""Calls handlers so that each record gets an outcome, whatever a handler or a record does."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

from passferry_contracts.envelope import InvalidEvent, decode
from passferry_runtime.causes import cause_of
from passferry_runtime.errors import Rejected, RetryLater
from passferry_runtime.kafka.producer import KafkaUnavailable
from passferry_runtime.kafka.records import Incoming, IncomingRecord, Outcome, Route
from passferry_runtime.logging import get_logger
from passferry_runtime.metrics import CONSUMER_BATCH_RECORDS
from passferry_runtime.postgres import UNAVAILABLE
from passferry_runtime.tracing import batch_span

log = get_logger(__name__)

QUICK_TRIES = 3
QUICK_PAUSE_S = 0.05
UNAVAILABLE_PAUSE_S = (0.1, 3.0)
#: A time-out that comes more often is looked into.
PATIENT_WAITS = 5
MAX_CAUSE_CHARACTERS = 500

_PASSING = (*UNAVAILABLE, KafkaUnavailable)


class HandlerTimedOut(Exception):
    """Again and again, while the database answers: a fault of the records, not of a backend."""


class Handling:
    """Of one consumer. `trouble` names the backend error that is being waited out, or is empty."""

    def __init__(self, ping: Callable[[], Awaitable[object]]) -> None:
        self.trouble = ""
        self._ping = ping
        self._stopping = False

    def stop(self) -> None:
        """Wait for no backend any more: what is unfinished comes again after the restart."""
        self._stopping = True

    async def outcomes_of(self, records: Sequence[IncomingRecord], route: Route) -> list[Outcome]:
        """One outcome per record; nothing that a handler raises gets past this."""
        outcomes: list[Outcome] = [None] * len(records)
        waiting: list[tuple[int, Incoming]] = []
        for index, record in enumerate(records):
            if record.value is None:
                # What came before it must not be handled after it.
                await self._handle(waiting, route, outcomes)
                waiting = []
                outcomes[index] = await self._take_tombstone(record, route)
                continue
            try:
                envelope = decode(route.topic, record.headers, record.value)
            except InvalidEvent as error:
                outcomes[index] = Rejected(error.code, error.detail)
            else:
                waiting.append((index, Incoming(record, envelope)))
        await self._handle(waiting, route, outcomes)
        return outcomes

    async def until_done(self, action: Callable[[], Awaitable[object]]) -> None:
        """Do it; waits out a backend that is away, and gives other errors a few tries."""
        pause_s, tries = UNAVAILABLE_PAUSE_S[0], 0
        while True:
            try:
                await action()
            except _PASSING as error:
                pause_s = await self._wait_out(error, pause_s)
            except Exception:
                tries += 1
                if tries >= QUICK_TRIES:
                    raise
                await asyncio.sleep(QUICK_PAUSE_S * 2**tries * random.uniform(0.5, 1.5))
            else:
                self.trouble = ""
                return

    async def _wait_out(self, error: Exception, pause_s: float) -> float:
        """Sleep, and return how long to sleep the next time."""
        self.trouble = type(error).__name__
        if self._stopping:
            raise error
        log.warning("backend_unavailable", error=type(error).__name__)
        await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))
        return min(pause_s * 2, UNAVAILABLE_PAUSE_S[1])

    async def _take_tombstone(self, record: IncomingRecord, route: Route) -> Outcome:
        handler = route.on_tombstone
        if handler is None:
            return None
        try:
            await self.until_done(lambda: handler(record))
        except (RetryLater, Rejected) as verdict:
            return verdict
        except _PASSING:
            raise
        except Exception as error:
            return self._failed(error, route, 1)
        return None

    async def _handle(
        self, waiting: list[tuple[int, Incoming]], route: Route, outcomes: list[Outcome]
    ) -> None:
        if not waiting:
            return
        CONSUMER_BATCH_RECORDS.observe(len(waiting))
        handled = await self._call_handler([each for _, each in waiting], route)
        for (index, _), outcome in zip(waiting, handled, strict=True):
            outcomes[index] = outcome

    async def _call_handler(self, batch: list[Incoming], route: Route) -> list[Outcome]:
        verdict: RetryLater | Rejected | None = None
        for attempt in range(QUICK_TRIES):
            try:
                return await self._call_once(batch, route)
            except (RetryLater, Rejected) as error:
                verdict = error
                break
            except _PASSING:
                raise
            except Exception as error:
                verdict = self._failed(error, route, len(batch))
                await asyncio.sleep(QUICK_PAUSE_S * 2**attempt * random.uniform(0.5, 1.5))
        if len(batch) == 1:
            return [verdict]
        return await self._one_by_one(batch, route)

    async def _one_by_one(self, batch: list[Incoming], route: Route) -> list[Outcome]:
        """Find the bad ones: their neighbours must not suffer with them."""
        outcomes: list[Outcome] = []
        stopped: set[tuple[bytes, bytes]] = set()
        for each in batch:
            if each.record.subject in stopped:
                outcomes.append(
                    RetryLater("waits_behind", "an earlier record of its key is parked")
                )
                continue
            outcome = (await self._call_handler([each], route))[0]
            if isinstance(outcome, RetryLater):
                stopped.add(each.record.subject)
            outcomes.append(outcome)
        return outcomes

    async def _call_once(self, batch: list[Incoming], route: Route) -> list[Outcome]:
        pause_s, waits = UNAVAILABLE_PAUSE_S[0], 0
        traces = {each.envelope.key: each.envelope.traceparent for each in batch}
        while True:
            try:
                with batch_span(f"process {route.topic.name}", traces):
                    outcomes = await route.handler(batch)
            except _PASSING as error:
                waits += 1
                if waits > PATIENT_WAITS and await self._is_its_own(error):
                    raise HandlerTimedOut(type(error).__name__) from error
                pause_s = await self._wait_out(error, pause_s)
                continue
            self.trouble = ""
            if outcomes is None:
                return [None] * len(batch)
            if len(outcomes) != len(batch):
                raise ValueError(f"{len(outcomes)} outcomes for {len(batch)} records")
            return list(outcomes)

    async def _is_its_own(self, error: Exception) -> bool:
        """Whether a time-out comes from the records: the database answers, and still it comes."""
        if not isinstance(error, TimeoutError):
            return False
        try:
            await self._ping()
        except _PASSING:
            return False
        return True

    def _failed(self, error: Exception, route: Route, records: int) -> RetryLater:
        # The same goes to the parked record, and with it to the dead letters.
        cause = cause_of(error)[:MAX_CAUSE_CHARACTERS]
        log.warning(
            "handler_failed",
            topic=route.topic.name,
            batch=records,
            error=type(error).__name__,
            detail=cause,
        )
        return RetryLater("handler_failed", cause)
