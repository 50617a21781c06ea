"""Every secret moves to the newest key, so that the old one can leave the ring."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import subprocess
import sys
import uuid
from contextlib import asynccontextmanager
from dataclasses import replace

import asyncpg
import pytest

from passferry_contracts.events.directory import WorkspaceCredentialsChanged
from passferry_pass_issuer.adapters.postgres_secrets import PostgresSecrets
from passferry_pass_issuer.app import Stores, build_rewrap
from passferry_pass_issuer.application import repeated_work
from passferry_pass_issuer.domain import secret_contexts
from passferry_pass_issuer.domain.secret_columns import SECRET_COLUMNS
from passferry_runtime.crypto import KeyRing
from passferry_runtime.postgres import Database
from passferry_testing.harness import eventually
from passferry_testing.pki import new_provider_key

pytestmark = pytest.mark.integration

KEYS = {name: base64.b64encode(secrets.token_bytes(32)).decode() for name in ("old", "new")}
TEAM = "CAFE123456"


def ring_text(active: str, *names: str) -> str:
    return json.dumps({"active": active, "keys": {name: KEYS[name] for name in names}})


OLD = KeyRing.from_json(ring_text("old", "old"))
BOTH = KeyRing.from_json(ring_text("new", "old", "new"))
NEW = KeyRing.from_json(ring_text("new", "new"))


async def filled(office, make) -> dict[str, str]:
    """A workspace with a secret in every column that has one."""
    workspace_id = await office.workspace()
    base = f"/workspaces/{workspace_id}"
    program_id = await office.program(workspace_id)
    identity = {
        "certificate_pem": "CERTIFICATE",
        "private_key_pem": "planted",
        "pass_type_identifier": make.pass_type,
    }
    account = {"client_email": "a@b.example", "private_key": "planted"}
    calls = [
        ("signing-identities", identity),
        ("signing-identities/requests", {"pass_type_identifier": make.pass_type, "key": "p256"}),
        (
            "provider-keys",
            {"key_id": "KEY0000001", "team_id": TEAM, "p8": new_provider_key()[0].decode()},
        ),
        ("google-accounts", {"issuer_id": make.issuer_id, "service_account": account}),
        ("inbound-secrets", {}),
    ]
    for path, body in calls:
        headers = {"Idempotency-Key": path}
        await office.call("POST", f"{base}/{path}", status=201, json=body, headers=headers)
    issued = await office.call(
        "POST",
        f"{base}/passes",
        status=201,
        json={"program_id": program_id, "holder": {"full_name": "Ada", "email": "a@b.example"}},
    )
    await plant_chunk(office, workspace_id)
    return {"workspace_id": workspace_id, "link": issued["link"], "pass_id": issued["pass_id"]}


async def plant_chunk(office, workspace_id: str) -> None:
    """Jobs have a life of their own: their chunk is put here past their rules."""
    job_id = uuid.uuid4()
    context = secret_contexts.job_chunk(uuid.UUID(workspace_id), job_id, 1)
    sealed = OLD.encrypt(b"rows", context=context)
    connection = await asyncpg.connect(office.harness.admin_url)
    try:
        await connection.execute("SET session_replication_role = replica")
        await connection.execute(
            "INSERT INTO pass_issuer.job_chunk (workspace_id, job_id, first_row, row_count,"
            " content_ciphertext) VALUES ($1, $2, 1, 1, $3)",
            uuid.UUID(workspace_id),
            job_id,
            sealed,
        )
    finally:
        await connection.close()


async def ciphertexts(office):
    """(column, workspace, key, ciphertext) of every secret that is stored."""
    found = []
    for column in SECRET_COLUMNS:
        names = "".join(f", {name}" for name, _ in column.keys)
        rows = await office.rows(
            f"SELECT workspace_id, {column.column} AS sealed{names}"
            f" FROM pass_issuer.{column.table} WHERE {column.column} IS NOT NULL"
        )
        for row in rows:
            key = tuple(row[name] for name, _ in column.keys)
            found.append((column, row["workspace_id"], key, row["sealed"]))
    return found


async def dump(office) -> str:
    tables = await office.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'pass_issuer'")
    texts = []
    for table in tables:
        rows = await office.rows(
            f'SELECT t::text AS line FROM pass_issuer."{table["tablename"]}" t'
        )
        texts += [row["line"] for row in rows]
    return "\n".join(texts)


async def run(office, *, own=BOTH, shared=None, **changes):
    url = office.harness.app_url("pass-issuer")
    async with Database.open(url, service="pass-issuer", clock=office.clock) as database:
        rewrap = build_rewrap(database, own, shared, office.clock)
        return await replace(rewrap, repeated=without_pause(rewrap), **changes)()


def without_pause(command):
    return replace(command.repeated, pause_s=0.01)


async def test_after_a_rotation_every_secret_opens_with_the_new_key_alone(harness, make):
    # proves: J72, A14
    async with make.open_office(harness, cipher=OLD) as office:
        made = await filled(office, make)
        before = await ciphertexts(office)
        assert {column.table for column, *_ in before} == {each.table for each in SECRET_COLUMNS}
        assert OLD.active_head.hex() in await dump(office)
        report = await run(office)
        assert sum(report.rewrapped.values()) == len(before)
        assert not report.unopened
        plain = {
            (column.table, workspace_id, key): OLD.decrypt(
                sealed, context=column.context_of(workspace_id, key)
            )
            for column, workspace_id, key, sealed in before
        }
        for column, workspace_id, key, sealed in await ciphertexts(office):
            context = column.context_of(workspace_id, key)
            opened = NEW.decrypt(sealed, context=context)
            assert opened == plain.pop((column.table, workspace_id, key))
        assert not plain
        assert OLD.active_head.hex() not in await dump(office), "some column was forgotten"
        audited = await office.rows(
            "SELECT actor, target, after FROM pass_issuer.audit_log WHERE action = $1",
            "secrets.rewrapped",
        )
        assert {(row["actor"], row["target"]) for row in audited} == {
            ("command:rewrap-secrets", "new")
        }
        assert not (await run(office)).rewrapped, "what is done is not done twice"
        workspace_id, pass_id = uuid.UUID(made["workspace_id"]), uuid.UUID(made["pass_id"])
        async with office.issuer.workbench.open([workspace_id], actor="test") as work:
            links = await Stores.build(NEW).passes.links(work.transaction, workspace_id, [pass_id])
        assert made["link"].endswith(f"/{links[pass_id].token}"), "as the service reads it"


async def test_every_column_of_ciphertext_is_known_to_the_rotation(office):
    # proves: J72
    rows = await office.rows(
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = 'pass_issuer' AND column_name LIKE '%ciphertext%'"
    )
    stored = {(row["table_name"], row["column_name"]) for row in rows}
    assert stored == {(each.table, each.column) for each in SECRET_COLUMNS}


class Interrupted(Exception):
    pass


class BreaksOff(PostgresSecrets):
    """Dies in the middle of a run, as a process would."""

    def __init__(self, pages: int) -> None:
        self.left = pages

    async def page(self, *arguments, **named):
        if not self.left:
            raise Interrupted
        self.left -= 1
        return await super().page(*arguments, **named)


async def test_a_run_that_broke_off_goes_on_where_it_was(harness, make):
    async with make.open_office(harness, cipher=OLD) as office:
        for _ in range(2):
            await filled(office, make)
        total = len(await ciphertexts(office))
        with pytest.raises(Interrupted):
            await run(office, store=BreaksOff(20))
        mixed = {sealed[2:5] for *_, sealed in await ciphertexts(office)}
        assert mixed == {b"old", b"new"}
        done = sum(sealed[2:5] == b"new" for *_, sealed in await ciphertexts(office))
        report = await run(office)
        assert sum(report.rewrapped.values()) == total - done


async def test_many_rows_are_moved_a_page_at_a_time(harness, make, monkeypatch):
    async with make.open_office(harness, cipher=OLD) as office:
        workspace_id = await office.workspace()
        program_id = await office.program(workspace_id)
        bulk = [{"program_id": program_id, "external_id": f"p-{n}"} for n in range(450)]
        for start in range(0, len(bulk), 100):
            await office.call(
                "POST",
                f"/workspaces/{workspace_id}/passes/bulk",
                status=200,
                json={"passes": bulk[start : start + 100]},
            )
        report = await run(office)
        assert (report.rewrapped["pass"], report.rewrapped["link"]) == (450, 450)


async def test_a_secret_that_nothing_opens_is_counted_and_stops_nobody(harness, make):
    async with make.open_office(harness, cipher=OLD) as office:
        made, other = await filled(office, make), await filled(office, make)
        # Of another row: it opens with the key, but not here.
        await office.rows(
            "UPDATE pass_issuer.signing_identity SET private_key_ciphertext = (SELECT"
            " private_key_ciphertext FROM pass_issuer.signing_identity WHERE workspace_id = $2)"
            " WHERE workspace_id = $1",
            uuid.UUID(made["workspace_id"]),
            uuid.UUID(other["workspace_id"]),
        )
        report = await run(office, shared=BOTH)
        assert report.unopened == {"signing_identity": 1, "workspace.credentials": 1}
        told = [each.workspace_id for each in await office.events(WorkspaceCredentialsChanged)]
        assert str(told[-1]) == other["workspace_id"] or str(told[-2]) == other["workspace_id"]


async def test_credentials_are_sealed_anew_for_the_notifier_when_asked(harness, make):
    # proves: J72
    async with make.open_office(harness, cipher=OLD) as office:
        made = await filled(office, make)
        earlier = len(await office.events(WorkspaceCredentialsChanged))
        await run(office, shared=NEW)
        told = (await office.events(WorkspaceCredentialsChanged))[earlier:]
        [event] = told
        opened = NEW.decrypt(
            base64.b64decode(event.ciphertext),
            context=f"workspace.credentials:{made['workspace_id']}",
        )
        assert json.loads(opened)["google"][0]["issuer_id"] == make.issuer_id


@asynccontextmanager
async def another_session(office):
    """Past row-level security. Who waits in a circle with it is the one that gives way."""
    connection = await asyncpg.connect(office.harness.admin_url)
    try:
        await connection.execute("SET deadlock_timeout = '1h'")
        yield connection
    finally:
        await connection.close()


async def two_passes(office):
    """Their ids, in the order in which they are rewrapped."""
    workspace_id = await office.workspace()
    program_id = await office.program(workspace_id)
    path = f"/workspaces/{workspace_id}/passes"
    issued = [
        await office.call("POST", path, status=201, json={"program_id": program_id})
        for _ in range(2)
    ]
    return sorted(uuid.UUID(each["pass_id"]) for each in issued)


async def test_a_page_that_waits_in_a_circle_with_the_service_is_done_again(harness, make):
    # proves: J72, J93
    touch = "UPDATE pass_issuer.pass SET updated_at = updated_at WHERE pass_id = $1"
    waiting = "SELECT 1 FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))"
    async with make.open_office(harness, cipher=OLD) as office:
        first, second = await two_passes(office)
        total = len(await ciphertexts(office))

        async with another_session(office) as other, asyncio.TaskGroup() as tasks:

            async def somebody_waits():
                return bool(await office.rows(waiting, other.get_server_pid()))

            async with other.transaction():
                await other.execute(touch, second)
                # The run takes the first pass, and waits for the second.
                running = tasks.create_task(run(office))
                await eventually(somebody_waits, what="a wait for the lock")
                await other.execute(touch, first)
            report = await running
        assert sum(report.rewrapped.values()) == total
        assert report.rewrapped["pass"] == 2
        assert not report.unopened
        assert {sealed[2:5] for *_, sealed in await ciphertexts(office)} == {b"new"}


class Contended(PostgresSecrets):
    """Others are in the way of so many pages, after each was written."""

    def __init__(self, times: int, error: Exception) -> None:
        self.left = times
        self.error = error

    async def replace(self, *given):
        await super().replace(*given)
        if given[3] and self.left:
            self.left -= 1
            raise self.error


async def test_what_was_undone_is_counted_once(harness, make):
    # proves: J72
    async with make.open_office(harness, cipher=OLD) as office:
        await filled(office, make)
        total = len(await ciphertexts(office))
        store = Contended(repeated_work.MAX_TRIES - 1, asyncpg.SerializationError("planted"))
        report = await run(office, store=store)
        assert (sum(report.rewrapped.values()), sum(report.unopened.values())) == (total, 0)


@pytest.mark.parametrize(
    ("error", "left"),
    [(asyncpg.DeadlockDetectedError("planted"), 1), (ValueError("planted"), 8)],
)
async def test_who_is_always_in_the_way_ends_the_run_and_another_error_at_once(
    harness, make, error, left
):
    # proves: J72
    async with make.open_office(harness, cipher=OLD) as office:
        await filled(office, make)
        store = Contended(repeated_work.MAX_TRIES + 1, error)
        with pytest.raises(type(error)):
            await run(office, store=store)
        assert store.left == left
        assert not (await run(office)).unopened


class Busy:
    """An announcement that others are in the way of once."""

    def __init__(self, announce):
        self.announce = announce
        self.tries = 0

    async def __call__(self, work, workspace_id):
        self.tries += 1
        await self.announce(work, workspace_id)
        if self.tries == 1:
            raise asyncpg.DeadlockDetectedError("planted")


async def test_credentials_that_others_were_in_the_way_of_are_not_called_unopened(harness, make):
    # proves: J72
    async with make.open_office(harness, cipher=OLD) as office:
        await filled(office, make)
        earlier = len(await office.events(WorkspaceCredentialsChanged))
        url = office.harness.app_url("pass-issuer")
        async with Database.open(url, service="pass-issuer", clock=office.clock) as database:
            rewrap = build_rewrap(database, BOTH, NEW, office.clock)
            busy = Busy(rewrap.announce)
            report = await replace(rewrap, announce=busy, repeated=without_pause(rewrap))()
        assert (busy.tries, dict(report.unopened)) == (2, {})
        assert len(await office.events(WorkspaceCredentialsChanged)) == earlier + 1


async def test_the_command_says_what_it_did(harness, make, tmp_path):
    async with make.open_office(harness, cipher=OLD) as office:
        await filled(office, make)
    for name in ("own", "shared"):
        path = tmp_path / f"{name}.json"
        path.write_text(ring_text("new", "old", "new"))
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
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "passferry_pass_issuer", "rewrap-secrets"],
        env=environment,
        check=False,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.strip().splitlines()[-1])
    assert told["unopened"] == {}
    assert told["rewrapped"]["pass"] == 1
    for key in KEYS.values():
        assert key not in done.stdout + done.stderr
