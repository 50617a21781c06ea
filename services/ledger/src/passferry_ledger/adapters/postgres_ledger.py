"""Commands in Postgres: locked, decided, written, and told, in one transaction."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from uuid import UUID

import asyncpg

from passferry_ledger.adapters.postgres_availability import passing_when_unavailable
from passferry_ledger.adapters.postgres_book import read_book
from passferry_ledger.adapters.postgres_terms import KnownTerms
from passferry_ledger.adapters.postgres_writing import write_book
from passferry_ledger.application.announcements import announcements_of
from passferry_ledger.application.ports import MAX_BATCH_COMMANDS, Mode, Submission
from passferry_ledger.domain.decide import decide
from passferry_ledger.domain.outcomes import Outcome, aborted
from passferry_ledger.metrics import BATCH_COMMANDS, BATCH_SECONDS, COMMANDS
from passferry_runtime.clock import Clock
from passferry_runtime.errors import RetryLater
from passferry_runtime.postgres import Database, Transaction
from passferry_runtime.tracing import span

#: Another batch wrote the same key meanwhile; asking again finds what it wrote.
RACES = (
    asyncpg.UniqueViolationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)
MAX_RACES = 5


class PostgresLedger:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._known_terms = KnownTerms()

    async def apply(
        self,
        submissions: Sequence[Submission],
        *,
        suspended: Collection[UUID],
        mode: Mode = Mode.EACH,
    ) -> list[Outcome]:
        if len(submissions) > MAX_BATCH_COMMANDS:
            raise ValueError(f"{len(submissions)} commands, at most {MAX_BATCH_COMMANDS} at once")
        if not submissions:
            return []
        started = time.perf_counter()
        with passing_when_unavailable():
            outcomes = await self._apply_in_spite_of_races(submissions, suspended, mode)
        if mode is Mode.TRY:
            return outcomes
        BATCH_SECONDS.observe(time.perf_counter() - started)
        BATCH_COMMANDS.observe(len(submissions))
        for submission, outcome in zip(submissions, outcomes, strict=True):
            kind = submission.command.kind.value
            COMMANDS.labels(kind, "replayed" if outcome.is_replayed else outcome.code).inc()
        return outcomes

    async def _apply_in_spite_of_races(
        self, submissions: Sequence[Submission], suspended: Collection[UUID], mode: Mode
    ) -> list[Outcome]:
        workspaces = {submission.command.workspace_id for submission in submissions}
        for _ in range(MAX_RACES):
            try:
                async with self._database.transaction(workspaces) as transaction:
                    return await self.apply_within(
                        transaction, submissions, suspended=suspended, mode=mode
                    )
            except RACES:
                continue
        raise RetryLater("storage_contended", "The same keys are written again and again.")

    async def apply_within(
        self,
        transaction: Transaction,
        submissions: Sequence[Submission],
        *,
        suspended: Collection[UUID] = (),
        mode: Mode = Mode.EACH,
    ) -> list[Outcome]:
        """Apply in a transaction that may do more besides; its commit sends the events."""
        book, orders = await read_book(
            transaction, submissions, self._known_terms, suspended=suspended
        )
        # Only now: the locks may have been waited for.
        now = self._clock.now()
        outcomes = [decide(book, order, now) for order in orders]
        if mode is Mode.TRY:
            return outcomes
        if mode is Mode.ALL_OR_NONE and not all(outcome.is_applied for outcome in outcomes):
            return aborted(outcomes, [submission.key for submission in submissions])
        await write_book(transaction, book, now)
        for submission, outcome in zip(submissions, outcomes, strict=True):
            announced = announcements_of(submission, outcome, now=now)
            if announced:
                with span("ledger.apply", parent=submission.traceparent):
                    for topic, event in announced:
                        transaction.emit(topic, event, time=now)
        return outcomes
