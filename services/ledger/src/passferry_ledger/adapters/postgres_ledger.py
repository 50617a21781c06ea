"""Commands against the stored function, and their events in the same transaction."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from uuid import UUID

import asyncpg

from passferry_ledger.adapters.postgres_availability import passing_when_unavailable
from passferry_ledger.application.announcements import announcements_of
from passferry_ledger.application.ports import MAX_BATCH_COMMANDS, Submission
from passferry_ledger.domain.outcomes import Outcome
from passferry_ledger.metrics import BATCH_COMMANDS, BATCH_SECONDS, COMMANDS
from passferry_runtime.clock import Clock
from passferry_runtime.errors import RetryLater
from passferry_runtime.ids import uuid7
from passferry_runtime.postgres import Database, Record, Transaction
from passferry_runtime.tracing import span

APPLY = """
SELECT place, code, is_replayed, pass_id, external_id, program_id, unit, unit_scale, entry_id,
       version, previous_balance_minor, balance_minor, available_minor, is_exhausted, recorded_at
FROM apply_commands_v1(
    p_now => $1,
    p_workspace_ids => $2, p_pass_ids => $3, p_external_ids => $4, p_actions => $5,
    p_amounts => $6, p_units => $7, p_entry_ids => $8, p_keys => $9, p_fingerprints => $10,
    p_suspended => $11, p_references => $12, p_reasons => $13, p_merchant_ids => $14,
    p_merchant_names => $15, p_locations => $16, p_terminals => $17, p_recorded_by => $18,
    p_occurred_at => $19)
"""

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

    async def apply(
        self, submissions: Sequence[Submission], *, suspended: Collection[UUID]
    ) -> list[Outcome]:
        if len(submissions) > MAX_BATCH_COMMANDS:
            raise ValueError(f"{len(submissions)} commands, at most {MAX_BATCH_COMMANDS} at once")
        if not submissions:
            return []
        started = time.perf_counter()
        with passing_when_unavailable():
            outcomes = await self._apply_in_spite_of_races(submissions, suspended)
        BATCH_SECONDS.observe(time.perf_counter() - started)
        BATCH_COMMANDS.observe(len(submissions))
        for submission, outcome in zip(submissions, outcomes, strict=True):
            kind = submission.command.kind.value
            COMMANDS.labels(kind, "replayed" if outcome.is_replayed else outcome.code).inc()
        return outcomes

    async def _apply_in_spite_of_races(
        self, submissions: Sequence[Submission], suspended: Collection[UUID]
    ) -> list[Outcome]:
        workspaces = {submission.command.workspace_id for submission in submissions}
        for _ in range(MAX_RACES):
            try:
                async with self._database.transaction(workspaces) as transaction:
                    return await apply_within(
                        transaction, submissions, suspended=suspended, clock=self._clock
                    )
            except RACES:
                continue
        raise RetryLater("storage_contended", "The same keys are written again and again.")


async def apply_within(
    transaction: Transaction,
    submissions: Sequence[Submission],
    *,
    suspended: Collection[UUID],
    clock: Clock,
) -> list[Outcome]:
    """Apply in a transaction that may do more besides; its commit sends the events."""
    now = clock.now()
    commands = [submission.command for submission in submissions]
    rows = await transaction.fetch(
        APPLY,
        now,
        [command.workspace_id for command in commands],
        [command.pass_id for command in commands],
        [command.external_id for command in commands],
        [command.kind.value for command in commands],
        [command.amount_minor for command in commands],
        [command.unit for command in commands],
        [uuid7() for _ in commands],
        [command.idempotency_key for command in commands],
        [command.fingerprint() for command in commands],
        [command.workspace_id in suspended for command in commands],
        [command.reference for command in commands],
        [command.reason for command in commands],
        [command.merchant_id for command in commands],
        [command.merchant_name for command in commands],
        [command.location for command in commands],
        [command.terminal for command in commands],
        [command.recorded_by for command in commands],
        [command.occurred_at for command in commands],
    )
    outcomes = [_outcome(row) for row in rows]
    for submission, outcome in zip(submissions, outcomes, strict=True):
        announced = announcements_of(submission, outcome, now=now)
        if announced:
            with span("ledger.apply", parent=submission.traceparent):
                for topic, event in announced:
                    transaction.emit(topic, event, time=now)
    return outcomes


def _outcome(row: Record) -> Outcome:
    return Outcome(
        code=row["code"],
        is_replayed=row["is_replayed"],
        pass_id=row["pass_id"],
        external_id=row["external_id"],
        program_id=row["program_id"],
        unit=row["unit"],
        unit_scale=row["unit_scale"] or 0,
        entry_id=row["entry_id"],
        version=row["version"],
        previous_balance_minor=row["previous_balance_minor"],
        balance_minor=row["balance_minor"],
        available_minor=row["available_minor"],
        is_exhausted=row["is_exhausted"],
        recorded_at=row["recorded_at"],
    )
