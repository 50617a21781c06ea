"""Databases that already have a service's schema, lent to one test after another.

To make one takes half a second, to empty one some milliseconds. A database is lent again only when
it is as it was when it was made: a test that changed the schema, or whose tables Postgres has
analysed since, leaves one behind that is dropped.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from passferry_runtime.migrations import migrate

#: A connection that a test left open has this long to go.
LEAVING_TIMEOUT_MS = 5_000
RESET_TIMEOUT_S = 30.0
#: Postgres gives its own objects the numbers below.
FIRST_OBJECT = 16_384

#: Any change of the schema writes a new row version into one of these catalogues. Statistics are
#: among them: with those of another test a query could be planned in another way.
SHAPE = """
SELECT 'class', count(*), sum(xmin::text::bigint) FROM pg_class WHERE oid >= $1
UNION ALL
SELECT 'attribute', count(*), sum(xmin::text::bigint) FROM pg_attribute WHERE attrelid >= $1
UNION ALL
SELECT 'attrdef', count(*), sum(xmin::text::bigint) FROM pg_attrdef
UNION ALL
SELECT 'constraint', count(*), sum(xmin::text::bigint) FROM pg_constraint WHERE oid >= $1
UNION ALL
SELECT 'index', count(*), sum(xmin::text::bigint) FROM pg_index WHERE indexrelid >= $1
UNION ALL
SELECT 'trigger', count(*), sum(xmin::text::bigint) FROM pg_trigger
UNION ALL
SELECT 'policy', count(*), sum(xmin::text::bigint) FROM pg_policy
UNION ALL
SELECT 'rewrite', count(*), sum(xmin::text::bigint) FROM pg_rewrite WHERE oid >= $1
UNION ALL
SELECT 'proc', count(*), sum(xmin::text::bigint) FROM pg_proc WHERE oid >= $1
UNION ALL
SELECT 'type', count(*), sum(xmin::text::bigint) FROM pg_type WHERE oid >= $1
UNION ALL
SELECT 'sequence', count(*), sum(xmin::text::bigint) FROM pg_sequence
UNION ALL
SELECT 'namespace', count(*), sum(xmin::text::bigint) FROM pg_namespace
UNION ALL
SELECT 'default privileges', count(*), sum(xmin::text::bigint) FROM pg_default_acl
UNION ALL
SELECT 'extension', count(*), sum(xmin::text::bigint) FROM pg_extension
UNION ALL
SELECT 'settings', count(*), sum(xmin::text::bigint) FROM pg_db_role_setting
WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
UNION ALL
SELECT 'statistics', count(*), 0 FROM pg_statistic WHERE starelid >= $1
ORDER BY 1
"""
TABLES = """
SELECT oid::regclass::text AS name FROM pg_class
WHERE oid >= $1 AND relkind = 'r' AND relpersistence <> 't'
ORDER BY 1
"""
REWIND_SEQUENCES = """
SELECT setval(seqrelid, seqstart, false) FROM pg_sequence
"""
END_CONNECTIONS = """
SELECT pg_terminate_backend(pid, $1) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


def database_url(admin_url: str, *, database: str, user: str | None = None) -> str:
    """`admin_url` with another database and, where given, another user without a password."""
    parts = urlsplit(admin_url)
    location = parts.netloc
    if user is not None:
        location = f"{user}@{parts.netloc.rsplit('@', 1)[-1]}"
    return urlunsplit((parts.scheme, location, f"/{database}", parts.query, ""))


@dataclass(frozen=True, slots=True)
class Made:
    """How a database was when its migrations had run."""

    shape: list[tuple[object, ...]]
    #: a statement that empties the tables that were empty
    emptying: str
    #: a query for all that the migrations themselves wrote
    seeds: str
    seeded: str


@dataclass(slots=True)
class PreparedDatabases:
    """For one session of tests, on one Postgres. It holds no connection between tests."""

    admin_url: str
    _made: dict[str, tuple[tuple[str, str], Made]] = field(default_factory=dict)
    _free: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    async def lend(self, name: str, *, service: str, package: str) -> None:
        """Bring a database `name` about, with the schema of `service` and no rows."""
        free = self._free.setdefault((service, package), [])
        if free:
            before = free.pop()
            made = self._made.pop(before)
            try:
                # Whoever still knows the old name finds nothing there.
                await administrate(self.admin_url, f'ALTER DATABASE "{before}" RENAME TO "{name}"')
                self._made[name] = made
                return
            except asyncpg.ObjectInUseError:
                await drop_database(self.admin_url, before)
        await administrate(self.admin_url, f'CREATE DATABASE "{name}"')
        url = database_url(self.admin_url, database=name)
        await migrate(url, service=service, package=package, app_password=None)
        async with _connected(url) as connection:
            self._made[name] = (service, package), await _as_made(connection)

    def has_lent(self, name: str) -> bool:
        return name in self._made

    async def take_back(self, name: str) -> None:
        """Empty it for the next test; drop it when it is not what it was."""
        kind, made = self._made[name]
        if await self._is_reset(name, made):
            self._free[kind].append(name)
        else:
            del self._made[name]
            await drop_database(self.admin_url, name)

    async def drop_all(self) -> None:
        for name in list(self._made):
            await drop_database(self.admin_url, name)
        self._made.clear()
        self._free.clear()

    async def _is_reset(self, name: str, made: Made) -> bool:
        url = database_url(self.admin_url, database=name)
        try:
            async with _connected(url) as connection:
                await connection.execute("SET session_replication_role = replica")
                await connection.fetch(END_CONNECTIONS, LEAVING_TIMEOUT_MS)
                if await _shape(connection) != made.shape:
                    return False
                if await connection.fetchval(made.seeds) != made.seeded:
                    return False
                await connection.execute(made.emptying)
                await connection.execute(REWIND_SEQUENCES)
                return True
        except (asyncpg.PostgresError, OSError, TimeoutError):
            return False


async def administrate(admin_url: str, statement: str) -> None:
    async with _connected(admin_url) as connection:
        await connection.execute(statement)


async def drop_database(admin_url: str, name: str) -> None:
    await administrate(admin_url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


async def _as_made(connection: asyncpg.Connection[asyncpg.Record]) -> Made:
    tables = [str(row["name"]) for row in await connection.fetch(TABLES, FIRST_OBJECT)]
    empty = [
        table
        for table in tables
        if not await connection.fetchval(f"SELECT EXISTS (SELECT FROM {table})")
    ]
    seeds = " UNION ALL ".join(
        f"SELECT '{table}' || t::text AS line FROM {table} t"
        for table in tables
        if table not in empty
    )
    query = f"SELECT string_agg(line, E'\\n' ORDER BY line) FROM ({seeds}) AS seed"
    return Made(
        shape=await _shape(connection),
        emptying=";".join(f"DELETE FROM {table}" for table in empty),
        seeds=query,
        seeded=await connection.fetchval(query),
    )


async def _shape(connection: asyncpg.Connection[asyncpg.Record]) -> list[tuple[object, ...]]:
    return [tuple(row) for row in await connection.fetch(SHAPE, FIRST_OBJECT)]


@contextlib.asynccontextmanager
async def _connected(url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(url, command_timeout=RESET_TIMEOUT_S)
    try:
        yield connection
    finally:
        await connection.close()
