"""Deliveries of both channels: made, taken, completed, listed, pruned."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from passferry_contracts.events.wallet import PassInstalled, PassUninstalled
from passferry_contracts.registry import WALLET_ACTIVITY
from passferry_contracts.types import Channel, Platform
from passferry_notifier.adapters.postgres_queue import (
    REMEMBER_WORKSPACES,
    PostgresQueue,
    completion_columns,
    tell_completed,
)
from passferry_notifier.application.ports import Completion, DeliveryRow, PassKey
from passferry_notifier.domain.deliveries import Action, Delivery
from passferry_runtime.postgres import Database, Record, Transaction

STRIKES_TO_DROP = 3
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

#: Rows are locked in the order in which everybody locks them. A delivery whose place a newer
#: revision took is not found, and its outcome is that one's.
COMPLETE = """
WITH given AS (
    SELECT workspace_id, delivery_id, state, is_silent, attempts, reason, next_attempt_at
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::boolean[], $5::integer[], $6::text[],
        $7::timestamptz[])
        AS each(workspace_id, delivery_id, state, is_silent, attempts, reason, next_attempt_at)
), locked AS MATERIALIZED (
    SELECT delivery.workspace_id, delivery.delivery_id FROM delivery
    JOIN given ON given.workspace_id = delivery.workspace_id
        AND given.delivery_id = delivery.delivery_id
    WHERE delivery.state = 'pending'
    ORDER BY delivery.workspace_id, delivery.pass_id, delivery.target
    FOR UPDATE OF delivery
)
UPDATE delivery
SET state = given.state, is_silent = given.is_silent, attempts = given.attempts,
    reason = given.reason, next_attempt_at = given.next_attempt_at,
    completed_at = CASE WHEN given.state <> 'pending' THEN $8::timestamptz END
FROM given JOIN locked USING (workspace_id, delivery_id)
WHERE delivery.workspace_id = given.workspace_id AND delivery.delivery_id = given.delivery_id
    AND delivery.state = 'pending'
RETURNING delivery.delivery_id
"""

STRIKE = """
UPDATE device_registration AS device SET strikes = device.strikes + 1
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[])
    AS given(workspace_id, pass_id, device, sha256)
WHERE device.workspace_id = given.workspace_id AND device.pass_id = given.pass_id
    AND device.device_library_identifier = given.device
    AND device.push_token_sha256 = given.sha256
RETURNING device.workspace_id, device.pass_id, device.device_library_identifier AS target,
    device.strikes
"""

CLEAR_STRIKES = """
UPDATE device_registration AS device SET strikes = 0
FROM unnest($1::uuid[], $2::text[]) AS given(workspace_id, sha256)
WHERE device.workspace_id = given.workspace_id AND device.push_token_sha256 = given.sha256
    AND device.strikes > 0
"""

#: A device that registered again after the moment of the answer stays.
DROP_TOKENS = """
DELETE FROM device_registration AS device
USING unnest($1::uuid[], $2::text[], $3::timestamptz[]) AS given(workspace_id, sha256, gone_at)
WHERE device.workspace_id = given.workspace_id AND device.push_token_sha256 = given.sha256
    AND device.registered_at <= given.gone_at
RETURNING device.workspace_id, device.pass_id
"""

SYNCED = """
UPDATE google_object AS known SET synced_sha256 = given.sha256
FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS given(workspace_id, pass_id, sha256)
WHERE known.workspace_id = given.workspace_id AND known.pass_id = given.pass_id
"""

#: Not while it is on its way already.
SEND_AGAIN = """
UPDATE delivery SET state = 'pending', next_attempt_at = now(), completed_at = NULL, attempts = 0
FROM (
    SELECT DISTINCT ON (newest.workspace_id, newest.pass_id)
        newest.workspace_id, newest.delivery_id
    FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS given(workspace_id, pass_id, revision)
    JOIN delivery AS newest ON newest.workspace_id = given.workspace_id
        AND newest.pass_id = given.pass_id AND newest.channel = 'google_wallet'
        AND newest.revision > given.revision
    WHERE NOT EXISTS (
        SELECT 1 FROM delivery AS open WHERE open.workspace_id = given.workspace_id
            AND open.pass_id = given.pass_id AND open.channel = 'google_wallet'
            AND open.state = 'pending')
    ORDER BY newest.workspace_id, newest.pass_id, newest.revision DESC
) AS again
WHERE delivery.workspace_id = again.workspace_id AND delivery.delivery_id = again.delivery_id
"""

HAS_USERS = """
UPDATE google_object AS known SET has_users = given.has_users
FROM unnest($1::uuid[], $2::uuid[], $3::boolean[]) AS given(workspace_id, pass_id, has_users)
WHERE known.workspace_id = given.workspace_id AND known.pass_id = given.pass_id
    AND coalesce(known.has_users, false) <> given.has_users
