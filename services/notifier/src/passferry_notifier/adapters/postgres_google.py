"""Google's classes and objects as they should be, and as Google has them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from passferry_contracts.types import Channel
from passferry_notifier.adapters.postgres_deliveries import delivery_of, insert_deliveries
from passferry_notifier.application.ports import (
    GoogleClassRow,
    GoogleObject,
    GoogleUpdate,
    RenderedForGoogle,
)
from passferry_notifier.domain.deliveries import Delivery, notification_type_of
from passferry_runtime.ids import uuid7
from passferry_runtime.postgres import Database, Record

CLAIM_PER_WORKSPACE = 50

#: The record of one revision may come again, once the object is wanted.
STORE_OBJECTS = """
INSERT INTO google_object AS known (workspace_id, pass_id, issuer_id, vertical, class_id,
    object_id, revision, body, body_sha256)
SELECT workspace_id, pass_id, issuer_id, vertical, class_id, object_id, revision, body, sha256
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[],
    $8::text[], $9::text[])
    AS given(workspace_id, pass_id, issuer_id, vertical, class_id, object_id, revision, body,
        sha256)
ORDER BY workspace_id, pass_id
ON CONFLICT (workspace_id, pass_id) DO UPDATE
SET issuer_id = excluded.issuer_id, vertical = excluded.vertical, class_id = excluded.class_id,
    object_id = excluded.object_id, revision = excluded.revision, body = excluded.body,
    body_sha256 = excluded.body_sha256,
    synced_sha256 = CASE WHEN known.object_id = excluded.object_id THEN known.synced_sha256 END,
    has_users = CASE WHEN known.object_id = excluded.object_id THEN known.has_users END
WHERE known.revision <= excluded.revision
RETURNING workspace_id, pass_id, synced_sha256, has_users,
    -- What is on its way may arrive after this is compared with what Google has.
    EXISTS (
        SELECT 1 FROM delivery
        WHERE delivery.workspace_id = known.workspace_id AND delivery.pass_id = known.pass_id
            AND delivery.channel = 'google_wallet' AND delivery.state = 'pending'
    ) AS has_update_on_its_way
"""

#: An array of arrays cannot be unnested row by row, so that the ids come as JSON.
STORE_CLASSES = """
INSERT INTO google_class AS known (workspace_id, class_id, issuer_id, vertical, template_version,
    body, body_sha256, former_message_ids, template_id)
SELECT workspace_id, class_id, issuer_id, vertical, template_version, body, sha256,
    ARRAY(SELECT jsonb_array_elements_text(former)), template_id
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[],
    $8::jsonb[], $9::uuid[])
    AS given(workspace_id, class_id, issuer_id, vertical, template_version, body, sha256, former,
        template_id)
ORDER BY workspace_id, class_id
ON CONFLICT (workspace_id, class_id) DO UPDATE
SET issuer_id = excluded.issuer_id, vertical = excluded.vertical,
    template_version = excluded.template_version, body = excluded.body,
    body_sha256 = excluded.body_sha256, former_message_ids = excluded.former_message_ids,
    template_id = excluded.template_id,
    -- It is tried with what brought it.
    waits_for = NULL, attempts = 0, next_attempt_at = NULL
WHERE known.template_version < excluded.template_version
"""

CLASS_OF = """
SELECT workspace_id, class_id, issuer_id, vertical, template_version, body, body_sha256,
    former_message_ids, template_id, synced_sha256
FROM google_class WHERE workspace_id = $1 AND class_id = $2
"""

#: Of a version that came meanwhile nothing is at Google yet.
CLASS_SYNCED = """
UPDATE google_class
SET synced_sha256 = $3, waits_for = NULL, attempts = 0, next_attempt_at = NULL
WHERE workspace_id = $1 AND class_id = $2 AND body_sha256 = $3
"""

FORGET = "DELETE FROM google_object WHERE workspace_id = $1 AND pass_id = $2"

CLAIM = """
UPDATE delivery SET next_attempt_at = $3
FROM (
    SELECT due.workspace_id, due.delivery_id
    FROM unnest($1::uuid[]) AS given(workspace_id)
    CROSS JOIN LATERAL (
        SELECT one.workspace_id, one.delivery_id FROM delivery AS one
        WHERE one.workspace_id = given.workspace_id AND one.channel = 'google_wallet'
            AND one.state = 'pending' AND one.next_attempt_at <= $2
        ORDER BY one.next_attempt_at LIMIT $4
        FOR UPDATE SKIP LOCKED
    ) AS due
) AS taken
JOIN google_object AS object USING (workspace_id)
WHERE delivery.workspace_id = taken.workspace_id AND delivery.delivery_id = taken.delivery_id
    AND object.pass_id = delivery.pass_id
RETURNING delivery.workspace_id, delivery.delivery_id, delivery.pass_id, delivery.channel,
    delivery.target, delivery.pass_type_identifier, delivery.push_token_sha256,
    delivery.revision, delivery.notification_type, delivery.cause_type, delivery.attempts,
    delivery.traceparent, delivery.caused_at, delivery.created_at, object.issuer_id,
    object.vertical, object.class_id, object.object_id, object.revision AS object_revision, object.body, object.body_sha256,
    object.synced_sha256, object.has_users
