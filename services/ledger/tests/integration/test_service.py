"""The whole service on real Kafka and Postgres."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from passferry_contracts.events.balances import PassBalanceChanged, PassRedeemed
from passferry_contracts.events.directory import (
    ApiKeyGrant,
    ProgramChanged,
    WorkspaceAccessChanged,
)
from passferry_contracts.events.ledger import (
    AdjustCommand,
    CommandCompleted,
    EarnCommand,
    RedeemCommand,
)
from passferry_contracts.events.passes import PassCreated, PassVoided
from passferry_contracts.registry import (
    DEAD_LETTERS,
    LEDGER_COMMANDS,
    LEDGER_RESULTS,
    PASS_BALANCE_CHANGED,
    PASS_CREATED,
    PASS_REDEEMED,
    PASS_UPDATED,
    PROGRAM_CHANGED,
    WORKSPACE_ACCESS,
    Topic,
)
from passferry_contracts.types import BalanceOwner, PassStatus, Protocol, Role, WorkspaceKind
from passferry_ledger.app import service
from passferry_ledger.settings import LedgerSettings
from passferry_runtime.auth import NewApiKey, new_api_key
from passferry_runtime.kafka.records import OutgoingRecord
from passferry_runtime.lifecycle import Service
from passferry_testing.harness import EventRecorder, Harness, eventually, running

NOW = datetime(2026, 5, 14, 12, tzinfo=UTC)
LETTERS = DEAD_LETTERS["ledger"]
HEARD = (PASS_BALANCE_CHANGED, PASS_REDEEMED, LEDGER_RESULTS, LETTERS)


@pytest.fixture
def topics() -> tuple[Topic, ...]:
    told = (WORKSPACE_ACCESS, PROGRAM_CHANGED, PASS_CREATED, PASS_UPDATED, LEDGER_COMMANDS)
    return (*told, *HEARD)


class Cafe:
    """A workspace with a program, as pass-issuer would tell of it."""

    def __init__(self, harness: Harness, protocol: Protocol = Protocol.MEMBERSHIP) -> None:
        self.harness = harness
        self.workspace_id, self.program_id = uuid4(), uuid4()
        self.protocol = protocol
        self.key: NewApiKey = new_api_key()

    async def exists(self) -> None:
        grant = ApiKeyGrant(
            key_id=self.key.key_id, secret_sha256=self.key.secret_sha256, role=Role.MANAGER
        )
        access = WorkspaceAccessChanged(
            workspace_id=self.workspace_id,
            name="Kaffeefähre",
            kind=WorkspaceKind.ROOT,
            api_keys=[grant],
            revision=1,
            changed_at=NOW,
        )
        await self.harness.publish(WORKSPACE_ACCESS, access)

    async def has_a_program(self) -> None:
        program = ProgramChanged(
            workspace_id=self.workspace_id,
            program_id=self.program_id,
            name="Ten coffees",
            protocol=self.protocol,
            unit="points",
            status="active",
            revision=1,
            changed_at=NOW,
        )
        await self.harness.publish(PROGRAM_CHANGED, program)

    def pass_created(self, **changes: Any) -> PassCreated:
        fields = {
            "workspace_id": self.workspace_id,
            "pass_id": uuid4(),
            "program_id": self.program_id,
            "protocol": self.protocol,
            "template_id": uuid4(),
            "template_version": 1,
            "holder_id": uuid4(),
            "external_id": f"card-{uuid4()}",
            "code": "4711",
            "balance_owner": BalanceOwner.PASSFERRY,
            "unit": "points",
            "opening_balance_minor": 20,
            "revision": 1,
            "created_at": NOW,
        }
        return PassCreated.model_validate(fields | changes)

    def command(self, kind: type, created: PassCreated, amount: int, **changes: Any) -> Any:
        fields = {
            "workspace_id": self.workspace_id,
            "pass_id": created.pass_id,
            "idempotency_key": str(uuid4()),
            "amount_minor": amount,
        }
        return kind.model_validate(fields | changes)

    def voided(self, created: PassCreated) -> PassVoided:
        return PassVoided(
            workspace_id=self.workspace_id,
            pass_id=created.pass_id,
            external_id=created.external_id,
            program_id=self.program_id,
            revision=2,
            status=PassStatus.VOIDED,
            reason="exhausted",
            changed_at=NOW,
        )


@asynccontextmanager
async def ledger(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Service, EventRecorder]]:
    await harness.migrate("ledger", "passferry_ledger.migrations")
    for name, value in harness.environment("ledger").items():
        if name != "PASSFERRY_REDIS_URL":
            monkeypatch.setenv(name, value)
    async with (
        service(LedgerSettings()) as built,
        running(built),
        harness.recording(*HEARD) as heard,
    ):
        yield built, heard


async def test_a_day_at_the_till_by_kafka(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    # proves: P11, A18
    cafe = Cafe(harness, Protocol.COUPON)
    async with ledger(harness, monkeypatch) as (_, heard):
        await cafe.exists()
        await cafe.has_a_program()
        created = cafe.pass_created()
        await harness.publish(PASS_CREATED, created, created)
        await heard.expect(PassBalanceChanged)
        spend = cafe.command(RedeemCommand, created, 15, merchant_name="Tresen")
        await harness.publish(
            LEDGER_COMMANDS,
            cafe.command(EarnCommand, created, 10),
            spend,
            spend,
            cafe.command(RedeemCommand, created, 16),
            cafe.command(AdjustCommand, created, -5, reason="spilled"),
            cafe.command(RedeemCommand, created, 10),
        )
        results = await heard.expect(CommandCompleted, 6)
        assert [(each.outcome, each.code, each.replayed) for each in results] == [
            ("applied", None, False),
            ("applied", None, False),
            ("applied", None, True),
            ("refused", "insufficient_balance", False),
            ("applied", None, False),
            ("applied", None, False),
        ]
        changes = await heard.expect(PassBalanceChanged, 5)
        assert [(each.version, each.reason, each.new_balance_minor) for each in changes] == [
            (1, "opening", 20),
            (2, "earn", 30),
            (3, "redeem", 15),
            (4, "spilled", 10),
            (5, "redeem", 0),
        ]
        redeemed = await heard.expect(PassRedeemed, 2)
        assert [(each.version, each.exhausted) for each in redeemed] == [(3, False), (5, True)]
        await harness.publish(PASS_UPDATED, cafe.voided(created))
        await eventually(lambda: is_closed(harness, created.pass_id))
        await harness.publish(LEDGER_COMMANDS, cafe.command(EarnCommand, created, 1))
        results = await heard.expect(CommandCompleted, 7)
        assert (results[-1].outcome, results[-1].code) == ("refused", "account_closed")


async def is_closed(harness: Harness, pass_id: UUID) -> bool:
    connection = await asyncpg.connect(harness.admin_url)
    try:
        status = await connection.fetchval(
            "SELECT status FROM ledger.account WHERE pass_id = $1", pass_id
        )
    finally:
        await connection.close()
    return bool(status == "closed")


async def test_what_comes_before_its_pass_waits_and_is_then_handled_in_order(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    # proves: A26
    cafe = Cafe(harness)
    async with ledger(harness, monkeypatch) as (_, heard):
        created = cafe.pass_created()
        await harness.publish(
            LEDGER_COMMANDS,
            cafe.command(EarnCommand, created, 10),
            cafe.command(RedeemCommand, created, 30),
        )
        await asyncio.sleep(0.5)
        await harness.publish(PASS_CREATED, created)
        await asyncio.sleep(0.5)
        await cafe.exists()
        await cafe.has_a_program()
        results = await heard.expect(CommandCompleted, 2, timeout_s=25)
        assert [(each.outcome, each.balance_minor) for each in results] == [
            ("applied", 30),
            ("applied", 0),
        ]


async def test_a_pass_voided_before_the_ledger_knew_it_is_closed_in_the_end(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    # proves: A26
    cafe = Cafe(harness)
    async with ledger(harness, monkeypatch) as (_, heard):
        await cafe.exists()
        await cafe.has_a_program()
        created = cafe.pass_created()
        await harness.publish(PASS_UPDATED, cafe.voided(created))
        await asyncio.sleep(0.5)
        await harness.publish(PASS_CREATED, created)
        await eventually(lambda: is_closed(harness, created.pass_id), timeout_s=25)
        await heard.expect(PassBalanceChanged)


async def test_what_can_never_be_handled_is_dead_lettered_and_holds_up_nothing(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    cafe = Cafe(harness)
    async with ledger(harness, monkeypatch) as (_, heard):
        await cafe.exists()
        await cafe.has_a_program()
        created = cafe.pass_created()
        twin = cafe.pass_created(external_id=created.external_id)
        await harness.publish(PASS_CREATED, created)
        await heard.expect(PassBalanceChanged)
        await harness.publish(PASS_CREATED, twin)
        headers = (("ce_id", b"1"), ("ce_source", b"/x"), ("ce_type", b"ledger.earn"))
        body = {"workspace_id": str(cafe.workspace_id), "pass_id": str(created.pass_id)}
        key = str(created.pass_id).encode()
        for value in (b"{", json.dumps(body | {"amount_minor": 1.5}).encode()):
            await harness.send(OutgoingRecord(LEDGER_COMMANDS.name, key, value, headers))
        await harness.publish(LEDGER_COMMANDS, cafe.command(EarnCommand, created, 1))
        (result,) = await heard.expect(CommandCompleted)
        assert result.balance_minor == 21

        def reasons() -> list[bytes | None]:
            letters = [each for each in heard.records if each.topic == LETTERS.name]
            return sorted(each.header("kafka_dlt-exception-fqcn") or b"" for each in letters)

        await eventually(lambda: len(reasons()) == 3)
        codes = [each.decode() for each in reasons() if each]
        assert any("external_id_taken" in code for code in codes), codes


async def test_as_a_process_it_migrates_serves_drains_and_verifies(
    harness: Harness, tmp_path: Path
) -> None:
    cafe = Cafe(harness)
    instance = tmp_path / "instance.json"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PASSFERRY_")},
        **harness.environment("ledger"),
        "PASSFERRY_INSTANCE_FILE": str(instance),
    }
    command = [sys.executable, "-m", "passferry_ledger"]
    migrating = environment | {"PASSFERRY_POSTGRES_ADMIN_URL": harness.admin_url}
    await harness.make_empty_database()
    assert await run([*command, "migrate"], migrating) == 0
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=subprocess.DEVNULL
    )
    try:
        await eventually(instance.exists, timeout_s=20)
        port = json.loads(instance.read_text())["http_port"]
        await cafe.exists()
        await cafe.has_a_program()
        created = cafe.pass_created()
        await harness.publish(PASS_CREATED, created)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            balance = await first_balance(client, cafe, created)
            ready = await client.get("/healthz/ready")
            metrics = await client.get("/metrics")
        assert balance == 25
        assert ready.status_code == 200
        assert 'passferry_ledger_commands_total{kind="earn",result="applied"} 1.0' in metrics.text
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 25) == 0
        assert await run([*command, "verify"], environment) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def first_balance(client: httpx.AsyncClient, cafe: Cafe, created: PassCreated) -> int:
    """Earn 5, asking again with the same key until workspace and pass are known."""
    path = f"/api/v1/workspaces/{cafe.workspace_id}/passes/{created.pass_id}/earn"
    headers = {"Authorization": f"Bearer {cafe.key.presented}", "Idempotency-Key": "first"}
    async with asyncio.timeout(25):
        while True:
            answer = await client.post(path, headers=headers, json={"amount_minor": 5})
            if answer.status_code == 200:
                return int(answer.json()["balance_minor"])
            assert answer.status_code in {401, 404}, answer.text
            await asyncio.sleep(0.1)


async def run(command: list[str], environment: dict[str, str]) -> int:
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=subprocess.DEVNULL
    )
    return await asyncio.wait_for(process.wait(), 30)
