"""A look-up key that is lost for good gets a successor, and what can be known again is."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import subprocess
import sys
import uuid
from dataclasses import replace

import pytest

from passferry_pass_issuer.adapters import postgres_lookup_keys
from passferry_pass_issuer.adapters.postgres_lookup_keys import PostgresLookupKeys
from passferry_pass_issuer.adapters.postgres_new_lookups import PostgresNewLookups
from passferry_pass_issuer.app import build_new_lookup_key
from passferry_pass_issuer.application import replace_lookup_key
from passferry_pass_issuer.application.replace_lookup_key import LookupKeyKept
from passferry_pass_issuer.domain import secret_contexts
from passferry_runtime.crypto import DecryptionFailed, KeyRing
from passferry_runtime.postgres import Database
from passferry_runtime.turn import Turn
from passferry_testing.pki import DemoAuthority

pytestmark = pytest.mark.integration


def ring_text(name):
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    return json.dumps({"active": name, "keys": {name: key}})


OWN_TEXT = ring_text("own")
OWN = KeyRing.from_json(OWN_TEXT)
GONE = KeyRing.from_json(ring_text("gone"))

STORED = """
SELECT lookup_key_ciphertext AS key FROM pass_issuer.workspace WHERE workspace_id = $1
"""
LOSE = "UPDATE pass_issuer.workspace SET lookup_key_ciphertext = $2 WHERE workspace_id = $1"
SPOIL_HOLDER = "UPDATE pass_issuer.holder SET personal_ciphertext = '\\x00' WHERE holder_id = $1"
DIGESTS = """
SELECT (SELECT jsonb_object_agg(holder_id, email_hmac::text) FROM pass_issuer.holder
        WHERE workspace_id = $1)::text AS addresses,
    (SELECT jsonb_object_agg(holder_id, own_values) FROM pass_issuer.former_holder
        WHERE workspace_id = $1)::text AS former,
    (SELECT lookup_key_ciphertext FROM pass_issuer.workspace WHERE workspace_id = $1) AS key
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return DemoAuthority.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def office(harness, make, authority, monkeypatch):
    """It looks for the key each time, as after a while."""
    monkeypatch.setattr(postgres_lookup_keys, "KEPT_S", -1)
    async with make.open_office(harness, authority=authority, cipher=OWN) as opened:
        yield opened


def mail(name):
    return f"{name}@planted.example"


async def a_shop(office):
    """Ana's card is Cleo's now and still names Ana; what is personal of Bo does not open; Dan is
    erased."""
    workspace_id = await office.workspace()
    base = f"/workspaces/{workspace_id}"
    program_id = await office.program(workspace_id)
    for name in ("ana", "bo", "cleo", "dan"):
        body = {"full_name": f"{name.title()} Planted", "email": mail(name)}
        made = await office.call("PUT", f"{base}/holders/external:{name}", status=201, json=body)
        if name == "bo":
            bo = made["holder_id"]
    fields = {"note": "for Ana Planted", "drink": "tea", "said": "as Ana Planted likes it"}
    body = {"program_id": program_id, "holder": {"external_id": "ana"}, "fields": fields}
    card = await office.call("POST", f"{base}/passes", status=201, json=body)
    path = f"{base}/passes/{card['pass_id']}"
    await office.call("POST", f"{path}/transfer", json={"holder": "external:cleo"})
    # Said anew by its next holder: nobody knows whether it is Ana's.
    await office.call("PATCH", path, json={"fields": fields | {"said": "milk"}})
    await office.call("POST", f"{base}/holders/external:dan/erasure")
    await office.rows(SPOIL_HOLDER, uuid.UUID(bo))
    return uuid.UUID(workspace_id), card


async def lose(office, workspace_id, sealed=None):
    context = secret_contexts.lookup_key(workspace_id)
    sealed = sealed or GONE.encrypt(secrets.token_bytes(32), context=context)
    await office.rows(LOSE, workspace_id, sealed)
    return sealed


async def stored(office, workspace_id):
    [row] = await office.rows(STORED, workspace_id)
    return row["key"]


