"""Devices, published revisions, and the deliveries that ring devices."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from passferry_contracts.types import Channel
from passferry_notifier.adapters.postgres_deliveries import (
    delivery_of,
    insert_deliveries,
)
from passferry_notifier.application.ports import (
    ClaimedRings,
    Publication,
    Registration,
    Removal,
    Ring,
)
from passferry_notifier.domain.deliveries import Delivery, notification_type_of
from passferry_runtime.ids import uuid7
from passferry_runtime.postgres import Database, Record, Transaction

#: Of one workspace at a time, so that one with many due deliveries cannot crowd out others.
CLAIM_PER_WORKSPACE = 200

ADVANCE = """
INSERT INTO published_pass (workspace_id, pass_id, pass_type_identifier, revision, published_at)
SELECT workspace_id, pass_id, pass_type_identifier, revision, published_at
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::timestamptz[])
    AS given(workspace_id, pass_id, pass_type_identifier, revision, published_at)
ORDER BY workspace_id, pass_id
ON CONFLICT (workspace_id, pass_id) DO UPDATE
SET revision = excluded.revision, published_at = excluded.published_at,
    pass_type_identifier = excluded.pass_type_identifier
WHERE published_pass.revision < excluded.revision
RETURNING workspace_id, pass_id
"""

DEVICES = """
SELECT device.workspace_id, device.pass_id, device.device_library_identifier,
    device.pass_type_identifier, device.push_token_ciphertext, device.push_token_sha256
FROM unnest($1::uuid[], $2::uuid[]) AS given(workspace_id, pass_id)
JOIN device_registration AS device
    ON device.workspace_id = given.workspace_id AND device.pass_id = given.pass_id
"""

#: An event that comes again changes nothing; a token that changed does.
REGISTER = """
INSERT INTO device_registration AS known (workspace_id, pass_id, device_library_identifier,
    pass_type_identifier, push_token_ciphertext, push_token_sha256, registered_at)
SELECT workspace_id, pass_id, device, pass_type_identifier, ciphertext, sha256, registered_at
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bytea[], $6::text[],
    $7::timestamptz[])
    AS given(workspace_id, pass_id, device, pass_type_identifier, ciphertext, sha256,
        registered_at)
ORDER BY workspace_id, pass_id, device
ON CONFLICT (workspace_id, pass_id, device_library_identifier) DO UPDATE
SET push_token_ciphertext = excluded.push_token_ciphertext,
    push_token_sha256 = excluded.push_token_sha256,
    pass_type_identifier = excluded.pass_type_identifier,
    registered_at = excluded.registered_at, strikes = 0
WHERE known.registered_at < excluded.registered_at
RETURNING workspace_id, pass_id, device_library_identifier
"""

PUBLISHED = """
SELECT pass.workspace_id, pass.pass_id, pass.revision
FROM unnest($1::uuid[], $2::uuid[]) AS given(workspace_id, pass_id)
JOIN published_pass AS pass
    ON pass.workspace_id = given.workspace_id AND pass.pass_id = given.pass_id
"""

UNREGISTER = """
DELETE FROM device_registration AS device
USING unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[])
    AS given(workspace_id, pass_id, device, sha256, unregistered_at)
WHERE device.workspace_id = given.workspace_id AND device.pass_id = given.pass_id
    AND device.device_library_identifier = given.device
    AND device.push_token_sha256 = given.sha256
    AND device.registered_at <= given.unregistered_at
"""

#: Found again as due at once, and then dropped with their reason, for want of a device.
EXPOSE_ORPHANS = """
UPDATE delivery SET next_attempt_at = $4
FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS given(workspace_id, pass_id, device)
WHERE delivery.workspace_id = given.workspace_id AND delivery.pass_id = given.pass_id
    AND delivery.target = given.device AND delivery.channel = 'apple_wallet'
    AND delivery.state = 'pending' AND delivery.next_attempt_at > $4
