"""Messages on their way to Google, in Postgres."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from passferry_contracts.types import Channel
from passferry_notifier.adapters.postgres_queue import (
    REMEMBER_WORKSPACES,
    PostgresQueue,
    completion_columns,
    tell_completed,
)
from passferry_notifier.application.ports import Completion, PassKey
from passferry_notifier.application.send_messages import GoogleMessage, MessageTarget
from passferry_notifier.domain.deliveries import Delivery
from passferry_runtime.logging import get_logger
from passferry_runtime.postgres import Database, Record, Transaction

log = get_logger(__name__)

CLAIM_PER_WORKSPACE = 50

ADD = """
INSERT INTO google_message (workspace_id, subject_id, message_id, is_for_class, delivery_id, header,
    body, is_notifying, state, next_attempt_at, caused_at, created_at, traceparent)
SELECT workspace_id, subject_id, message_id, is_for_class, delivery_id, header, body, is_notifying,
    'pending', $10::timestamptz, caused_at, $11::timestamptz, traceparent
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::boolean[], $5::uuid[], $6::text[], $7::text[],
    $8::boolean[], $9::timestamptz[], $12::text[])
    AS given(workspace_id, subject_id, message_id, is_for_class, delivery_id, header, body,
        is_notifying, caused_at, traceparent)
ORDER BY workspace_id, subject_id, message_id
ON CONFLICT (workspace_id, subject_id, message_id) DO NOTHING
RETURNING delivery_id
"""

CLAIM = """
UPDATE google_message AS message SET next_attempt_at = $3
FROM (
    SELECT due.workspace_id, due.delivery_id
    FROM unnest($1::uuid[]) AS named(workspace_id)
    CROSS JOIN LATERAL (
        SELECT one.workspace_id, one.delivery_id FROM google_message AS one
        WHERE one.workspace_id = named.workspace_id AND one.state = 'pending'
            AND one.next_attempt_at <= $2
        ORDER BY one.next_attempt_at LIMIT $4
        FOR UPDATE SKIP LOCKED
    ) AS due
) AS taken
WHERE message.workspace_id = taken.workspace_id AND message.delivery_id = taken.delivery_id
RETURNING message.workspace_id, message.subject_id, message.message_id, message.is_for_class,
    message.delivery_id, message.header, message.body, message.is_notifying, message.attempts,
    message.caused_at, message.created_at, message.traceparent
"""

OBJECTS = """
SELECT object.workspace_id, object.pass_id, object.issuer_id, object.vertical, object.object_id,
    object.class_id,
    object.synced_sha256 IS NOT NULL AS is_there,
    coalesce(object.body::jsonb ->> 'state', 'ACTIVE') = 'ACTIVE' AS is_active,
    EXISTS (
        SELECT 1 FROM delivery
        WHERE delivery.workspace_id = object.workspace_id AND delivery.pass_id = object.pass_id
            AND delivery.channel = 'google_wallet' AND delivery.state = 'pending'
    ) AS is_on_its_way
FROM google_object AS object
JOIN unnest($1::uuid[], $2::uuid[]) AS named(workspace_id, pass_id)
    ON object.workspace_id = named.workspace_id AND object.pass_id = named.pass_id
"""

CLASSES = """
SELECT class.workspace_id, class.template_id, class.issuer_id, class.vertical, class.class_id,
    class.body, class.synced_sha256 IS NOT NULL AS is_there
FROM google_class AS class
JOIN (SELECT DISTINCT * FROM unnest($1::uuid[], $2::uuid[]) AS given(workspace_id, template_id))
    AS named ON class.workspace_id = named.workspace_id AND class.template_id = named.template_id
ORDER BY class.workspace_id, class.class_id
"""

#: An attempt that nobody reports on is one all the same: Google may have the message.
BEGIN = """
UPDATE google_message AS message SET attempts = greatest(message.attempts, 1)
WHERE message.workspace_id = $1 AND message.delivery_id = $2 AND message.state = 'pending'
    AND (message.is_for_class OR EXISTS (
        SELECT 1 FROM google_object AS object
        WHERE object.workspace_id = message.workspace_id AND object.pass_id = message.subject_id
            AND coalesce(object.body::jsonb ->> 'state', 'ACTIVE') = 'ACTIVE'
    ))
RETURNING message.delivery_id
"""

#: What it said is not kept once it ended.
COMPLETE = """
UPDATE google_message AS message
SET state = given.state, is_silent = given.is_silent,
    attempts = greatest(message.attempts, given.attempts),
    reason = given.reason, next_attempt_at = given.next_attempt_at,
    header = CASE WHEN given.state = 'pending' THEN message.header END,
    body = CASE WHEN given.state = 'pending' THEN message.body END,
    completed_at = CASE WHEN given.state <> 'pending' THEN $8::timestamptz END
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::boolean[], $5::integer[], $6::text[],
    $7::timestamptz[])
    AS given(workspace_id, delivery_id, state, is_silent, attempts, reason, next_attempt_at)
WHERE message.workspace_id = given.workspace_id AND message.delivery_id = given.delivery_id
    AND message.state = 'pending'
