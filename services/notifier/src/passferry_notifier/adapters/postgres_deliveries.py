"""Deliveries of both channels: made, completed, listed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from passferry_contracts.types import Channel
from passferry_notifier.adapters.postgres_outcomes import store_outcomes
from passferry_notifier.adapters.postgres_queue import REMEMBER_WORKSPACES, PostgresQueue
from passferry_notifier.application.ports import Completion, DeliveryRow, PassKey
from passferry_notifier.domain.deliveries import Delivery
from passferry_runtime.postgres import Database, Record, Transaction

INSERT = """
INSERT INTO delivery AS known (workspace_id, delivery_id, pass_id, channel, target,
    pass_type_identifier, push_token_sha256, revision, notification_type, cause_type, state,
    next_attempt_at, caused_at, created_at, traceparent)
SELECT workspace_id, delivery_id, pass_id, channel, target, pass_type_identifier, sha256,
    revision, notification_type, cause_type, 'pending', $11::timestamptz, caused_at,
    $12::timestamptz, traceparent
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[],
    $8::bigint[], $9::text[], $10::text[], $13::timestamptz[], $14::text[])
    AS given(workspace_id, delivery_id, pass_id, channel, target, pass_type_identifier, sha256,
        revision, notification_type, cause_type, caused_at, traceparent)
ORDER BY workspace_id, pass_id, target
ON CONFLICT (workspace_id, channel, pass_id, target) WHERE state = 'pending' DO UPDATE
SET delivery_id = excluded.delivery_id, push_token_sha256 = excluded.push_token_sha256,
    pass_type_identifier = excluded.pass_type_identifier, revision = excluded.revision,
    notification_type = excluded.notification_type, cause_type = excluded.cause_type,
    next_attempt_at = excluded.next_attempt_at, caused_at = excluded.caused_at,
    created_at = excluded.created_at, traceparent = excluded.traceparent, attempts = 0,
    reason = NULL
WHERE known.revision <= excluded.revision
RETURNING delivery_id
"""

LISTED = """
SELECT delivery_id, pass_id, channel, target, revision, notification_type, state, is_silent,
    attempts, reason, next_attempt_at, created_at, completed_at
FROM delivery
WHERE workspace_id = $1 AND ($2::uuid IS NULL OR pass_id = $2) AND ($3::text IS NULL OR state = $3)
    AND ($4::uuid IS NULL OR delivery_id < $4)
ORDER BY delivery_id DESC LIMIT $5
"""

SUMMARY = """
SELECT channel, state, coalesce(reason, '') AS reason, count(*) AS number
FROM delivery WHERE workspace_id = $1 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""


def delivery_of(row: Record, *, push_token_sha256: str | None = None) -> Delivery:
    return Delivery(
        workspace_id=row["workspace_id"],
        delivery_id=row["delivery_id"],
        pass_id=row["pass_id"],
        channel=Channel(row["channel"]),
        target=row["target"],
        pass_type_identifier=row["pass_type_identifier"],
        push_token_sha256=push_token_sha256 or row["push_token_sha256"],
        revision=row["revision"],
        notification_type=row["notification_type"],
        cause_type=row["cause_type"],
        attempts=row["attempts"],
        traceparent=row["traceparent"],
        caused_at=row["caused_at"],
        created_at=row["created_at"],
    )


async def insert_deliveries(
    tx: Transaction, deliveries: Sequence[Delivery], lease_until: datetime
) -> set[UUID]:
    """Store as pending; returns the ids of those that are not older than what already waits."""
    workspaces = sorted({each.workspace_id for each in deliveries})
    await tx.execute(REMEMBER_WORKSPACES, workspaces)
    rows = await tx.fetch(
        INSERT,
        [each.workspace_id for each in deliveries],
        [each.delivery_id for each in deliveries],
        [each.pass_id for each in deliveries],
        [each.channel.value for each in deliveries],
        [each.target for each in deliveries],
        [each.pass_type_identifier for each in deliveries],
        [each.push_token_sha256 for each in deliveries],
        [each.revision for each in deliveries],
        [each.notification_type for each in deliveries],
        [each.cause_type for each in deliveries],
        lease_until,
        deliveries[0].created_at,
        [each.caused_at for each in deliveries],
        [each.traceparent for each in deliveries],
    )
    return {row["delivery_id"] for row in rows}


class PostgresDeliveries(PostgresQueue):
    def __init__(self, database: Database) -> None:
        super().__init__(database, "delivery")

    async def complete(self, completions: Sequence[Completion], *, now: datetime) -> set[PassKey]:
        workspaces = {each.delivery.workspace_id for each in completions}
        async with self._database.transaction(workspaces) as tx:
            return await store_outcomes(tx, completions, now)

    async def listed(
        self,
        workspace_id: UUID,
        *,
        pass_id: UUID | None,
        state: str | None,
        after: UUID | None,
        limit: int,
    ) -> list[DeliveryRow]:
        async with self._database.transaction({workspace_id}) as tx:
            rows = await tx.fetch(LISTED, workspace_id, pass_id, state, after, limit)
        return [
            DeliveryRow(
                delivery_id=row["delivery_id"],
                pass_id=row["pass_id"],
                channel=row["channel"],
                target=row["target"],
                revision=row["revision"],
                notification_type=row["notification_type"],
                state=row["state"],
                is_silent=row["is_silent"],
                attempts=row["attempts"],
                reason=row["reason"],
                next_attempt_at=row["next_attempt_at"] if row["state"] == "pending" else None,
                created_at=row["created_at"],
                completed_at=row["completed_at"],
            )
            for row in rows
        ]

    async def summary(self, workspace_id: UUID) -> list[tuple[str, str, str, int]]:
        async with self._database.transaction({workspace_id}) as tx:
            rows = await tx.fetch(SUMMARY, workspace_id)
        return [(row["channel"], row["state"], row["reason"], row["number"]) for row in rows]