async def run(office, workspace_id, lost_key_id=None, **changes):
    url = office.harness.app_url("pass-issuer")
    async with Database.open(url, service="pass-issuer", clock=office.clock) as database:
        command = replace(build_new_lookup_key(database, OWN, office.clock), **changes)
        return await command(workspace_id, lost_key_id=lost_key_id)


async def found(office, workspace_id, name):
    path = f"/workspaces/{workspace_id}/holders/query"
    answer = await office.call("POST", path, json={"email": mail(name)})
    return [each["external_id"] for each in answer["data"]]


async def test_what_can_be_known_again_is_found_by_the_new_key(office):
    # proves: A14, J71, J72
    workspace_id, card = await a_shop(office)
    other, _ = await a_shop(office)
    [theirs] = await office.rows(DIGESTS, other)
    await lose(office, workspace_id)
    base = f"/workspaces/{workspace_id}"
    query = {"json": {"email": mail("ana")}}
    refused = await office.call("POST", f"{base}/holders/query", status=503, **query)
    assert refused["code"] == "unreadable"
    report = await run(office, workspace_id, "gone")
    assert report.known_again == {"addresses": 2, "former_values": 1}
    # Bo's address; what the card says by now; Dan's external id and address.
    assert report.lost == {"addresses": 1, "former_values": 1, "erased_names": 2}
    assert await found(office, workspace_id, "ana") == ["ana"]
    assert await found(office, workspace_id, "cleo") == ["cleo"]
    assert await found(office, workspace_id, "bo") == []
    # Ana can be erased, and what is known to be hers leaves the card that is Cleo's.
    erased = await office.call("POST", f"{base}/holders/external:ana/erasure")
    assert erased["passes_erased"] is True
    shown = await office.call("GET", f"{base}/passes/{card['pass_id']}")
    assert shown["fields"] == {"drink": "tea", "said": "milk"}
    [audited] = await office.rows(
        "SELECT workspace_id, actor, target, after FROM pass_issuer.audit_log"
        " WHERE action = 'workspace.lookup_key_replaced'"
    )
    assert (audited["workspace_id"], audited["target"]) == (workspace_id, str(workspace_id))
    assert audited["actor"] == "command:new-lookup-key"
    assert json.loads(audited["after"])["lost"] == dict(report.lost)
    # Of another workspace nothing was touched.
    assert await office.rows(DIGESTS, other) == [theirs]
    with pytest.raises(LookupKeyKept, match="it is not lost"):
        await run(office, workspace_id, "gone")


@pytest.mark.parametrize("said", [None, "own", "none", ""])
async def test_a_key_that_may_come_back_is_not_replaced(office, said):
    # proves: A14
    workspace_id = uuid.UUID(await office.workspace())
    sealed = await lose(office, workspace_id)
    with pytest.raises(LookupKeyKept, match=r"needs the key 'gone'.*--lost-key gone"):
        await run(office, workspace_id, said)
    assert await stored(office, workspace_id) == sealed


async def test_a_key_that_opens_is_not_replaced_whatever_is_said_of_it(office):
    # proves: A14
    workspace_id = uuid.UUID(await office.workspace())
    sealed = await stored(office, workspace_id)
    for said in (None, "own", "none"):
        with pytest.raises(LookupKeyKept, match="opens: it is not lost"):
            await run(office, workspace_id, said)
    assert await stored(office, workspace_id) == sealed
    with pytest.raises(LookupKeyKept, match="no such workspace"):
        await run(office, uuid.uuid4(), "gone")


@pytest.mark.parametrize("sealed", [b"\x00", b"\x01", b"\x01\x04go", b"\x01\x02\xff\xfe"])
async def test_one_that_is_no_ciphertext_needs_no_key_of_the_ring(office, sealed):
    # proves: A14
    workspace_id = uuid.UUID(await office.workspace())
    await lose(office, workspace_id, sealed)
    with pytest.raises(LookupKeyKept, match="--lost-key none"):
        await run(office, workspace_id, "gone")
    await run(office, workspace_id, "none")
    context = secret_contexts.lookup_key(workspace_id)
    assert len(OWN.decrypt(await stored(office, workspace_id), context=context)) == 32


