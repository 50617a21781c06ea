"""A row that names another names one of its own workspace: Postgres refuses any other."""

from __future__ import annotations

from datetime import date
from uuid import UUID, uuid4

import asyncpg
import pytest

from passferry_runtime.postgres import Database

pytestmark = pytest.mark.integration

OWNERS = {f"{name}_id": name for name in ("template", "program", "holder", "pass", "job")}

EXCEPTIONS = {
    "holder_pages.after_pass_id": "a place between passes, and before the first of them",
    "idempotency.subject_id": "a pass or a holder: two tables",
    "issued_message.target_id": "a pass or a template: two tables",
    "pass.replaced_by": "set before its follower is there; pass_replacement names both",
}

NAMING_COLUMNS = """
SELECT c.relname || '.' || a.attname AS name, (
    SELECT array_agg(f.confrelid::regclass::text) FROM pg_constraint f
    WHERE f.contype = 'f' AND f.conrelid = c.oid AND a.attnum = ANY(f.conkey)
        AND f.conkey[1] = (SELECT w.attnum FROM pg_attribute w
            WHERE w.attrelid = c.oid AND w.attname = 'workspace_id')) AS targets
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'pass_issuer'::regnamespace AND c.relkind = 'r' AND NOT a.attisdropped
    AND (a.attname ~ '(^|_)(template|program|holder|pass|job|target|subject)_id$'
        OR a.attname = 'replaced_by')
ORDER BY 1
"""

INSERTS = {
    "job of a program": """
        INSERT INTO job (workspace_id, job_id, kind, state, program_id, max_per_second,
            created_by, created_at, updated_at)
        VALUES ($1, gen_random_uuid(), 'bulk_issue', 'waiting', $2, 1, 'x', now(), now())
    """,
    "job of a template": """
        INSERT INTO job (workspace_id, job_id, kind, state, template_id, template_version,
            max_per_second, created_by, created_at, updated_at)
        VALUES ($1, gen_random_uuid(), 'rollout', 'done', $2, 1, 1, 'x', now(), now())
    """,
    "job_result": """
        WITH made AS (
            INSERT INTO job (workspace_id, job_id, kind, state, action, max_per_second,
                created_by, created_at, updated_at)
            VALUES ($1, gen_random_uuid(), 'bulk_change', 'done', 'void', 1, 'x', now(), now())
            RETURNING workspace_id, job_id)
        INSERT INTO job_result (workspace_id, job_id, number, outcome, pass_id)
        SELECT workspace_id, job_id, 1, 'changed', $2 FROM made
    """,
    "imported_template": """
        INSERT INTO imported_template (workspace_id, source_sha256, template_id, created_at)
        VALUES ($1, gen_random_uuid()::text, $2, now())
    """,
    "program": """
        UPDATE program SET template_id = $2 WHERE workspace_id = $1
    """,
}

FUNNEL_DAY = """
INSERT INTO funnel_day (workspace_id, program_id, day, template_id, label, step, platform)
VALUES ($1, $2, $3, $4, '', 'opened', 'apple')
"""


async def test_every_column_that_names_a_row_is_a_key_with_its_workspace(office):
    # proves: A15, J93
    rows = await office.rows(NAMING_COLUMNS)
    unbound = set()
    for row in rows:
        table, _, column = row["name"].partition(".")
        owner = next((OWNERS[name] for name in OWNERS if column.endswith(name)), None)
        if owner != table and f"pass_issuer.{owner}" not in (row["targets"] or []):
            unbound.add(row["name"])
    assert len(rows) > 20
    assert unbound == set(EXCEPTIONS)


@pytest.fixture
async def two(office):
    """What each of two workspaces has, by name."""

    async def workspace():
        workspace_id = await office.workspace()
        program_id = await office.program(workspace_id)
        base = f"/workspaces/{workspace_id}"
        issued = await office.call(
            "POST", f"{base}/passes", status=201, json={"program_id": program_id}
        )
        program = await office.call("GET", f"{base}/programs/{program_id}")
        return {
            "workspace": UUID(workspace_id),
            "program": UUID(program_id),
            "template": UUID(program["template_id"]),
            "pass": UUID(issued["pass_id"]),
        }

    return await workspace(), await workspace()


async def as_the_service(office, named, sql, *arguments):
    """Naming all these workspaces, as a batch may that spans several."""
    url = office.harness.app_url("pass-issuer")
    async with (
        Database.open(url, service="pass-issuer", clock=office.clock) as database,
        database.transaction(named) as transaction,
    ):
        await transaction.execute(sql, *arguments)


@pytest.mark.parametrize("what", INSERTS)
async def test_a_row_cannot_name_what_another_workspace_owns(office, two, what):
    # proves: A15, J93
    mine, theirs = two
    kind = "program" if "of a program" in what else "pass" if "result" in what else "template"
    named = [mine["workspace"], theirs["workspace"]]
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await as_the_service(office, named, INSERTS[what], mine["workspace"], theirs[kind])
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await as_the_service(office, named, INSERTS[what], mine["workspace"], uuid4())
    await as_the_service(office, named, INSERTS[what], mine["workspace"], mine[kind])


async def test_nothing_is_counted_for_a_template_of_another_workspace(office, two):
    # proves: A15, J93
    mine, theirs = two
    named = [mine["workspace"], theirs["workspace"]]
    given = mine["workspace"], mine["program"], date(2026, 5, 14)
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await as_the_service(office, named, FUNNEL_DAY, *given, theirs["template"])
    await as_the_service(office, named, FUNNEL_DAY, *given, mine["template"])
