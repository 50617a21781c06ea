"""Numbered, forward-only SQL migrations of one service's schema, and its roles."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib import resources

import asyncpg

from passferry_runtime.logging import get_logger

log = get_logger(__name__)

LOCK_TIMEOUT_S = 4
STATEMENT_TIMEOUT_S = 60
_FILE_NAME = re.compile(r"^([0-9]{4})_([a-z0-9_]+)\.sql\Z")
_SCHEMA_NAME = re.compile(r"^[a-z][a-z0-9_]{0,40}\Z")


_TABLES = """
SELECT quote_ident(relname) AS name FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relrowsecurity {condition} ORDER BY relname
"""
FORCED_TABLES = _TABLES.format(condition="AND relforcerowsecurity")
UNFORCED_TABLES = _TABLES.format(condition="AND NOT relforcerowsecurity")


class MigrationChanged(Exception):
    """A migration that was applied here has another content now: migrations are never edited."""


@dataclass(frozen=True, slots=True)
class Migration:
    """`version` is `plumbing/0001` or `service/0003`."""

    version: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def schema_of(service: str) -> str:
    """`pass-issuer` lives in the schema `pass_issuer`."""
    schema = service.replace("-", "_")
    if not _SCHEMA_NAME.match(schema):
        raise ValueError(f"{service!r} is no service name")
    return schema


def find_migrations(package: str) -> list[Migration]:
    """The plumbing's and then the service's own, each in the order of their numbers."""
    plumbing = _read("passferry_runtime.plumbing", "plumbing")
    return plumbing + _read(package, "service")


def _read(package: str, prefix: str) -> list[Migration]:
    found = []
    for entry in resources.files(package).iterdir():
        matched = _FILE_NAME.match(entry.name)
        if matched:
            found.append(Migration(f"{prefix}/{matched[1]}", entry.read_text()))
    return sorted(found, key=lambda migration: migration.version)


async def migrate(
    admin_url: str, *, service: str, package: str, app_password: str | None = None
) -> list[str]:
    """Make the schema and roles of `service`, apply what is missing; returns what was applied."""
    schema = schema_of(service)
    connection = await asyncpg.connect(admin_url, command_timeout=STATEMENT_TIMEOUT_S * 2)
    try:
        await connection.execute("SELECT pg_advisory_lock(hashtext('passferry.migrate'))")
        await _make_roles(connection, schema, app_password)
        await _prepare_session(connection, schema)
        applied = await _apply_missing(connection, find_migrations(package))
        log.info("schema_migrated", schema=schema, applied=len(applied))
        return applied
    finally:
        await connection.close()


async def _make_roles(
    connection: asyncpg.Connection[asyncpg.Record], schema: str, app_password: str | None
) -> None:
    app, plumbing = f"passferry_{schema}", f"passferry_{schema}_plumbing"
    for role, login in ((app, "LOGIN NOINHERIT"), (plumbing, "NOLOGIN")):
        exists = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role)
        if not exists:
            await connection.execute(
                f'CREATE ROLE "{role}" {login} NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS'
            )
    if app_password is not None:
        quoted = await connection.fetchval("SELECT quote_literal($1::text)", app_password)
        await connection.execute(f'ALTER ROLE "{app}" PASSWORD {quoted}')
    await connection.execute(
        f'GRANT "{plumbing}" TO "{app}";'
        f'CREATE SCHEMA IF NOT EXISTS "{schema}";'
        f'REVOKE ALL ON SCHEMA "{schema}" FROM PUBLIC;'
        f'GRANT USAGE ON SCHEMA "{schema}" TO "{app}", "{plumbing}"'
    )


async def _prepare_session(connection: asyncpg.Connection[asyncpg.Record], schema: str) -> None:
    await connection.execute(
        f'SET search_path = "{schema}";'
        f"SET passferry.app_role = 'passferry_{schema}';"
        f"SET passferry.plumbing_role = 'passferry_{schema}_plumbing';"
        # A backfill would pass over the rows that its role may not see: rather an error than that.
        "SET row_security = off;"
        f"SET lock_timeout = '{LOCK_TIMEOUT_S}s';"
        f"SET statement_timeout = '{STATEMENT_TIMEOUT_S}s'"
    )
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_migrations ("
        " version text PRIMARY KEY, sha256 text NOT NULL,"
        " applied_at timestamptz NOT NULL DEFAULT now())"
    )
    await connection.execute(f'GRANT SELECT ON schema_migrations TO "passferry_{schema}"')


async def _apply_missing(
    connection: asyncpg.Connection[asyncpg.Record], migrations: list[Migration]
) -> list[str]:
    rows = await connection.fetch("SELECT version, sha256 FROM schema_migrations")
    known = {row["version"]: row["sha256"] for row in rows}
    applied = []
    for migration in migrations:
        if migration.version in known:
            if known[migration.version] != migration.sha256:
                raise MigrationChanged(
                    f"{migration.version} was applied with another content; add a new file instead"
                )
            continue
        try:
            await _apply(connection, migration)
        except asyncpg.InsufficientPrivilegeError:
            # It changes rows, and its role is neither superuser nor past row-level security.
            await _apply(connection, migration, sees_all_rows=True)
        applied.append(migration.version)
    return applied


async def _apply(
    connection: asyncpg.Connection[asyncpg.Record],
    migration: Migration,
    *,
    sees_all_rows: bool = False,
) -> None:
    async with connection.transaction():
        if sees_all_rows:
            # Nobody else sees them so: each table is locked until all is as it was.
            await connection.execute("SET LOCAL passferry.sees_all_rows = 'on'")
            await _alter_each(connection, FORCED_TABLES, "NO FORCE ROW LEVEL SECURITY")
        await connection.execute(migration.sql)
        if sees_all_rows:
            await _alter_each(connection, UNFORCED_TABLES, "FORCE ROW LEVEL SECURITY")
        await connection.execute(
            "INSERT INTO schema_migrations (version, sha256) VALUES ($1, $2)",
            migration.version,
            migration.sha256,
        )


async def _alter_each(
    connection: asyncpg.Connection[asyncpg.Record], tables: str, change: str
) -> None:
    for row in await connection.fetch(tables):
        await connection.execute(f"ALTER TABLE {row['name']} {change}")
