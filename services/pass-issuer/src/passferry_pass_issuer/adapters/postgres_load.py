"""What background work asks of Postgres itself: what waits to be sent, plans, what errors mean."""

from __future__ import annotations

import asyncpg

from passferry_pass_issuer.domain.jobs import Refusal
from passferry_pass_issuer.domain.refusals import ContentRejected, Unreadable
from passferry_runtime.crypto import DecryptionFailed
from passferry_runtime.outbox import EventTooLarge
from passferry_runtime.postgres import CONTENDED, UNAVAILABLE, Database, TransactionAborted

#: About what the relay sends in a second: live events wait no longer than that behind a job's.
LONG_BACKLOG = 5_000

COUNT = "SELECT count(*) FROM (SELECT 1 FROM outbox LIMIT $1) AS waiting"

REFRESH = "SELECT refresh_pass_statistics()"

_PASSING = (*UNAVAILABLE, *CONTENDED, asyncpg.QueryCanceledError)


class OutboxBacklog:
    def __init__(self, database: Database, *, long: int = LONG_BACKLOG) -> None:
        self._database = database
        self._long = long

    async def is_long(self) -> bool:
        async with self._database.plumbing() as transaction:
            return int(await transaction.fetchval(COUNT, self._long)) >= self._long


class PassStatistics:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def refresh(self) -> None:
        async with self._database.transaction([]) as transaction:
            await transaction.execute(REFRESH)


class StepErrors:
    def is_passing(self, error: Exception) -> bool:
        return isinstance(error, _PASSING)

    def refusal(self, error: Exception) -> Refusal:
        if isinstance(error, DecryptionFailed):
            error = Unreadable.of(error.context)
        if isinstance(error, ContentRejected):
            return Refusal(field=error.field, code=error.code, detail=error.detail)
        if isinstance(error, EventTooLarge):
            return Refusal(field="", code="too_large", detail="does not fit into one event")
        if isinstance(error, TransactionAborted):
            return Refusal(field="", code="not_stored", detail="could not be stored")
        return Refusal(field="", code="internal_error", detail="failed on our side; send it again")
