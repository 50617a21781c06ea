"""Several passes as one file for Apple Wallet, on real Postgres with real signatures."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from passferry_contracts.events.rendered import PassRendered
from passferry_pass_issuer.adapters import wallet_bundles
from passferry_pass_issuer.adapters.recently_used import RecentlyUsed
from passferry_testing.pass_reader import read_passes
from passferry_testing.pki import DemoAuthority
from passferry_wallet.apple.bundle import BundleTemplate

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return DemoAuthority.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def office(harness, make, authority):
    async with make.open_office(harness, authority=authority) as opened:
        yield opened


@pytest.fixture
async def desk(office, authority):
    """A workspace with passes, and how to bundle them."""
    workspace_id = await office.workspace()
    await office.give_identity(workspace_id, authority)
    program_id = await office.program(workspace_id)

    async def issue(count):
        path = f"/workspaces/{workspace_id}/passes/bulk"
        passes = [{"program_id": program_id, "external_id": f"m-{n}"} for n in range(count)]
        answer = await office.call("POST", path, json={"passes": passes})
        return [each["pass"]["pass_id"] for each in answer["results"]]

    async def bundle(*references, key=None, workspace=workspace_id):
        return await office.client.post(
            f"/api/v1/workspaces/{workspace}/bundles",
            json={"passes": list(references)},
            headers={"Authorization": f"Bearer {key or office.administrator_key}"},
        )

    bundle.issue, bundle.workspace_id, bundle.program_id = issue, workspace_id, program_id
    return bundle


def read(answer, office, authority):
    return read_passes(answer.content, root_pem=authority.root_pem, now=office.clock.now())


async def test_ten_passes_come_signed_in_one_file(office, desk, authority):
    # proves: P13
    ids = await desk.issue(10)
    answer = await desk(*ids[:9], "external:m-9")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/vnd.apple.pkpasses"
    assert answer.headers["cache-control"] == "no-store"
    passes = read(answer, office, authority)
    assert len(passes) == 10
    rows = await office.rows("SELECT pass_id, serial_number FROM pass_issuer.pass")
    serials = {str(row["pass_id"]): row["serial_number"] for row in rows}
    found = [each.serial for each in passes.values()]
    assert sorted(found) == sorted(serials[each] for each in ids)
    again = await desk(*ids)
    assert again.status_code == 200


async def test_a_bundled_pass_is_told_again_with_its_signature_and_stays_signed(office, desk):
    [pass_id] = await desk.issue(1)
    await desk(pass_id)
    await desk(pass_id)
    unsigned, signed = await office.events(PassRendered)
    assert unsigned.apple.signature is None
    assert signed.apple.signature is not None
    assert signed.revision == unsigned.revision == 1
    assert signed.causes == unsigned.causes
    [row] = await office.rows("SELECT is_on_apple, revision FROM pass_issuer.pass")
    assert tuple(row) == (True, 1)


async def test_a_pass_named_twice_is_in_the_file_once(office, desk, authority):
    [pass_id] = await desk.issue(1)
    answer = await desk(pass_id, "external:m-0")
    assert len(read(answer, office, authority)) == 1


@pytest.mark.parametrize("count", [0, 11])
async def test_a_bundle_has_one_to_ten_passes(office, desk, count):
    ids = await desk.issue(11)
    assert (await desk(*ids[:count])).status_code == 422


async def test_passes_of_another_workspace_are_unknown_and_nothing_is_signed(office, desk):
    # proves: J70
    ids = await desk.issue(1)
    other = await office.workspace()
    key = await office.key(other, "owner")
    answer = await desk(ids[0], key=key, workspace=other)
    assert (answer.status_code, answer.json()["code"]) == (404, "pass_not_found")
    assert (await desk(ids[0], key=key)).status_code == 404
    viewer = await office.key(desk.workspace_id, "viewer")
    assert (await desk(ids[0], key=viewer)).status_code == 403
    [row] = await office.rows("SELECT is_on_apple FROM pass_issuer.pass")
    assert row["is_on_apple"] is False


async def test_one_unknown_or_deleted_pass_refuses_the_whole_bundle(office, desk):
    ids = await desk.issue(2)
    assert (await desk(ids[0], "external:nobody")).status_code == 404
    await office.call("DELETE", f"/workspaces/{desk.workspace_id}/passes/{ids[1]}")
    answer = await desk(*ids)
    assert answer.status_code == 404
    assert "passes.1" in answer.json()["detail"]
    rows = await office.rows(
        "SELECT is_on_apple FROM pass_issuer.pass WHERE pass_id = $1", UUID(ids[0])
    )
    assert rows[0]["is_on_apple"] is False


async def test_without_an_identity_there_is_no_bundle_and_no_promise(office):
    workspace_id = await office.workspace()
    program_id = await office.program(workspace_id)
    issued = await office.call(
        "POST", f"/workspaces/{workspace_id}/passes", status=201, json={"program_id": program_id}
    )
    path = f"/workspaces/{workspace_id}/bundles"
    problem = await office.call("POST", path, status=409, json={"passes": [issued["pass_id"]]})
    assert problem["code"] == "not_signed"
    [row] = await office.rows("SELECT is_on_apple FROM pass_issuer.pass")
    assert row["is_on_apple"] is False


async def test_what_apple_would_not_take_is_not_built(desk, monkeypatch):
    ids = await desk.issue(2)
    monkeypatch.setattr(wallet_bundles, "MAX_PASSES_BYTES", 1_000)
    answer = await desk(*ids)
    assert (answer.status_code, answer.json()["code"]) == (422, "too_large")


async def test_images_that_were_dropped_from_memory_are_read_again(office, desk, authority):
    ids = await desk.issue(2)
    bundles = office.issuer.bundle_passes.bundles
    bundles._templates = RecentlyUsed(most=10, most_bytes=1)
    for _ in range(2):
        assert len(read(await desk(*ids), office, authority)) == 2
        # Another one's take their place.
        bundles._templates.keep((uuid4(), uuid4(), 1), BundleTemplate({}), size=1)
        assert len(bundles._templates) == 1
