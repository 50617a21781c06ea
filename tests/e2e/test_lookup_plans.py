"""A look-up by key probes the key, also while nobody has counted the rows of a table."""

from __future__ import annotations

import asyncpg

from passferry_runtime.migrations import migrate

#: Both indexes begin with the workspace, and the younger one is what a tie would choose.
CARDS = """
CREATE TABLE card (
    workspace_id uuid NOT NULL, card_id uuid NOT NULL, age integer NOT NULL,
    PRIMARY KEY (workspace_id, card_id)
) WITH (autovacuum_enabled = off);
CREATE INDEX card_by_age ON card (workspace_id, age);
SELECT isolate_by_workspace('card');
"""
FILL = """
INSERT INTO pass_issuer.card (workspace_id, card_id, age)
SELECT $1, gen_random_uuid(), number FROM generate_series(1, 5000) AS number
"""
LOOK_UP = "PREPARE look_up AS SELECT age FROM card WHERE workspace_id = $1 AND card_id = $2"
WORKSPACE = "0190cafe-0000-7000-8000-000000000001"


async def test_a_lookup_by_key_probes_the_key_before_there_are_statistics(
    harness, tmp_path, monkeypatch
):
    await harness.make_empty_database()
    package = tmp_path / "migrations_of_many_cards"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "0001_cards.sql").write_text(CARDS)
    monkeypatch.syspath_prepend(str(tmp_path))
    await migrate(harness.admin_url, service="pass-issuer", package=package.name)
    superuser = await asyncpg.connect(harness.admin_url)
    try:
        await superuser.execute(FILL, WORKSPACE)
        await superuser.execute("SET ROLE passferry_pass_issuer; SET search_path = pass_issuer")
        await superuser.execute(f"SET plan_cache_mode = force_generic_plan; {LOOK_UP}")
        plan = "\n".join(
            row[0] for row in await superuser.fetch("EXPLAIN EXECUTE look_up (NULL, NULL)")
        )
    finally:
        await superuser.close()
    assert "Index Scan using card_pkey" in plan, plan
    assert "Filter: ((workspace_id = ANY" in plan, plan
    # The list of workspaces is read once, not for every row.
    assert "InitPlan" in plan, plan