RETURNING message.delivery_id, message.is_for_class
"""

FORGET = "DELETE FROM google_message WHERE workspace_id = $1 AND subject_id = $2"


class PostgresMessages(PostgresQueue):
    def __init__(self, database: Database) -> None:
        super().__init__(database, "google_message")

    async def add(
        self, messages: Sequence[GoogleMessage], *, lease_until: datetime
    ) -> list[GoogleMessage]:
        workspaces = sorted({each.delivery.workspace_id for each in messages})
        async with self._database.transaction(workspaces) as tx:
            await tx.execute(REMEMBER_WORKSPACES, workspaces)
            rows = await tx.fetch(
                ADD,
                [each.delivery.workspace_id for each in messages],
                [each.delivery.pass_id for each in messages],
                [each.message_id for each in messages],
                [each.is_for_class for each in messages],
                [each.delivery.delivery_id for each in messages],
                [each.header for each in messages],
                [each.body for each in messages],
                [each.is_notifying for each in messages],
                [each.delivery.caused_at for each in messages],
                lease_until,
                messages[0].delivery.created_at,
                [each.delivery.traceparent for each in messages],
            )
        added = {row["delivery_id"] for row in rows}
        # The same one twice in a batch is stored once.
        fresh = {each.delivery.delivery_id: each for each in messages}
        return [each for key, each in fresh.items() if key in added]

    async def claim(
        self, workspaces: Sequence[UUID], *, now: datetime, lease_until: datetime
    ) -> list[GoogleMessage]:
        async with self._database.transaction(workspaces) as tx:
            rows = await tx.fetch(CLAIM, list(workspaces), now, lease_until, CLAIM_PER_WORKSPACE)
        return [_message_of(row) for row in rows]

    async def targets(
        self, messages: Collection[GoogleMessage]
    ) -> dict[tuple[UUID, UUID], list[MessageTarget]]:
        async with self._database.transaction({each.key[0] for each in messages}) as tx:
            objects = await tx.fetch(OBJECTS, *_keys(messages, is_for_class=False))
            classes = await tx.fetch(CLASSES, *_keys(messages, is_for_class=True))
        found: dict[tuple[UUID, UUID], list[MessageTarget]] = {}
        for row in objects:
            found[row["workspace_id"], row["pass_id"]] = [_object_target(row)]
        for row in classes:
            key = row["workspace_id"], row["template_id"]
            found.setdefault(key, []).append(_class_target(row))
        return found

    async def begin(self, message: GoogleMessage) -> bool:
        workspace_id = message.delivery.workspace_id
        async with self._database.transaction({workspace_id}) as tx:
            begun = await tx.fetchrow(BEGIN, workspace_id, message.delivery.delivery_id)
        return begun is not None

    async def complete(self, completions: Sequence[Completion], *, now: datetime) -> set[PassKey]:
        async with self._database.transaction(
            {each.delivery.workspace_id for each in completions}
        ) as tx:
            updated = await _update(tx, completions, now)
            for each in completions:
                is_for_class = updated.get(each.delivery.delivery_id)
                if each.state == "pending" or is_for_class is None:
                    continue
                if not is_for_class:
                    tell_completed(tx, each, now, message_id=each.delivery.target)
                elif each.state != "delivered":
                    _log_class_message(each)
        return set()

    async def tell_dropped(self, completions: Sequence[Completion], *, now: datetime) -> None:
        async with self._database.transaction(
            {each.delivery.workspace_id for each in completions}
        ) as tx:
            for each in completions:
                tell_completed(tx, each, now, message_id=each.delivery.target)

    async def forget_pass(self, workspace_id: UUID, pass_id: UUID) -> None:
        async with self._database.transaction({workspace_id}) as tx:
            await tx.execute(FORGET, workspace_id, pass_id)


async def _update(
    tx: Transaction, completions: Sequence[Completion], now: datetime
) -> dict[UUID, bool]:
    rows = await tx.fetch(COMPLETE, *completion_columns(completions), now)
    return {row["delivery_id"]: row["is_for_class"] for row in rows}


def _keys(
    messages: Collection[GoogleMessage], *, is_for_class: bool
) -> tuple[list[UUID], list[UUID]]:
    keys = sorted({each.key for each in messages if each.is_for_class is is_for_class})
    return [key[0] for key in keys], [key[1] for key in keys]


def _object_target(row: Record) -> MessageTarget:
    return MessageTarget(
        issuer_id=row["issuer_id"],
        vertical=row["vertical"],
        kind="Object",
        name=row["object_id"],
        class_id=row["class_id"],
        is_there=row["is_there"],
        is_active=row["is_active"],
        is_on_its_way=row["is_on_its_way"],
    )


def _class_target(row: Record) -> MessageTarget:
    body: Mapping[str, Any] = json.loads(row["body"])
    return MessageTarget(
        issuer_id=row["issuer_id"],
        vertical=row["vertical"],
        kind="Class",
        name=row["class_id"],
        is_there=row["is_there"],
        template_message_ids=frozenset(
            str(each.get("id")) for each in body.get("messages") or () if isinstance(each, Mapping)
        ),
    )


def _message_of(row: Record) -> GoogleMessage:
    delivery = Delivery(
        workspace_id=row["workspace_id"],
        delivery_id=row["delivery_id"],
        pass_id=row["subject_id"],
        channel=Channel.GOOGLE_WALLET,
        target=row["message_id"],
        revision=0,
        notification_type="message",
        cause_type="message.issued",
        attempts=row["attempts"],
        traceparent=row["traceparent"],
        caused_at=row["caused_at"],
        created_at=row["created_at"],
    )
    return GoogleMessage(
        delivery=delivery,
        message_id=row["message_id"],
        header=row["header"],
        body=row["body"],
        is_notifying=row["is_notifying"],
        is_for_class=row["is_for_class"],
    )


def _log_class_message(completion: Completion) -> None:
    """There is no pass that an event could tell of."""
    delivery = completion.delivery
    log.warning(
        "class_message_not_delivered",
        workspace_id=delivery.workspace_id,
        template_id=delivery.pass_id,
        message_id=delivery.target,
        outcome=completion.state,
        reason=completion.verdict.reason,
    )
