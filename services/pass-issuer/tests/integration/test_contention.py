"""What happens when others hold a lock: who waits in a circle is told to try again, and who only
writes a row that names another keeps nobody waiting."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import pytest

from passferry_contracts.events.passes import PassErased
from passferry_testing.harness import eventually

pytestmark = pytest.mark.integration

TOUCH = "UPDATE pass_issuer.pass SET updated_at = updated_at WHERE pass_id = $1"

WAITING_FOR = "SELECT pid FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))"

#: What other tables name with a foreign key.
NAMED_TABLES = """
SELECT DISTINCT confrelid::regclass::text AS name FROM pg_constraint
WHERE contype = 'f' AND connamespace = 'pass_issuer'::regnamespace
"""


@asynccontextmanager
async def another_session(office):
    """Past row-level security. Who waits in a circle with it is the one that gives way."""
    connection = await asyncpg.connect(office.harness.admin_url)
    try:
        await connection.execute("SET deadlock_timeout = '1h'")
        yield connection
    finally:
        await connection.close()


async def until_somebody_waits_for(office, session):
    async def somebody_waits():
        return bool(await office.rows(WAITING_FOR, session.get_server_pid()))

    await eventually(somebody_waits, what="a wait for the lock")


@pytest.fixture
async def shop(office):
    workspace_id = await office.workspace()
    base = f"/workspaces/{workspace_id}"
    template_id = await office.template(workspace_id, protocol="GIFT_CARD")
    program_id = await office.program(
        workspace_id, protocol="GIFT_CARD", unit="EUR", unit_scale=2, template_id=template_id
    )

    async def issue(**body):
        given = {"program_id": program_id, "holder": {"external_id": "ana"}, **body}
        return await office.call("POST", f"{base}/passes", status=201, json=given)

    issue.base, issue.program, issue.template = base, program_id, template_id
    return issue


async def test_who_waits_in_a_circle_with_another_is_told_to_try_again(office, shop):
    # proves: J93
    first, second = sorted([UUID((await shop())["pass_id"]) for _ in range(2)])
    path = f"/api/v1{shop.base}/holders/external:ana/erasure"
    headers = {"Authorization": f"Bearer {office.administrator_key}"}
    async with another_session(office) as other, asyncio.TaskGroup() as tasks:
        async with other.transaction():
            await other.execute(TOUCH, second)
            # It takes the first pass, and waits for the second.
            asking = tasks.create_task(office.client.post(path, headers=headers))
            await until_somebody_waits_for(office, other)
            await other.execute(TOUCH, first)
            answer = await asking
        assert (answer.status_code, answer.json()["code"]) == (503, "busy")
        assert answer.headers["retry-after"] == "1"
        assert "nothing was done" in answer.json()["detail"]
    assert await office.events(PassErased) == []
    again = await office.client.post(path, headers=headers)
    assert again.json()["passes_erased"] is True
    assert len(await office.events(PassErased)) == 2


async def test_nothing_waits_for_who_writes_a_row_that_names_another(office, shop, make):
    # proves: J93
    one, workspace = await shop(), shop.base
    tables = {row["name"] for row in await office.rows(NAMED_TABLES)}
    assert {f"pass_issuer.{name}" for name in ("workspace", "program", "pass", "job")} <= tables
    template = make.template_json(protocol="GIFT_CARD", name="Another")
    async with another_session(office) as other, other.transaction():
        for table in sorted(tables):
            # As every insert of a row that names one of these does.
            await other.execute(f"SELECT 1 FROM {table} FOR KEY SHARE")
        await office.call("PATCH", workspace, json={"name": "Renamed"})
        await office.call("PATCH", f"{workspace}/programs/{shop.program}", json={"name": "New"})
        await office.call("PUT", f"{workspace}/templates/{shop.template}", json=template)
        await office.call("POST", f"{workspace}/templates/{shop.template}/publish")
        await office.call("POST", f"{workspace}/inbound-secrets", status=201)
        await office.call("PUT", f"{workspace}/inbound-signature", json={"required": True})
        await office.call(
            "PATCH", f"{workspace}/passes/{one['pass_id']}", json={"fields": {"seat": "4"}}
        )
        await office.call("PATCH", f"{workspace}/holders/external:ana", json={"tags": ["vip"]})
        rollouts = f"{workspace}/templates/{shop.template}/rollouts"
        [job] = (await office.call("GET", rollouts))["data"]
        await office.call("POST", f"{rollouts}/{job['rollout_id']}/pause")
        await office.call("POST", f"{workspace}/passes/{one['pass_id']}/void")