RETURNING known.workspace_id, known.pass_id, known.has_users
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
            updated = await _update(tx, completions, now)
            struck_out = await _strike(tx, completions)
            lost = await _drop_tokens(tx, completions, struck_out)
            await _learn_from_google(tx, completions, now)
            await _send_again(tx, [c for c in completions if c.delivery.delivery_id not in updated])
            for each in completions:
                if each.state != "pending" and each.delivery.delivery_id in updated:
                    _tell(tx, each, _gone_at(each, struck_out), now)
        return lost

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


async def _send_again(tx: Transaction, superseded: Sequence[Completion]) -> None:
    """Google took an older object, perhaps after the newer one: that is due once more."""
    late = [each for each in superseded if each.verdict.synced_sha256 is not None]
    if late:
        await tx.execute(
            SEND_AGAIN,
            [each.delivery.workspace_id for each in late],
            [each.delivery.pass_id for each in late],
            [each.delivery.revision for each in late],
        )


async def _update(tx: Transaction, completions: Sequence[Completion], now: datetime) -> set[UUID]:
    rows = await tx.fetch(COMPLETE, *completion_columns(completions), now)
    return {row["delivery_id"] for row in rows}


async def _strike(
    tx: Transaction, completions: Sequence[Completion]
) -> Collection[tuple[UUID, UUID, str]]:
    """Count strikes; returns the registrations (workspace, pass, device) that are out."""
    good = [
        each.delivery
        for each in completions
        if each.verdict.action is Action.DELIVERED and each.delivery.push_token_sha256
    ]
    if good:
        await tx.execute(
            CLEAR_STRIKES,
            [each.workspace_id for each in good],
            [each.push_token_sha256 for each in good],
        )
    struck = [each.delivery for each in completions if each.is_strike]
    if not struck:
        return ()
    rows = await tx.fetch(
        STRIKE,
        [each.workspace_id for each in struck],
        [each.pass_id for each in struck],
        [each.target for each in struck],
        [each.push_token_sha256 for each in struck],
    )
    return {
        (row["workspace_id"], row["pass_id"], row["target"])
        for row in rows
        if row["strikes"] >= STRIKES_TO_DROP
    }


async def _drop_tokens(
    tx: Transaction,
    completions: Sequence[Completion],
    struck_out: Collection[tuple[UUID, UUID, str]],
) -> set[PassKey]:
    gone = [
        (each.delivery, gone_at)
        for each in completions
        if (gone_at := _gone_at(each, struck_out)) is not None
    ]
    if not gone:
        return set()
    rows = await tx.fetch(
        DROP_TOKENS,
        [delivery.workspace_id for delivery, _ in gone],
        [delivery.push_token_sha256 for delivery, _ in gone],
        [gone_at for _, gone_at in gone],
    )
    return {(row["workspace_id"], row["pass_id"]) for row in rows}


def _gone_at(
    completion: Completion, struck_out: Collection[tuple[UUID, UUID, str]]
) -> datetime | None:
    delivery = completion.delivery
    is_out = (delivery.workspace_id, delivery.pass_id, delivery.target) in struck_out
    if completion.verdict.action is Action.TOKEN_GONE or is_out:
        return completion.verdict.gone_since
    return None


async def _learn_from_google(
    tx: Transaction, completions: Sequence[Completion], now: datetime
) -> None:
    synced = [each for each in completions if each.verdict.synced_sha256 is not None]
    if synced:
        await tx.execute(
            SYNCED,
            [each.delivery.workspace_id for each in synced],
            [each.delivery.pass_id for each in synced],
            [each.verdict.synced_sha256 for each in synced],
        )
    told = [each for each in completions if each.verdict.has_users is not None]
    if not told:
        return
    changed = await tx.fetch(
        HAS_USERS,
        [each.delivery.workspace_id for each in told],
        [each.delivery.pass_id for each in told],
        [each.verdict.has_users for each in told],
    )
    for row in changed:
        kind = PassInstalled if row["has_users"] else PassUninstalled
        moment = kind(
            workspace_id=row["workspace_id"],
            pass_id=row["pass_id"],
            platform=Platform.GOOGLE,
            occurred_at=now,
        )
        tx.emit(WALLET_ACTIVITY, moment)


def _tell(tx: Transaction, completion: Completion, gone_at: datetime | None, now: datetime) -> None:
    delivery = completion.delivery
    is_apple = delivery.channel is Channel.APPLE_WALLET
    tell_completed(
        tx,
        completion,
        now,
        revision=delivery.revision,
        device_library_identifier=delivery.target if is_apple else None,
        push_token_sha256=delivery.push_token_sha256,
        google_object_id=None if is_apple else delivery.target,
        token_gone_at=gone_at,
    )
