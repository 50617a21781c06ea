"""A second client is data, and the first one does not notice."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.integration

EXTERNAL_IDS = ("m-1", "m-2", "m-3")


async def open_shop(office, name):
    """A workspace with its key, its program and three passes, all under the same names."""
    workspace_id = await office.workspace(name=name)
    key = await office.key(workspace_id, "owner")
    program_id = await office.program(workspace_id, name="Points")
    body = {
        "passes": [
            {
                "program_id": program_id,
                "external_id": external_id,
                "holder": {"external_id": external_id, "full_name": f"{name} {external_id}"},
                "code": f"CODE-{external_id}",
            }
            for external_id in EXTERNAL_IDS
        ]
    }
    await office.call("POST", f"/workspaces/{workspace_id}/passes/bulk", key=key, json=body)
    return workspace_id, key


async def everything_of(office, workspace_id, key):
    """All that the API tells a client of itself, and what its passes show."""
    base = f"/workspaces/{workspace_id}"
    told = {
        name: await office.call("GET", f"{base}/{name}", key=key)
        for name in ("passes", "programs", "templates", "holders", "signing-identities")
    }
    rows = await office.rows(
        "SELECT pass_id, revision, content_sha256, pass_json, balance_minor, status, updated_at"
        " FROM pass_issuer.pass WHERE workspace_id = $1::uuid ORDER BY pass_id",
        workspace_id,
    )
    return told, [tuple(row) for row in rows]


async def test_a_second_client_with_the_same_names_leaves_the_first_as_it_was(office):
    # proves: C11, C2
    first, first_key = await open_shop(office, "First")
    before = await everything_of(office, first, first_key)
    assert len(before[1]) == len(EXTERNAL_IDS)

    second, second_key = await open_shop(office, "Second")
    base = f"/workspaces/{second}/passes"
    await office.call(
        "PATCH", f"{base}/external:m-1", key=second_key, json={"fields": {"favourite": "Tea"}}
    )
    await office.call("POST", f"{base}/external:m-2/void", key=second_key, json={"reason": "used"})
    await office.call("DELETE", f"{base}/external:m-3", key=second_key)

    assert await everything_of(office, first, first_key) == before
    others = {
        each["pass_id"]
        for each in (await everything_of(office, second, second_key))[0]["passes"]["data"]
    }
    assert others.isdisjoint(each["pass_id"] for each in before[0]["passes"]["data"])
    for pass_id in others:
        await office.call("GET", f"/workspaces/{first}/passes/{pass_id}", key=first_key, status=404)
    await office.call("GET", f"/workspaces/{second}/passes", key=first_key, status=404)
