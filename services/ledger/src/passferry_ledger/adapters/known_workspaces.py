"""The workspaces that have anything here, some at a time: a transaction names those it is about."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

from passferry_ledger.adapters.postgres_availability import passing_when_unavailable
from passferry_runtime.postgres import Database

WORKSPACES_AT_ONCE = 200
BEFORE_ALL = UUID(int=0)

KNOWN_WORKSPACES = """
SELECT known_workspace_id FROM known_workspace
WHERE known_workspace_id > $1 ORDER BY known_workspace_id LIMIT $2
"""


async def known_workspaces(database: Database) -> AsyncIterator[list[UUID]]:
    after = BEFORE_ALL
    while True:
        with passing_when_unavailable():
            async with database.transaction([]) as transaction:
                rows = await transaction.fetch(KNOWN_WORKSPACES, after, WORKSPACES_AT_ONCE)
        if not rows:
            return
        names = [row["known_workspace_id"] for row in rows]
        yield names
        after = names[-1]