class BreaksOff(PostgresNewLookups):
    async def former_values(self, *given, **more):
        raise LookupError("planted")


async def test_a_run_that_broke_off_stored_no_key_and_is_begun_anew(office, monkeypatch):
    # proves: A14
    monkeypatch.setattr(replace_lookup_key, "PAGE_ROWS", 1)
    workspace_id, _ = await a_shop(office)
    sealed = await lose(office, workspace_id)
    with pytest.raises(LookupError):
        await run(office, workspace_id, "gone", lookups_under=lambda key: BreaksOff(OWN, key))
    assert await stored(office, workspace_id) == sealed
    report = await run(office, workspace_id, "gone")
    assert report.known_again == {"addresses": 2, "former_values": 1}
    assert report.lost == {"addresses": 1, "former_values": 1, "erased_names": 2}
    assert await found(office, workspace_id, "ana") == ["ana"]


async def test_two_runs_at_once_make_one_key(office):
    # proves: A14
    workspace_id = uuid.UUID(await office.workspace())
    sealed = await lose(office, workspace_id)
    url = office.harness.app_url("pass-issuer")
    async with Database.open(url, service="pass-issuer", clock=office.clock) as database:
        turn = Turn(database, f"new-lookup-key:{workspace_id}")
        assert await turn.is_ours()
        try:
            with pytest.raises(LookupKeyKept, match="another process"):
                await run(office, workspace_id, "gone")
        finally:
            turn.close()
    assert await stored(office, workspace_id) == sealed


async def test_a_process_that_still_knows_the_lost_key_does_not_go_on_with_it(office, monkeypatch):
    # proves: A14
    workspace_id = uuid.UUID(await office.workspace())
    keys = PostgresLookupKeys(OWN)

    async def digest():
        async with office.issuer.workbench.open([workspace_id], actor="test") as work:
            return await keys.digest(work.transaction, workspace_id, b"words")

    before = await digest()
    monkeypatch.setattr(postgres_lookup_keys, "KEPT_S", 60)
    await lose(office, workspace_id)
    assert await digest() == before, "it is not read for each"
    monkeypatch.setattr(postgres_lookup_keys, "KEPT_S", -1)
    with pytest.raises(DecryptionFailed):
        await digest()
    await run(office, workspace_id, "gone")
    assert await digest() not in (before, None)


async def test_the_command_says_what_it_did_and_no_secret(office, harness, tmp_path):
    # proves: A14
    workspace_id, _ = await a_shop(office)
    await lose(office, workspace_id)
    for name in ("own", "shared"):
        path = tmp_path / f"{name}.json"
        path.write_text(OWN_TEXT)
        path.chmod(0o600)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PASSFERRY_")
    } | {
        **harness.environment("pass-issuer"),
        "PASSFERRY_KEY_RING_FILE": str(tmp_path / "own.json"),
        "PASSFERRY_CREDENTIALS_KEY_RING_FILE": str(tmp_path / "shared.json"),
        "PASSFERRY_PUBLIC_BASE_URL": "https://passes.example",
        "PASSFERRY_WWDR_DIRECTORY": str(tmp_path),
    }

    async def command(*more):
        return await asyncio.to_thread(
            subprocess.run,
            [
                *(sys.executable, "-m", "passferry_pass_issuer", "new-lookup-key"),
                *("--workspace", str(workspace_id), *more),
            ],
            env=environment,
            check=False,
            timeout=60,
            capture_output=True,
            text=True,
        )

    refused = await command()
    assert refused.returncode == 1
    assert "--lost-key gone" in refused.stderr
    assert "Traceback" not in refused.stderr
    done = await command("--lost-key", "gone")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.strip().splitlines()[-1])
    assert told["workspace_id"] == str(workspace_id)
    assert told["known_again"] == {"addresses": 2, "former_values": 1}
    assert told["lost"]["erased_names"] == 2
    for output in (refused, done):
        said = (output.stdout + output.stderr).lower()
        assert "planted" not in said
        assert json.loads(OWN_TEXT)["keys"]["own"] not in output.stdout + output.stderr
