"""Transactions that lists are read in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from passferry_ledger.adapters.postgres_availability import passing_when_unavailable
from passferry_ledger.application.searches import MAX_SCANNED
from passferry_runtime.postgres import Database, Record, Transaction

#: All that a page is made of is as of one moment.
ONE_MOMENT = "REPEATABLE READ READ ONLY"
# A plan that was made while the tables were small stays until they are analyzed again.
BY_INDEX_ONLY = "SET LOCAL enable_seqscan = off"
#: How the last row that a filter looks at is found, and the one behind it.
TO_LAST_SCANNED = MAX_SCANNED - 1


@asynccontextmanager
async def reading(database: Database, workspace_id: UUID) -> AsyncIterator[Transaction]:
    """Raises `RetryLater` when the database cannot be asked now."""
    with passing_when_unavailable():
        async with database.transaction([workspace_id], isolation=ONE_MOMENT) as transaction:
            await transaction.execute(BY_INDEX_ONLY)
            yield transaction


async def scanned(
    transaction: Transaction, sql: str, *arguments: Any
) -> tuple[Record, Record] | None:
    """The last row that a filter may look at and the first one that it may not; None when it may
    look at all there are. The last parameter of `sql` is the offset of the former."""
    rows = await transaction.fetch(sql, *arguments, TO_LAST_SCANNED)
    return (rows[0], rows[1]) if len(rows) > 1 else None
