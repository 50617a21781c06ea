"""Tries parked records again: the due head of each lane, then what waits behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from passferry_runtime.causes import cause_of
from passferry_runtime.clock import Clock
from passferry_runtime.errors import Rejected, RetryLater
from passferry_runtime.kafka.handling import Handling
from passferry_runtime.kafka.parking import ParkedRecord, ParkingLot
from passferry_runtime.kafka.records import IncomingRecord, Outcome, Route
from passferry_runtime.kafka.settings import KafkaSettings
from passferry_runtime.logging import get_logger

log = get_logger(__name__)

PARKING_INTERVAL_S = 0.2
#: Behind a head that succeeds the rest of its lane follows at once, this many at most.
MAX_ROUNDS = 1_000


class GiveUp(Protocol):
    def __call__(
        self, record: IncomingRecord, code: str, detail: str, *, attempts: int
    ) -> Awaitable[None]: ...


class ParkedRetries:
    """`assignment` counts assignments and is None while there is none: a head that was read in
    another one may be somebody else's by now."""

    def __init__(
        self,
        *,
        parking: ParkingLot,
        handling: Handling,
        routes: Mapping[str, Route],
        settings: KafkaSettings,
        clock: Clock,
        give_up: GiveUp,
        assignment: Callable[[], int | None],
    ) -> None:
        self._parking = parking
        self._handling = handling
        self._routes = routes
        self._settings = settings
        self._clock = clock
        self._give_up = give_up
        self._assignment = assignment
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(PARKING_INTERVAL_S)
            if not self._parking.lanes or self._assignment() is None:
                continue
            try:
                for _ in range(MAX_ROUNDS):
                    async with self._turn:
                        finished = await self._retry_due_heads()
                    if not finished:
                        break
            except Exception as error:
                log.warning(
                    "parked_retry_failed", error=type(error).__name__, detail=cause_of(error)[:200]
                )

    async def wait_until_idle(self) -> None:
        """Return when no record is being tried; the next owner may try it then."""
        async with self._turn:
            return

    async def _retry_due_heads(self) -> int:
        """Returns how many records are finished with."""
        assignment, finished = self._assignment(), 0
        by_topic: dict[str, list[ParkedRecord]] = {}
        for parked in await self._parking.due():
            by_topic.setdefault(parked.record.topic, []).append(parked)
        for topic, heads in by_topic.items():
            route = self._routes.get(topic)
            if route is None:
                continue
            for start in range(0, len(heads), route.max_batch):
                if assignment is None or assignment != self._assignment():
                    return 0
                finished += await self._retry(heads[start : start + route.max_batch], route)
        return finished

    async def _retry(self, heads: list[ParkedRecord], route: Route) -> int:
        outcomes = await self._handling.outcomes_of([head.record for head in heads], route)
        finished = []
        for head, outcome in zip(heads, outcomes, strict=True):
            if await self._is_finished(head, outcome):
                finished.append(head)
        if finished:
            await self._parking.remove(finished)
        return len(finished)

    async def _is_finished(self, head: ParkedRecord, outcome: Outcome) -> bool:
        if isinstance(outcome, RetryLater):
            if not self._is_past_bound(head):
                await self._parking.postpone(head, code=outcome.code, detail=outcome.detail)
                return False
            outcome = Rejected(outcome.code, f"gave up waiting: {outcome.detail}")
        if isinstance(outcome, Rejected):
            await self._give_up(
                head.record, outcome.code, outcome.detail, attempts=head.attempts + 1
            )
        return True

    def _is_past_bound(self, parked: ParkedRecord) -> bool:
        age_s = (self._clock.now() - parked.parked_at).total_seconds()
        return (
            parked.attempts + 1 >= self._settings.parking_max_attempts
            or age_s >= self._settings.parking_max_age_s
        )
