"""Transactions that name the workspaces they may touch, and write the outbox as they commit."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg

from passferry_contracts.envelope import Envelope
from passferry_contracts.event import Event
from passferry_contracts.registry import Topic
from passferry_runtime.clock import Clock, SystemClock
from passferry_runtime.ids import uuid7
from passferry_runtime.migrations import find_migrations, schema_of
from passferry_runtime.outbox import OutboxRow, insert_outbox_rows, row_of, tombstone_row
from passferry_runtime.tracing import current_traceparent

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

Record = asyncpg.Record

COMMAND_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 10.0
MAX_EVENTS_PER_TRANSACTION = 20_000

#: What says "the database cannot be reached now", whatever was asked of it.
UNAVAILABLE = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.DiskFullError,
    OSError,
    TimeoutError,
)

#: What says "others were in the way": the same work, done once more, goes through.
CONTENDED = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
)


class TransactionAborted(Exception):
    """What was written is undone, although nobody raised."""


@dataclass(slots=True)
class Transaction:
    """One database transaction; events emitted in it leave with its commit, in order."""

    connection: PoolConnectionProxy[Record]
    source: str
    clock: Clock
    _outbox: list[OutboxRow] = field(default_factory=list)

    async def execute(self, sql: str, *arguments: Any) -> str:
        return await self.connection.execute(sql, *arguments)

    async def executemany(self, sql: str, arguments: Iterable[Sequence[Any]]) -> None:
        await self.connection.executemany(sql, arguments)

    async def fetch(
        self, sql: str, *arguments: Any, timeout_s: float | None = None
    ) -> list[Record]:
        """`timeout_s` of None: as for every statement of the service."""
        return await self.connection.fetch(sql, *arguments, timeout=timeout_s)

    async def fetchrow(self, sql: str, *arguments: Any) -> Record | None:
        return await self.connection.fetchrow(sql, *arguments)

    async def fetchval(self, sql: str, *arguments: Any) -> Any:
        return await self.connection.fetchval(sql, *arguments)

    def emit(
        self,
        topic: Topic,
        data: Event,
        *,
        event_id: str | None = None,
        subject: str | None = None,
        time: datetime | None = None,
    ) -> str:
        """Tell others, when this commits; returns the event's id.

        Raises `EventTooLarge` at once, so that nothing unsendable gets into the outbox.
        """
        self._make_room()
        envelope = Envelope(
            id=event_id or str(uuid7()),
            source=self.source,
            type=data.event_type,
            time=time or self.clock.now(),
            data=data,
            subject=subject,
            traceparent=current_traceparent(data.partition_key()),
        )
        self._outbox.append(row_of(topic, envelope))
        return envelope.id

    def emit_tombstone(self, topic: Topic, key: str, workspace_id: UUID) -> None:
        """Tell others, when this commits, that the subject of a compacted topic is gone."""
        self._make_room()
        self._outbox.append(tombstone_row(topic, key, workspace_id))

    def _make_room(self) -> None:
        if len(self._outbox) >= MAX_EVENTS_PER_TRANSACTION:
            raise ValueError(f"more than {MAX_EVENTS_PER_TRANSACTION} events in one transaction")

    async def write_outbox(self) -> bool:
        """Insert the emitted events; true when there were any."""
        if not self._outbox:
            return False
        await insert_outbox_rows(self.connection, self._outbox)
        return True


class Database:
    """The pool of one service's app role in its own schema."""

    def __init__(
        self,
        pool: asyncpg.Pool[Record],
        *,
        service: str,
        dsn: str,
        clock: Clock,
    ) -> None:
        self.pool = pool
        self.service = service
        self.schema = schema_of(service)
        self.dsn = dsn
        self.source = f"/passferry/{service}"
        self._clock = clock
        #: Called after each commit that emitted events; the relay sets it.
        self.on_events_committed: Callable[[], None] = _nobody_to_wake

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        dsn: str,
        *,
        service: str,
        max_size: int = 10,
        clock: Clock | None = None,
        application_name: str | None = None,
    ) -> AsyncIterator[Database]:
        """Open at most `max_size` connections to `dsn`, in the schema of `service`."""
        pool = await asyncpg.create_pool(
            dsn,
            min_size=1,
            max_size=max_size,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=COMMAND_TIMEOUT_S,
            server_settings={
                "search_path": schema_of(service),
                "application_name": application_name or f"passferry-{service}",
                # Plans of small unnest batches gain nothing from compilation.
                "jit": "off",
            },
            reset=_keep_session,
        )
        try:
            yield cls(pool, service=service, dsn=dsn, clock=clock or SystemClock())
        finally:
            # A connection that a cancelled task left busy must not hold up the exit.
            pool.terminate()

    @asynccontextmanager
    async def transaction(
        self, workspace_ids: Iterable[UUID], *, isolation: str | None = None
    ) -> AsyncIterator[Transaction]:
        """A transaction that sees and changes rows of exactly these workspaces."""
        names = ",".join(sorted({str(uuid.UUID(str(name))) for name in workspace_ids}))
        level = f" ISOLATION LEVEL {isolation}" if isolation else ""
        opening = f"BEGIN{level}; SET LOCAL app.workspace_ids = '{{{names}}}'"
        async with self._begin(opening) as transaction:
            yield transaction

    @asynccontextmanager
    async def plumbing(self) -> AsyncIterator[Transaction]:
        """A transaction of the plumbing role: outbox and parked records, nothing else."""
        opening = f'BEGIN; SET LOCAL ROLE "passferry_{self.schema}_plumbing"'
        async with self._begin(opening) as transaction:
            yield transaction

    @asynccontextmanager
    async def _begin(self, opening: str) -> AsyncIterator[Transaction]:
        async with self.pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection:
            # One round trip opens the transaction and names its workspaces.
            await connection.execute(opening)
            transaction = Transaction(connection, self.source, self._clock)
            try:
                yield transaction
                has_events = await transaction.write_outbox()
                if await connection.execute("COMMIT") != "COMMIT":
                    # An error within was caught, and the server has undone everything.
                    raise TransactionAborted("a statement failed and was passed over")
            except BaseException:
                if not connection.is_closed():
                    await connection.execute("ROLLBACK")
                raise
        if has_events:
            self.on_events_committed()

    async def missing_migrations(self, package: str) -> list[str]:
        """What the code needs and the schema does not have yet."""
        rows = await self.pool.fetch("SELECT version FROM schema_migrations")
        applied = {row["version"] for row in rows}
        return [
            migration.version
            for migration in find_migrations(package)
            if migration.version not in applied
        ]

    async def ping(self) -> None:
        await self.pool.fetchval("SELECT 1", timeout=5)


async def _keep_session(connection: asyncpg.Connection[Record]) -> None:
    """Spare the round trip that undoes session state: everything here is set LOCAL.

    The library has rolled back an open transaction before it calls this.
    """


def _nobody_to_wake() -> None:
    return None
