"""Which replica does what only one needs to do: it holds an advisory lock, which dies with its
connection."""

from __future__ import annotations

import asyncpg

from passferry_runtime.postgres import Database

TAKE = "SELECT pg_try_advisory_lock(hashtextextended($1::text || ':' || $2::text, 0))"
STILL_THERE = "SELECT 1"
TIMEOUT_S = 10


class Turn:
    """Kept until `close`, or until the connection is lost; then another replica takes it.

    `is_ours` raises one of `postgres.UNAVAILABLE` when the database does not answer.
    """

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._is_ours = False

    async def is_ours(self) -> bool:
        """Takes the turn when nobody has it."""
        try:
            connection = await self._connected()
            if self._is_ours:
                await connection.fetchval(STILL_THERE)
            else:
                self._is_ours = await connection.fetchval(TAKE, self._database.service, self._name)
        except BaseException:
            # Cancelled too: a lock that is held unknown to us would keep everybody out.
            self.close()
            raise
        return self._is_ours

    def close(self) -> None:
        self._is_ours = False
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _connected(self) -> asyncpg.Connection[asyncpg.Record]:
        if self._connection is None or self._connection.is_closed():
            self.close()
            self._connection = await asyncpg.connect(
                self._database.dsn,
                timeout=TIMEOUT_S,
                command_timeout=TIMEOUT_S,
                server_settings={
                    "search_path": self._database.schema,
                    "application_name": f"passferry-{self._database.service}-turn",
                    # Locks must go soon when this process dies without closing its socket.
                    "tcp_keepalives_idle": "5",
                    "tcp_keepalives_interval": "2",
                    "tcp_keepalives_count": "3",
                },
            )
        return self._connection