"""

DROP_PENDING = """
UPDATE delivery SET state = 'dropped', reason = 'pass_deleted', completed_at = now()
WHERE workspace_id = $1 AND pass_id = $2 AND channel = 'google_wallet' AND state = 'pending'
"""


class PostgresGoogle:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def store_objects(
        self, renderings: Sequence[RenderedForGoogle], *, now: datetime, lease_until: datetime
    ) -> list[GoogleUpdate]:
        """Keep the newest objects; one pending delivery for each wanted one that Google lacks."""
        async with self._database.transaction({each.workspace_id for each in renderings}) as tx:
            rows = await tx.fetch(
                STORE_OBJECTS,
                [each.workspace_id for each in renderings],
                [each.pass_id for each in renderings],
                [each.issuer_id for each in renderings],
                [each.vertical for each in renderings],
                [each.class_id for each in renderings],
                [each.object_id for each in renderings],
                [each.revision for each in renderings],
                [json.dumps(each.body) for each in renderings],
                [each.body_sha256 for each in renderings],
            )
            kept = {(row["workspace_id"], row["pass_id"]): row for row in rows}
            updates = []
            for each in renderings:
                row = kept.get((each.workspace_id, each.pass_id))
                if row is None or not each.is_wanted:
                    continue
                is_there = row["synced_sha256"] == each.body_sha256
                if is_there and not row["has_update_on_its_way"]:
                    continue
                updates.append(
                    GoogleUpdate(
                        _delivery(each, now),
                        _object(each, row["synced_sha256"], row["has_users"]),
                    )
                )
            if not updates:
                return []
            stored = await insert_deliveries(tx, [each.delivery for each in updates], lease_until)
        return [each for each in updates if each.delivery.delivery_id in stored]

    async def store_classes(self, classes: Sequence[GoogleClassRow]) -> None:
        async with self._database.transaction({each.workspace_id for each in classes}) as tx:
            await tx.execute(
                STORE_CLASSES,
                [each.workspace_id for each in classes],
                [each.class_id for each in classes],
                [each.issuer_id for each in classes],
                [each.vertical for each in classes],
                [each.template_version for each in classes],
                [json.dumps(each.body) for each in classes],
                [each.body_sha256 for each in classes],
                [json.dumps(list(each.former_message_ids)) for each in classes],
                [each.template_id for each in classes],
            )

    async def class_of(self, workspace_id: UUID, class_id: str) -> GoogleClassRow | None:
        async with self._database.transaction({workspace_id}) as tx:
            row = await tx.fetchrow(CLASS_OF, workspace_id, class_id)
        return None if row is None else class_row_of(row)

    async def class_synced(self, workspace_id: UUID, class_id: str, body_sha256: str) -> None:
        async with self._database.transaction({workspace_id}) as tx:
            await tx.execute(CLASS_SYNCED, workspace_id, class_id, body_sha256)

    async def forget_pass(self, workspace_id: UUID, pass_id: UUID) -> None:
        async with self._database.transaction({workspace_id}) as tx:
            await tx.execute(FORGET, workspace_id, pass_id)
            await tx.execute(DROP_PENDING, workspace_id, pass_id)

    async def claim(
        self, workspaces: Sequence[UUID], *, now: datetime, lease_until: datetime
    ) -> list[GoogleUpdate]:
        async with self._database.transaction(workspaces) as tx:
            rows = await tx.fetch(CLAIM, list(workspaces), now, lease_until, CLAIM_PER_WORKSPACE)
        return [GoogleUpdate(delivery_of(row), _object_of(row)) for row in rows]


def _delivery(rendering: RenderedForGoogle, now: datetime) -> Delivery:
    return Delivery(
        workspace_id=rendering.workspace_id,
        delivery_id=uuid7(),
        pass_id=rendering.pass_id,
        channel=Channel.GOOGLE_WALLET,
        target=rendering.object_id,
        revision=rendering.revision,
        notification_type=notification_type_of(rendering.cause_type, Channel.GOOGLE_WALLET),
        cause_type=rendering.cause_type,
        traceparent=rendering.traceparent,
        caused_at=rendering.caused_at,
        created_at=now,
    )


def _object(
    rendering: RenderedForGoogle, synced_sha256: str | None, has_users: bool | None
) -> GoogleObject:
    return GoogleObject(
        workspace_id=rendering.workspace_id,
        pass_id=rendering.pass_id,
        issuer_id=rendering.issuer_id,
        vertical=rendering.vertical,
        class_id=rendering.class_id,
        object_id=rendering.object_id,
        revision=rendering.revision,
        body=rendering.body,
        body_sha256=rendering.body_sha256,
        synced_sha256=synced_sha256,
        has_users=has_users,
    )


def _object_of(row: Record) -> GoogleObject:
    body: Mapping[str, Any] = json.loads(row["body"])
    return GoogleObject(
        workspace_id=row["workspace_id"],
        pass_id=row["pass_id"],
        issuer_id=row["issuer_id"],
        vertical=row["vertical"],
        class_id=row["class_id"],
        object_id=row["object_id"],
        revision=row["object_revision"],
        body=body,
        body_sha256=row["body_sha256"],
        synced_sha256=row["synced_sha256"],
        has_users=row["has_users"],
    )


def class_row_of(row: Record) -> GoogleClassRow:
    return GoogleClassRow(
        workspace_id=row["workspace_id"],
        class_id=row["class_id"],
        template_id=row["template_id"],
        issuer_id=row["issuer_id"],
        vertical=row["vertical"],
        template_version=row["template_version"],
        body=json.loads(row["body"]),
        body_sha256=row["body_sha256"],
        former_message_ids=row["former_message_ids"],
        synced_sha256=row["synced_sha256"],
    )
