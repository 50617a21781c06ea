"""Ended deliveries go when they are old enough, some at a time. proves: J72"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from passferry_notifier.adapters.postgres_deliveries import PostgresDeliveries
from passferry_runtime.clock import SystemClock
from passferry_runtime.postgres import Database
from passferry_testing.harness import Harness

pytestmark = pytest.mark.integration

NOW = SystemClock().now()
OLD, YOUNG = NOW - timedelta(days=8), NOW - timedelta(days=6)

ADD = """
INSERT INTO delivery (workspace_id, delivery_id, pass_id, channel, target, revision,
    notification_type, cause_type, state, next_attempt_at, caused_at, created_at, completed_at)
SELECT $1::uuid, gen_random_uuid(), gen_random_uuid(), 'apple_wallet', 'device', 1, 'general_update',
    'pass.updated', $2::text, at, at, at, CASE WHEN $2 <> 'pending' THEN at END
FROM generate_series(1, $4), CAST($3 AS timestamptz) AS at
"""
STATES = """
SELECT state, count(*) AS number FROM delivery WHERE workspace_id = $1 GROUP BY state
"""


async def test_only_what_ended_long_ago_goes_of_the_named_workspaces_and_so_many_at_once(
    harness: Harness,
) -> None:
    await harness.migrate("notifier", "passferry_notifier.migrations")
    mine, theirs = uuid4(), uuid4()
    async with Database.open(harness.app_url("notifier"), service="notifier") as database:
        for workspace_id in (mine, theirs):
            async with database.transaction({workspace_id}) as tx:
                await tx.execute(ADD, workspace_id, "delivered", OLD, 5)
                await tx.execute(ADD, workspace_id, "failed", YOUNG, 2)
                await tx.execute(ADD, workspace_id, "pending", OLD, 3)

        async def kept(workspace_id: UUID) -> dict[str, int]:
            async with database.transaction({workspace_id}) as tx:
                rows = await tx.fetch(STATES, workspace_id)
            return {row["state"]: row["number"] for row in rows}

        deliveries = PostgresDeliveries(database)
        before = NOW - timedelta(days=7)
        pruned = [await deliveries.prune([mine], before=before, limit=3) for _ in range(3)]
        assert pruned == [3, 2, 0]
        assert await kept(mine) == {"failed": 2, "pending": 3}
        assert await kept(theirs) == {"delivered": 5, "failed": 2, "pending": 3}
