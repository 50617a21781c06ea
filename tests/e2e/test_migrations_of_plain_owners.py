"""Schemas that are migrated by a role as providers of Postgres give it: their owner, and no more.

proves: J57
"""

from __future__ import annotations

import asyncpg
import pytest

from passferry_contracts.registry import SERVICES
from passferry_runtime.migrations import migrate, schema_of
from passferry_testing.prepared_databases import database_url

PASSWORD = "of-the-plain-owner"  # of a role that lives as long as its test

FIRST = """
CREATE TABLE card (workspace_id uuid NOT NULL, said text NOT NULL, PRIMARY KEY (workspace_id, said));
SELECT isolate_by_workspace('card');
"""
BACKFILL = """
CREATE TABLE word (workspace_id uuid NOT NULL, said text NOT NULL, PRIMARY KEY (workspace_id, said));
SELECT isolate_by_workspace('word');
INSERT INTO word (workspace_id, said) SELECT workspace_id, said FROM card;
UPDATE card SET said = 'changed';
"""
FORCED = """
SELECT bool_and(relforcerowsecurity) FROM pg_class
WHERE relnamespace = $1::regnamespace AND relrowsecurity
"""
WORKSPACE = "0190cafe-0000-7000-8000-000000000001"


@pytest.fixture
async def superuser(harness):
    await harness.make_empty_database()
    connection = await asyncpg.connect(harness.admin_url)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def plain_url(harness, superuser):
    role = f"owner_{harness.name}"
    await superuser.execute(f"CREATE ROLE {role} LOGIN CREATEROLE PASSWORD '{PASSWORD}'")
    await superuser.execute(f'ALTER DATABASE "{harness.name}" OWNER TO {role}')
    # Roles belong to the whole server: those that are there were made by others.
    there = await superuser.fetch(
        r"SELECT rolname FROM pg_roles WHERE rolname LIKE 'passferry\_%' AND NOT rolsuper"
    )
    for each in there:
        await superuser.execute(f'GRANT "{each["rolname"]}" TO {role} WITH ADMIN OPTION')
    plain = database_url(harness.admin_url, database=harness.name, user=role)
    try:
        yield plain.replace(f"{role}@", f"{role}:{PASSWORD}@")
    finally:
        await superuser.execute(f"REASSIGN OWNED BY {role} TO CURRENT_USER")
        await superuser.execute(f"DROP OWNED BY {role}")
        await superuser.execute(f"DROP ROLE {role}")


@pytest.mark.parametrize("service", SERVICES)
async def test_the_owner_of_a_database_migrates_every_schema(superuser, plain_url, service):
    package = f"passferry_{schema_of(service)}.migrations"
    assert "service/0001" in await migrate(plain_url, service=service, package=package)
    assert await superuser.fetchval(FORCED, schema_of(service)) is True
    assert await migrate(plain_url, service=service, package=package) == []


async def test_a_backfill_reaches_all_rows_and_row_level_security_is_as_before(
    superuser, plain_url, tmp_path, monkeypatch
):
    package = tmp_path / "migrations_of_cards"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "0001_cards.sql").write_text(FIRST)
    monkeypatch.syspath_prepend(str(tmp_path))
    given = {"service": "pass-issuer", "package": package.name}
    await migrate(plain_url, **given)
    await superuser.execute(
        "INSERT INTO pass_issuer.card (workspace_id, said) VALUES ($1, 'first')", WORKSPACE
    )
    (package / "0002_words.sql").write_text(BACKFILL)
    assert await migrate(plain_url, **given) == ["service/0002"]
    assert await superuser.fetchval("SELECT said FROM pass_issuer.word") == "first"
    assert await superuser.fetchval("SELECT said FROM pass_issuer.card") == "changed"
    assert await superuser.fetchval(FORCED, "pass_issuer") is True
    # The owner itself sees no workspace outside of a migration, as before.
    plain = await asyncpg.connect(plain_url)
    try:
        assert await plain.fetchval("SELECT count(*) FROM pass_issuer.card") == 0
    finally:
        await plain.close()


async def test_a_migration_that_fails_leaves_row_level_security_as_it_was(
    superuser, plain_url, tmp_path, monkeypatch
):
    package = tmp_path / "migrations_that_fail"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "0001_cards.sql").write_text(FIRST)
    monkeypatch.syspath_prepend(str(tmp_path))
    given = {"service": "pass-issuer", "package": package.name}
    await migrate(plain_url, **given)
    (package / "0002_words.sql").write_text(f"{BACKFILL} SELECT 1 / 0;")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(plain_url, **given)
    assert await superuser.fetchval(FORCED, "pass_issuer") is True
    assert await superuser.fetchval("SELECT to_regclass('pass_issuer.word')") is None
