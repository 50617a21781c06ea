"""Sinks and their encrypted credentials."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

import asyncpg

from passferry_event_bridge.application.ports import (
    CredentialUnreadable,
    OpenedSink,
    Sink,
    SinkKey,
)
from passferry_runtime import audit
from passferry_runtime.crypto import DecryptionFailed, KeyRing
from passferry_runtime.logging import get_logger
from passferry_runtime.postgres import Database

log = get_logger(__name__)

SINK = """
SELECT workspace_id, sink_id, profile, base_url, status, stopped_reason, updated_at,
    credential_ciphertext
FROM sink WHERE workspace_id = $1 AND sink_id = $2
"""

SINKS = """
SELECT workspace_id, sink_id, profile, base_url, status, stopped_reason, updated_at
FROM sink WHERE workspace_id = $1 ORDER BY sink_id
"""

#: Two requests at once must not get past the limit together.
LOCK_WORKSPACE = "SELECT pg_advisory_xact_lock(hashtextextended('sinks:' || $1::text, 0))"

COUNT_OTHERS = "SELECT count(*) FROM sink WHERE workspace_id = $1 AND sink_id <> $2"

PUT = """
INSERT INTO sink (workspace_id, sink_id, profile, base_url, credential_ciphertext, status,
    stopped_reason, updated_at)
VALUES ($1, $2, $3, $4, $5, 'active', NULL, $6)
ON CONFLICT (workspace_id, sink_id) DO UPDATE SET
    profile = EXCLUDED.profile, base_url = EXCLUDED.base_url,
    credential_ciphertext = EXCLUDED.credential_ciphertext, status = 'active',
    stopped_reason = NULL, updated_at = EXCLUDED.updated_at
"""

DELETE = "DELETE FROM sink WHERE workspace_id = $1 AND sink_id = $2"

RESUME = """
UPDATE sink SET status = 'active', stopped_reason = NULL, updated_at = now()
WHERE workspace_id = $1 AND sink_id = $2
"""

#: Not when somebody renewed it meanwhile: the new credential has not been tried yet.
STOP = """
UPDATE sink SET status = 'stopped', stopped_reason = $4, updated_at = now()
WHERE workspace_id = $1 AND sink_id = $2 AND updated_at = $3 AND status = 'active'
"""

STOPPED = """
SELECT workspace_id, sink_id, profile, base_url, status, stopped_reason, updated_at
FROM sink WHERE workspace_id = ANY($1::uuid[]) AND status = 'stopped'
"""


class PostgresSinks:
    def __init__(self, database: Database, key_ring: KeyRing) -> None:
        self._database = database
        self._key_ring = key_ring

    async def get(self, workspace_id: UUID, sink_id: str) -> Sink | None:
        row = await self._row((workspace_id, sink_id))
        return None if row is None else sink_of(row)

    async def of_workspace(self, workspace_id: UUID) -> list[Sink]:
        async with self._database.transaction([workspace_id]) as transaction:
            rows = await transaction.fetch(SINKS, workspace_id)
        return [sink_of(row) for row in rows]

    async def put(self, sink: Sink, *, credential: str, actor: str, limit: int) -> Sink | None:
        sealed = self._key_ring.encrypt(credential.encode(), context=_context(sink.key))
        async with self._database.transaction([sink.workspace_id]) as transaction:
            await transaction.execute(LOCK_WORKSPACE, str(sink.workspace_id))
            if await transaction.fetchval(COUNT_OTHERS, *sink.key) >= limit:
                return None
            before = await transaction.fetchrow(SINK, *sink.key)
            await transaction.execute(
                PUT, *sink.key, sink.profile, sink.base_url, sealed, sink.updated_at
            )
            await audit.record(
                transaction,
                workspace_id=sink.workspace_id,
                actor=actor,
                action="sink.put",
                target=f"sink:{sink.sink_id}",
                before=None if before is None else _audited(sink_of(before)),
                after=_audited(sink),
            )
        return sink

    async def delete(self, workspace_id: UUID, sink_id: str, *, actor: str) -> bool:
        return await self._change(DELETE, workspace_id, sink_id, actor=actor, action="sink.delete")

    async def resume(self, workspace_id: UUID, sink_id: str, *, actor: str) -> Sink | None:
        await self._change(RESUME, workspace_id, sink_id, actor=actor, action="sink.resume")
        return await self.get(workspace_id, sink_id)

    async def stop(self, sink: Sink, *, reason: str) -> None:
        async with self._database.transaction([sink.workspace_id]) as transaction:
            await transaction.execute(STOP, *sink.key, sink.updated_at, reason)
        log.error(
            "sink_stopped", workspace_id=sink.workspace_id, sink_id=sink.sink_id, reason=reason
        )

    async def open(self, sink: SinkKey) -> OpenedSink | None:
        row = await self._row(sink)
        if row is None:
            return None
        try:
            clear = self._key_ring.decrypt(row["credential_ciphertext"], context=_context(sink))
        except DecryptionFailed as error:
            raise CredentialUnreadable(sink_of(row)) from error
        return OpenedSink(sink_of(row), clear.decode())

    async def stopped(self, workspace_ids: Collection[UUID]) -> list[Sink]:
        async with self._database.transaction(workspace_ids) as transaction:
            rows = await transaction.fetch(STOPPED, list(workspace_ids))
        return [sink_of(row) for row in rows]

    async def _row(self, sink: SinkKey) -> asyncpg.Record | None:
        async with self._database.transaction([sink[0]]) as transaction:
            return await transaction.fetchrow(SINK, *sink)

    async def _change(
        self, statement: str, workspace_id: UUID, sink_id: str, *, actor: str, action: str
    ) -> bool:
        async with self._database.transaction([workspace_id]) as transaction:
            row = await transaction.fetchrow(SINK, workspace_id, sink_id)
            if row is None:
                return False
            await transaction.execute(statement, workspace_id, sink_id)
            await audit.record(
                transaction,
                workspace_id=workspace_id,
                actor=actor,
                action=action,
                target=f"sink:{sink_id}",
                before=_audited(sink_of(row)),
            )
        return True


def sink_of(row: asyncpg.Record) -> Sink:
    return Sink(
        workspace_id=row["workspace_id"],
        sink_id=row["sink_id"],
        profile=row["profile"],
        base_url=row["base_url"],
        status=row["status"],
        stopped_reason=row["stopped_reason"],
        updated_at=row["updated_at"],
    )


def _context(sink: SinkKey) -> str:
    return f"{sink[0]}:sink.credential:{sink[1]}"


def _audited(sink: Sink) -> dict[str, Any]:
    return {"profile": sink.profile, "base_url": sink.base_url, "status": sink.status}