"""

FORGET_DEVICES = "DELETE FROM device_registration WHERE workspace_id = $1 AND pass_id = $2"
FORGET_PUBLICATION = "DELETE FROM published_pass WHERE workspace_id = $1 AND pass_id = $2"

CLAIM = """
UPDATE delivery SET next_attempt_at = $3
FROM (
    SELECT due.workspace_id, due.delivery_id
    FROM unnest($1::uuid[]) AS given(workspace_id)
    CROSS JOIN LATERAL (
        SELECT one.workspace_id, one.delivery_id FROM delivery AS one
        WHERE one.workspace_id = given.workspace_id AND one.channel = 'apple_wallet'
            AND one.state = 'pending' AND one.next_attempt_at <= $2
        ORDER BY one.next_attempt_at LIMIT $4
        FOR UPDATE SKIP LOCKED
    ) AS due
) AS taken
WHERE delivery.workspace_id = taken.workspace_id AND delivery.delivery_id = taken.delivery_id
RETURNING delivery.workspace_id, delivery.delivery_id, delivery.pass_id, delivery.channel,
    delivery.target, delivery.pass_type_identifier, delivery.push_token_sha256,
    delivery.revision, delivery.notification_type, delivery.cause_type, delivery.attempts,
    delivery.traceparent, delivery.caused_at, delivery.created_at
