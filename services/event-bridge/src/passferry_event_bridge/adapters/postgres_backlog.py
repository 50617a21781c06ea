"""The events that wait for their sinks."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Sequence
from uuid import UUID

import asyncpg

from passferry_event_bridge.adapters.postgres_sinks import sink_of
from passferry_event_bridge.application.ports import PendingEvent, Sink, SinkKey
from passferry_runtime.kafka.records import IncomingRecord
from passferry_runtime.postgres import Database

NEXT_EVENTS = """
SELECT workspace_id, sink_id, position, event_id, items, topic, partition, record_offset,
    timestamp_ms, key, value, headers
FROM pending_event WHERE workspace_id = $1 AND sink_id = $2
ORDER BY position LIMIT $3
"""

REMOVE = """
DELETE FROM pending_event
WHERE workspace_id = $1 AND sink_id = $2 AND position = ANY($3::bigint[])
"""

WAITING = """
SELECT workspace_id, sink_id, profile, base_url, status, stopped_reason, updated_at
FROM sink WHERE workspace_id = ANY($1::uuid[]) AND EXISTS (
    SELECT 1 FROM pending_event AS pending
    WHERE pending.workspace_id = sink.workspace_id AND pending.sink_id = sink.sink_id)
"""

COUNT = """
SELECT count(*) FROM (
    SELECT 1 FROM pending_event WHERE workspace_id = $1 AND sink_id = $2 LIMIT $3) AS counted
"""


class PostgresBacklog:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def next_events(self, sink: SinkKey, limit: int) -> list[PendingEvent]:
        async with self._database.transaction([sink[0]]) as transaction:
            rows = await transaction.fetch(NEXT_EVENTS, *sink, limit)
        return [_pending_event(row) for row in rows]

    async def remove(self, sink: SinkKey, positions: Sequence[int]) -> None:
        async with self._database.transaction([sink[0]]) as transaction:
            await transaction.execute(REMOVE, *sink, list(positions))

    async def waiting(self, workspace_ids: Collection[UUID]) -> list[Sink]:
        async with self._database.transaction(workspace_ids) as transaction:
            rows = await transaction.fetch(WAITING, list(workspace_ids))
        return [sink_of(row) for row in rows]

    async def count(self, sink: SinkKey, limit: int) -> int:
        async with self._database.transaction([sink[0]]) as transaction:
            number: int = await transaction.fetchval(COUNT, *sink, limit)
        return number


def _pending_event(row: asyncpg.Record) -> PendingEvent:
    headers = tuple((name, base64.b64decode(raw)) for name, raw in json.loads(row["headers"]))
    record = IncomingRecord(
        row["topic"],
        row["partition"],
        row["record_offset"],
        row["timestamp_ms"],
        row["key"],
        row["value"],
        headers,
    )
    return PendingEvent(
        row["workspace_id"],
        row["sink_id"],
        row["event_id"],
        tuple(row["items"]),
        record,
        row["position"],
    )
