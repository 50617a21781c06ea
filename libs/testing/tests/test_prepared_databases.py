"""Databases that tests lend one after another: the next test finds no trace of the one before."""

import asyncpg
import pytest

from passferry_testing.prepared_databases import PreparedDatabases, database_url

SERVICE = "notifier"
SCHEMA = {"service": SERVICE, "package": "passferry_notifier.migrations"}
WRITE = """
INSERT INTO notifier.outbox (workspace_id, topic, key, slot, headers, value)
VALUES ('018f0000-0000-7000-8000-000000000001', 'wallet.activity', 'k', 0, '[]', 'v') RETURNING id
"""
NAMES = "SELECT oid FROM pg_database WHERE datname = $1"


@pytest.fixture
async def databases(backends):
    prepared = PreparedDatabases(backends.postgres_admin_url)
    yield prepared
    await prepared.drop_all()


@pytest.fixture
def ask(backends):
    """One statement in one database."""

    async def answer(name: str, sql: str, *arguments):
        connection = await asyncpg.connect(database_url(backends.postgres_admin_url, database=name))
        try:
            return await connection.fetchval(sql, *arguments)
        finally:
            await connection.close()

    return answer


async def test_a_database_is_lent_again_without_rows_and_with_its_numbers_from_the_start(
    databases, ask
):
    await databases.lend("lent_one", **SCHEMA)
    oid, first = await ask("postgres", NAMES, "lent_one"), await ask("lent_one", WRITE)
    await databases.take_back("lent_one")
    await databases.lend("lent_two", **SCHEMA)
    assert await ask("postgres", NAMES, "lent_two") == oid
    assert await ask("lent_two", "SELECT count(*) FROM notifier.outbox") == 0
    assert await ask("lent_two", "SELECT count(*) FROM notifier.schema_migrations") > 0
    assert await ask("lent_two", WRITE) == first


async def test_two_tests_at_once_have_two_databases_and_another_schema_a_third(databases, ask):
    await databases.lend("lent_one", **SCHEMA)
    await databases.lend("lent_two", **SCHEMA)
    await databases.take_back("lent_one")
    await databases.lend("lent_three", service="ledger", package="passferry_ledger.migrations")
    assert (
        len({await ask("postgres", NAMES, f"lent_{each}") for each in ("one", "two", "three")}) == 3
    )


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE notifier.outbox ADD COLUMN more text",
        "ALTER TABLE notifier.outbox DISABLE ROW LEVEL SECURITY",
        "DROP INDEX {index}",
        "GRANT SELECT ON notifier.outbox TO PUBLIC",
        "CREATE TABLE notifier.another ()",
        "CREATE FUNCTION notifier.one() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE OR REPLACE VIEW notifier.seen AS SELECT 1 AS one",
        "ALTER DATABASE lent_one SET lock_timeout = '1s'",
        "UPDATE notifier.schema_migrations SET sha256 = 'other'",
        "DELETE FROM notifier.schema_migrations",
        "ANALYZE notifier.schema_migrations",
    ],
)
async def test_a_database_that_is_no_longer_what_it_was_is_not_lent_again(databases, ask, change):
    await databases.lend("lent_one", **SCHEMA)
    oid = await ask("postgres", NAMES, "lent_one")
    index = await ask(
        "lent_one",
        "SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class ON oid = indrelid"
        " WHERE relnamespace = 'notifier'::regnamespace AND NOT indisunique LIMIT 1",
    )
    await ask("lent_one", change.format(index=index))
    await databases.take_back("lent_one")
    assert await ask("postgres", NAMES, "lent_one") is None
    await databases.lend("lent_two", **SCHEMA)
    assert await ask("postgres", NAMES, "lent_two") != oid


async def test_who_is_still_connected_is_cut_off_and_finds_nothing_under_the_old_name(
    backends, databases
):
    await databases.lend("lent_one", **SCHEMA)
    url = database_url(backends.postgres_admin_url, database="lent_one")
    left_open = await asyncpg.connect(url)
    await left_open.execute("BEGIN; LOCK TABLE notifier.outbox IN ACCESS EXCLUSIVE MODE")
    await databases.take_back("lent_one")
    await databases.lend("lent_two", **SCHEMA)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await left_open.fetchval("SELECT 1")
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(url)
