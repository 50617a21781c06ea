"""Google's classes that wait for a credential, in Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from passferry_notifier.adapters.postgres_google import class_row_of
from passferry_notifier.adapters.postgres_queue import REMEMBER_WORKSPACES
from passferry_notifier.application.bring_classes import WaitingClass, WaitingGroup
from passferry_notifier.application.ports import GoogleClassRow
from passferry_runtime.postgres import Database

CLAIM_PER_WORKSPACE = 5

WAIT = """
UPDATE google_class SET waits_for = $3, attempts = $4, next_attempt_at = $5
WHERE workspace_id = $1 AND class_id = $2 AND synced_sha256 IS DISTINCT FROM body_sha256
"""

#: A version that came meanwhile was not the one that was refused.
GIVE_UP = """
UPDATE google_class SET waits_for = NULL, attempts = 0, next_attempt_at = NULL
WHERE workspace_id = $1 AND class_id = $2 AND body_sha256 = $3
"""

MAKE_DUE = """
UPDATE google_class SET attempts = 0, next_attempt_at = $2
WHERE workspace_id = ANY($1::uuid[]) AND waits_for IS NOT NULL
    AND (next_attempt_at > $2 OR next_attempt_at IS NULL)
"""

GROUPS = """
SELECT workspace_id, issuer_id, waits_for, count(*) AS number, min(next_attempt_at) AS due_at
FROM google_class
WHERE workspace_id = ANY($1::uuid[]) AND next_attempt_at IS NOT NULL
GROUP BY workspace_id, issuer_id, waits_for
"""

CLAIM = """
UPDATE google_class AS class SET next_attempt_at = $3
FROM (
    SELECT due.workspace_id, due.class_id
    FROM unnest($1::uuid[]) AS named(workspace_id)
    CROSS JOIN LATERAL (
        SELECT one.workspace_id, one.class_id FROM google_class AS one
        WHERE one.workspace_id = named.workspace_id AND one.next_attempt_at <= $2
        ORDER BY one.next_attempt_at LIMIT $4
        FOR UPDATE SKIP LOCKED
    ) AS due
) AS taken
WHERE class.workspace_id = taken.workspace_id AND class.class_id = taken.class_id
RETURNING class.workspace_id, class.class_id, class.issuer_id, class.vertical,
    class.template_version, class.body, class.body_sha256, class.former_message_ids,
    class.template_id, class.synced_sha256, class.attempts
"""


class PostgresWaitingClasses:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def wait(
        self, row: GoogleClassRow, reason: str, *, attempts: int, until: datetime | None
    ) -> None:
        async with self._database.transaction({row.workspace_id}) as tx:
            await tx.execute(REMEMBER_WORKSPACES, [row.workspace_id])
            await tx.execute(WAIT, row.workspace_id, row.class_id, reason, attempts, until)

    async def give_up(self, row: GoogleClassRow) -> None:
        async with self._database.transaction({row.workspace_id}) as tx:
            await tx.execute(GIVE_UP, row.workspace_id, row.class_id, row.body_sha256)

    async def make_due(self, workspaces: Sequence[UUID], *, now: datetime) -> None:
        async with self._database.transaction(workspaces) as tx:
            await tx.execute(MAKE_DUE, list(workspaces), now)

    async def groups(self, workspaces: Sequence[UUID]) -> list[WaitingGroup]:
        async with self._database.transaction(workspaces) as tx:
            rows = await tx.fetch(GROUPS, list(workspaces))
        return [
            WaitingGroup(
                workspace_id=row["workspace_id"],
                issuer_id=row["issuer_id"],
                reason=row["waits_for"],
                count=row["number"],
                due_at=row["due_at"],
            )
            for row in rows
        ]

    async def claim(
        self, workspaces: Sequence[UUID], *, now: datetime, lease_until: datetime
    ) -> list[WaitingClass]:
        async with self._database.transaction(workspaces) as tx:
            rows = await tx.fetch(CLAIM, list(workspaces), now, lease_until, CLAIM_PER_WORKSPACE)
        return [WaitingClass(row=class_row_of(row), attempts=row["attempts"]) for row in rows]
