"""Takes events in: passes, sinks and waiting events in one transaction."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg

from passferry_event_bridge.application.ports import PassKey, PendingEvent
from passferry_event_bridge.domain.known_pass import KnownPass
from passferry_runtime.postgres import Database, Transaction

LOCK_PASSES = """
SELECT workspace_id, pass_id, holder_id, program_id, unit, unit_scale, balance_minor,
    ledger_version, revision, status, expires_at, last_used_at, tier, devices, platforms
FROM known_pass
WHERE (workspace_id, pass_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))
ORDER BY workspace_id, pass_id
FOR UPDATE
"""

SAVE_PASSES = """
INSERT INTO known_pass (workspace_id, pass_id, holder_id, program_id, unit, unit_scale,
    balance_minor, ledger_version, revision, status, expires_at, last_used_at, tier, devices,
    platforms)
SELECT workspace_id, pass_id, holder_id, program_id, unit, unit_scale, balance_minor,
    ledger_version, revision, status, expires_at, last_used_at, tier,
    string_to_array(devices, E'\\n'), string_to_array(platforms, E'\\n')
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::smallint[],
    $7::bigint[], $8::bigint[], $9::bigint[], $10::text[], $11::timestamptz[],
    $12::timestamptz[], $13::text[], $14::text[], $15::text[])
    AS given (workspace_id, pass_id, holder_id, program_id, unit, unit_scale, balance_minor,
        ledger_version, revision, status, expires_at, last_used_at, tier, devices, platforms)
ON CONFLICT (workspace_id, pass_id) DO UPDATE SET
    holder_id = EXCLUDED.holder_id, balance_minor = EXCLUDED.balance_minor,
    ledger_version = EXCLUDED.ledger_version, revision = EXCLUDED.revision,
    status = EXCLUDED.status, expires_at = EXCLUDED.expires_at,
    last_used_at = EXCLUDED.last_used_at, tier = EXCLUDED.tier,
    devices = EXCLUDED.devices, platforms = EXCLUDED.platforms
"""

SINKS_OF = """
SELECT workspace_id, sink_id FROM sink WHERE workspace_id = ANY($1::uuid[])
ORDER BY workspace_id, sink_id
"""

#: In the order given. A sink that was deleted meanwhile gets nothing.
ADD_EVENTS = """
INSERT INTO pending_event (workspace_id, sink_id, event_id, items, topic, partition,
    record_offset, timestamp_ms, key, value, headers)
SELECT given.workspace_id, given.sink_id, given.event_id,
    ARRAY(SELECT jsonb_array_elements_text(given.items::jsonb)), given.topic, given.partition,
    given.record_offset, given.timestamp_ms, given.key, given.value, given.headers
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::integer[],
    $7::bigint[], $8::bigint[], $9::bytea[], $10::bytea[], $11::text[]) WITH ORDINALITY
    AS given (workspace_id, sink_id, event_id, items, topic, partition, record_offset,
        timestamp_ms, key, value, headers, place)
JOIN (SELECT workspace_id, sink_id FROM sink WHERE workspace_id = ANY($1::uuid[])
    ORDER BY workspace_id, sink_id FOR KEY SHARE) AS target USING (workspace_id, sink_id)
ORDER BY given.place
ON CONFLICT (workspace_id, sink_id, topic, partition, record_offset) DO NOTHING
"""


class PostgresIntake:
    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def open(
        self, workspace_ids: Collection[UUID]
    ) -> AsyncIterator[PostgresIntakeTransaction]:
        async with self._database.transaction(workspace_ids) as transaction:
            yield PostgresIntakeTransaction(transaction)


class PostgresIntakeTransaction:
    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def known_passes(self, keys: Collection[PassKey]) -> dict[PassKey, KnownPass]:
        ordered = sorted(keys)
        rows = await self._transaction.fetch(
            LOCK_PASSES, [each[0] for each in ordered], [each[1] for each in ordered]
        )
        return {(row["workspace_id"], row["pass_id"]): _known_pass(row) for row in rows}

    async def save_passes(self, passes: Sequence[KnownPass]) -> None:
        if not passes:
            return
        await self._transaction.execute(
            SAVE_PASSES,
            [each.workspace_id for each in passes],
            [each.pass_id for each in passes],
            [each.holder_id for each in passes],
            [each.program_id for each in passes],
            [each.unit for each in passes],
            [each.unit_scale for each in passes],
            [each.balance_minor for each in passes],
            [each.ledger_version for each in passes],
            [each.revision for each in passes],
            [each.status for each in passes],
            [each.expires_at for each in passes],
            [each.last_used_at for each in passes],
            [each.tier for each in passes],
            # Identifiers hold no line ends; unnest would flatten a list of lists.
            ["\n".join(sorted(each.devices)) for each in passes],
            ["\n".join(sorted(each.platforms)) for each in passes],
        )

    async def sinks_of(self, workspace_ids: Collection[UUID]) -> Mapping[UUID, list[str]]:
        rows = await self._transaction.fetch(SINKS_OF, list(workspace_ids))
        found: dict[UUID, list[str]] = {}
        for row in rows:
            found.setdefault(row["workspace_id"], []).append(row["sink_id"])
        return found

    async def add(self, events: Sequence[PendingEvent]) -> None:
        if not events:
            return
        await self._transaction.execute(
            ADD_EVENTS,
            [each.workspace_id for each in events],
            [each.sink_id for each in events],
            [each.event_id for each in events],
            [json.dumps(each.items) for each in events],
            [each.record.topic for each in events],
            [each.record.partition for each in events],
            [each.record.offset for each in events],
            [each.record.timestamp_ms for each in events],
            [each.record.key for each in events],
            [each.record.value for each in events],
            [_encode_headers(each.record.headers) for each in events],
        )


def _encode_headers(headers: Sequence[tuple[str, bytes]]) -> str:
    return json.dumps([[name, base64.b64encode(raw).decode()] for name, raw in headers])


def _known_pass(row: asyncpg.Record) -> KnownPass:
    return KnownPass(
        workspace_id=row["workspace_id"],
        pass_id=row["pass_id"],
        holder_id=row["holder_id"],
        program_id=row["program_id"],
        unit=row["unit"],
        unit_scale=row["unit_scale"],
        balance_minor=row["balance_minor"],
        ledger_version=row["ledger_version"],
        revision=row["revision"],
        status=row["status"],
        expires_at=row["expires_at"],
        last_used_at=row["last_used_at"],
        tier=row["tier"],
        devices=frozenset(row["devices"]),
        platforms=frozenset(row["platforms"]),
    )
