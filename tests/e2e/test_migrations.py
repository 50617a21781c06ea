"""Every service's schema, from nothing and again."""

import asyncpg
import pytest

from passferry_contracts.registry import SERVICES
from passferry_runtime.migrations import migrate, schema_of

SHAPE = """
SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable AS line
FROM information_schema.columns WHERE table_schema = $1
UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = $1
UNION ALL SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = $1::regnamespace
UNION ALL SELECT tablename || ' ' || policyname || ' ' || coalesce(qual, '')
FROM pg_policies WHERE schemaname = $1
UNION ALL SELECT version || ' ' || sha256 || ' ' || applied_at
FROM "{schema}".schema_migrations
ORDER BY 1
"""


@pytest.mark.parametrize("service", SERVICES)
async def test_a_schema_is_migrated_from_nothing_and_a_second_time_nothing_changes(
    harness, service
):
    """proves: J57"""
    schema = schema_of(service)
    package = f"passferry_{schema}.migrations"

    async def shape() -> list[str]:
        connection = await asyncpg.connect(harness.admin_url)
        try:
            rows = await connection.fetch(SHAPE.format(schema=schema), schema)
            return [row["line"] for row in rows]
        finally:
            await connection.close()

    await harness.make_empty_database()
    applied = await migrate(harness.admin_url, service=service, package=package)
    assert {"plumbing/0001", "service/0001"} <= set(applied)
    before = await shape()
    assert len(before) > 20
    assert await migrate(harness.admin_url, service=service, package=package) == []
    assert await shape() == before