"""

COUNT = "SELECT count(*) FROM device_registration WHERE workspace_id = $1 AND pass_id = $2"


class PostgresRings:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def publish(
        self, publications: Sequence[Publication], *, now: datetime, lease_until: datetime
    ) -> list[Ring]:
        """Note what is published; one pending delivery per device of what is news."""
        async with self._database.transaction({each.workspace_id for each in publications}) as tx:
            advanced = await tx.fetch(
                ADVANCE,
                [each.workspace_id for each in publications],
                [each.pass_id for each in publications],
                [each.pass_type_identifier for each in publications],
                [each.revision for each in publications],
                [each.published_at for each in publications],
            )
            news = {(row["workspace_id"], row["pass_id"]) for row in advanced}
            by_pass = {
                (each.workspace_id, each.pass_id): each
                for each in publications
                if (each.workspace_id, each.pass_id) in news
            }
            if not by_pass:
                return []
            rows = await tx.fetch(DEVICES, [key[0] for key in by_pass], [key[1] for key in by_pass])
            rings = [_ring(by_pass[row["workspace_id"], row["pass_id"]], row, now) for row in rows]
            return await _insert(tx, rings, lease_until)

    async def register(
        self, registrations: Sequence[Registration], *, now: datetime, lease_until: datetime
    ) -> list[Ring]:
        """Keep devices; a catch-up ring for each that has not been given the last revision."""
        async with self._database.transaction({each.workspace_id for each in registrations}) as tx:
            kept = await tx.fetch(
                REGISTER,
                [each.workspace_id for each in registrations],
                [each.pass_id for each in registrations],
                [each.device_library_identifier for each in registrations],
                [each.pass_type_identifier for each in registrations],
                [each.push_token_ciphertext for each in registrations],
                [each.push_token_sha256 for each in registrations],
                [each.registered_at for each in registrations],
            )
            changed = {tuple(row) for row in kept}
            published = await tx.fetch(
                PUBLISHED,
                [each.workspace_id for each in registrations],
                [each.pass_id for each in registrations],
            )
            revisions = {(r["workspace_id"], r["pass_id"]): r["revision"] for r in published}
            rings = []
            for each in registrations:
                key = (each.workspace_id, each.pass_id)
                seen = -1 if each.seen_revision is None else each.seen_revision
                is_changed = (*key, each.device_library_identifier) in changed
                if is_changed and revisions.get(key, -1) > seen:
                    rings.append(_catch_up(each, revisions[key], now))
            return await _insert(tx, rings, lease_until)

    async def unregister(self, removals: Sequence[Removal], *, now: datetime) -> None:
        async with self._database.transaction({each.workspace_id for each in removals}) as tx:
            workspaces = [each.workspace_id for each in removals]
            passes = [each.pass_id for each in removals]
            devices = [each.device_library_identifier for each in removals]
            await tx.execute(
                UNREGISTER,
                workspaces,
                passes,
                devices,
                [each.push_token_sha256 for each in removals],
                [each.unregistered_at for each in removals],
            )
            await tx.execute(EXPOSE_ORPHANS, workspaces, passes, devices, now)

    async def forget_pass(self, workspace_id: UUID, pass_id: UUID) -> None:
        """The pass is deleted; rings that are under way still go out."""
        async with self._database.transaction({workspace_id}) as tx:
            await tx.execute(FORGET_DEVICES, workspace_id, pass_id)
            await tx.execute(FORGET_PUBLICATION, workspace_id, pass_id)

    async def claim(
        self, workspaces: Sequence[UUID], *, now: datetime, lease_until: datetime
    ) -> ClaimedRings:
        async with self._database.transaction(workspaces) as tx:
            rows = await tx.fetch(CLAIM, list(workspaces), now, lease_until, CLAIM_PER_WORKSPACE)
            if not rows:
                return ClaimedRings([], [])
            keys = {(row["workspace_id"], row["pass_id"]) for row in rows}
            found = await tx.fetch(DEVICES, [key[0] for key in keys], [key[1] for key in keys])
        devices = {
            (row["workspace_id"], row["pass_id"], row["device_library_identifier"]): row
            for row in found
        }
        claimed = ClaimedRings([], [])
        for row in rows:
            device = devices.get((row["workspace_id"], row["pass_id"], row["target"]))
            if device is None:
                claimed.orphans.append(delivery_of(row))
            else:
                # The token may have changed since the delivery was made.
                delivery = delivery_of(row, push_token_sha256=device["push_token_sha256"])
                claimed.rings.append(Ring(delivery, device["push_token_ciphertext"]))
        return claimed

    async def count_devices(self, workspace_id: UUID, pass_id: UUID) -> int:
        async with self._database.transaction({workspace_id}) as tx:
            return int(await tx.fetchval(COUNT, workspace_id, pass_id))


async def _insert(tx: Transaction, rings: list[Ring], lease_until: datetime) -> list[Ring]:
    if not rings:
        return []
    stored = await insert_deliveries(tx, [ring.delivery for ring in rings], lease_until)
    return [ring for ring in rings if ring.delivery.delivery_id in stored]


def _ring(publication: Publication, device: Record, now: datetime) -> Ring:
    delivery = Delivery(
        workspace_id=publication.workspace_id,
        delivery_id=uuid7(),
        pass_id=publication.pass_id,
        channel=Channel.APPLE_WALLET,
        target=device["device_library_identifier"],
        pass_type_identifier=device["pass_type_identifier"],
        push_token_sha256=device["push_token_sha256"],
        revision=publication.revision,
        notification_type=notification_type_of(publication.cause_type, Channel.APPLE_WALLET),
        cause_type=publication.cause_type,
        traceparent=publication.traceparent,
        caused_at=publication.caused_at,
        created_at=now,
    )
    return Ring(delivery, device["push_token_ciphertext"])


def _catch_up(registration: Registration, revision: int, now: datetime) -> Ring:
    delivery = Delivery(
        workspace_id=registration.workspace_id,
        delivery_id=uuid7(),
        pass_id=registration.pass_id,
        channel=Channel.APPLE_WALLET,
        target=registration.device_library_identifier,
        pass_type_identifier=registration.pass_type_identifier,
        push_token_sha256=registration.push_token_sha256,
        revision=revision,
        notification_type="general_update",
        cause_type="device.registered",
        caused_at=registration.registered_at,
        created_at=now,
    )
    return Ring(delivery, registration.push_token_ciphertext)
