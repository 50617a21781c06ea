"""Which process sends to a sink: it holds an advisory lock, which dies with its connection."""

from __future__ import annotations

import asyncio

import asyncpg

from passferry_event_bridge.application.ports import SinkKey
from passferry_runtime.postgres import UNAVAILABLE, Database

TAKE = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))"
GIVE_BACK = "SELECT pg_advisory_unlock(hashtextextended($1, 0))"


class PostgresTurns:
    """One connection for all turns of this process; when it is lost, so are they."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._ours: set[SinkKey] = set()
        self._using = asyncio.Lock()

    async def take(self, sink: SinkKey) -> bool:
        async with self._using:
            if sink in self._ours:
                return False
            connection = await self._connected()
            try:
                is_taken = await connection.fetchval(TAKE, _lock_name(sink))
            except BaseException:
                # Cancelled too: a lock that is held unknown to us would keep everybody out.
                self._drop()
                raise
            if not is_taken:
                return False
            self._ours.add(sink)
            return True

    def is_ours(self, sink: SinkKey) -> bool:
        connection = self._connection
        return connection is not None and not connection.is_closed() and sink in self._ours

    async def give_back(self, sink: SinkKey) -> None:
        async with self._using:
            if sink not in self._ours:
                return
            self._ours.discard(sink)
            connection = self._connection
            if connection is None or connection.is_closed():
                return
            try:
                await connection.execute(GIVE_BACK, _lock_name(sink))
            except (asyncpg.PostgresError, *UNAVAILABLE):
                self._drop()
            except BaseException:
                self._drop()
                raise

    async def close(self) -> None:
        async with self._using:
            self._drop()

    async def _connected(self) -> asyncpg.Connection[asyncpg.Record]:
        if self._connection is None or self._connection.is_closed():
            self._drop()
            self._connection = await asyncpg.connect(
                self._database.dsn,
                timeout=10,
                command_timeout=10,
                server_settings={
                    "search_path": self._database.schema,
                    "application_name": f"passferry-{self._database.service}-turns",
                    # Locks must go soon when this process dies without closing its socket.
                    "tcp_keepalives_idle": "5",
                    "tcp_keepalives_interval": "2",
                    "tcp_keepalives_count": "3",
                },
            )
        return self._connection

    def _drop(self) -> None:
        self._ours.clear()
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


def _lock_name(sink: SinkKey) -> str:
    return f"sink:{sink[0]}:{sink[1]}"
