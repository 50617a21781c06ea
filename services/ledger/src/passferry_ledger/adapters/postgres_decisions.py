"""Reads of what became of each command: the audit of the ledger."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from passferry_ledger.adapters.postgres_reading import reading, scanned
from passferry_ledger.application.searches import DecisionSearch, KeyPlace, Page
from passferry_ledger.domain.views import Decision
from passferry_runtime.postgres import Database, Record

# The first condition of each pair is what the index by time serves.
PAGE_OF_DECISIONS = """
SELECT result.idempotency_key, result.command, result.kind, result.code, account.pass_id,
       result.entry_id, result.version, result.balance_minor, result.available_minor,
       result.held_minor, result.recorded_by, result.recorded_at
FROM idempotency_result AS result
LEFT JOIN account ON account.account_id = result.account_id
WHERE result.workspace_id = $1
    AND result.recorded_at >= $2 AND (result.recorded_at, result.idempotency_key) > ($2, $3)
    AND result.recorded_at <= $4 AND (result.recorded_at, result.idempotency_key) < ($4, $5)
    AND ($6::text IS NULL OR result.recorded_by = $6)
    AND ($7::text IS NULL OR result.code = $7)
ORDER BY result.recorded_at DESC, result.idempotency_key DESC
LIMIT $8
"""

SCANNED_DECISIONS = """
SELECT result.recorded_at, result.idempotency_key
FROM idempotency_result AS result
WHERE result.workspace_id = $1
    AND result.recorded_at >= $2 AND (result.recorded_at, result.idempotency_key) > ($2, $3)
    AND result.recorded_at <= $4 AND (result.recorded_at, result.idempotency_key) < ($4, $5)
ORDER BY result.recorded_at DESC, result.idempotency_key DESC
LIMIT 2 OFFSET $6
"""

NO_KEY = ""
FIRST_TIME = datetime(1, 1, 1, tzinfo=UTC)
LAST_TIME = datetime.max.replace(tzinfo=UTC)


class PostgresDecisions:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def decisions(
        self, workspace_id: UUID, search: DecisionSearch
    ) -> Page[Decision, KeyPlace]:
        # No key is empty: what comes behind it begins with the first of its time.
        low: KeyPlace = (search.period.since or FIRST_TIME, NO_KEY)
        high: KeyPlace = search.after or (search.period.until or LAST_TIME, NO_KEY)
        following = None
        async with reading(self._database, workspace_id) as transaction:
            if search.is_filtered:
                end = await scanned(transaction, SCANNED_DECISIONS, workspace_id, *low, *high)
                if end is not None:
                    following, low = _place(end[0]), _place(end[1])
            rows = await transaction.fetch(
                PAGE_OF_DECISIONS,
                workspace_id,
                *low,
                *high,
                search.recorded_by,
                search.code,
                search.limit + 1,
            )
        if len(rows) > search.limit:
            following = _place(rows[search.limit - 1])
        return Page([_decision(row) for row in rows[: search.limit]], following)


def _place(row: Record) -> KeyPlace:
    return row["recorded_at"], row["idempotency_key"]


def _decision(row: Record) -> Decision:
    return Decision(
        idempotency_key=row["idempotency_key"],
        command=row["command"],
        kind=row["kind"],
        code=row["code"],
        pass_id=row["pass_id"],
        entry_id=row["entry_id"],
        version=row["version"],
        balance_minor=row["balance_minor"],
        available_minor=row["available_minor"],
        held_minor=row["held_minor"],
        recorded_by=row["recorded_by"],
        recorded_at=row["recorded_at"],
    )
