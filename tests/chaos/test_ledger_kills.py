"""The ledger and its Postgres are killed in the middle of load: nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
import pytest_asyncio

from passferry_contracts.events.balances import PassBalanceChanged
from passferry_contracts.events.directory import (
    ApiKeyGrant,
    ProgramChanged,
    WorkspaceAccessChanged,
)
from passferry_contracts.events.passes import PassCreated
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
)
from passferry_contracts.types import BalanceOwner, Protocol, Role, WorkspaceKind
from passferry_demo.supervised import Supervised
from passferry_devstack import Backends, DevStack
from passferry_devstack.backends import KAFKA_VARIABLE, REDIS_VARIABLE
from passferry_devstack.ports import free_port
from passferry_runtime.auth import new_api_key
from passferry_testing.harness import Harness, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

NOW = datetime(2026, 5, 14, 12, tzinfo=UTC)
CALLERS = 24
PASSES = 12
OPENING = 500
LOAD_S = 2.0
AWAY_S = 0.5
READY_TIMEOUT_S = 45.0
#: From the first kill until every command has its answer and everything is proven.
ALL_RESOLVED_WITHIN_S = 90.0
TOPICS = (
    *(WORKSPACE_ACCESS, PROGRAM_CHANGED, PASS_CREATED, PASS_UPDATED, LEDGER_COMMANDS),
    *(LEDGER_RESULTS, PASS_BALANCE_CHANGED, PASS_REDEEMED, DEAD_LETTERS["ledger"]),
)
#: What a call may fail with when nobody can say what became of it.
CUT_OFF = (httpx.TransportError, TimeoutError)

APPLIED_KEYS = """
SELECT result.idempotency_key, count(entry.entry_id) AS entries
FROM ledger.idempotency_result AS result
LEFT JOIN ledger.entry ON entry.entry_id = result.entry_id
WHERE result.workspace_id = $1 AND result.code = 'applied'
GROUP BY result.idempotency_key
"""
ENTRIES = "SELECT count(*) FROM ledger.entry WHERE workspace_id = $1 AND kind <> 'opening'"
BALANCES = """
SELECT pass_id, balance_minor FROM ledger.account WHERE workspace_id = $1 AND kind = 'pass'
"""


@dataclass(frozen=True)
class Order:
    """A command with its key, which is kept before it is sent."""

    key: str
    pass_id: UUID
    action: str
    body: dict[str, Any]


@dataclass
class Shop:
    """Sends orders, and keeps what it was told."""

    harness: Harness
    url: str
    workspace_id: UUID = field(default_factory=uuid4)
    passes: list[UUID] = field(default_factory=lambda: [uuid4() for _ in range(PASSES)])
    key: Any = field(default_factory=new_api_key)
    kept: dict[str, Order] = field(default_factory=dict)
    answers: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    is_open: bool = True
    gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CALLERS))

    async def send(self, client: httpx.AsyncClient, order: Order) -> httpx.Response | None:
        """None: it cannot be said what became of it."""
        path = f"/api/v1/workspaces/{self.workspace_id}/passes/{order.pass_id}/{order.action}"
        headers = {
            "Authorization": f"Bearer {self.key.presented}",
            "Idempotency-Key": order.key,
        }
        try:
            answer = await client.post(self.url + path, json=order.body, headers=headers)
        except CUT_OFF:
            return None
        is_about_now = answer.status_code >= 500 or answer.status_code in (401, 404, 429)
        if is_about_now or answer.json().get("code") == "command_in_flight":
            return None
        assert answer.status_code in (200, 409, 422), answer.text
        return answer

    async def trade(self, client: httpx.AsyncClient, chance: random.Random) -> None:
        """One caller: one order after the other, as long as the shop is open."""
        while self.is_open:
            order = self._next(chance)
            self.kept[order.key] = order
            answer = await self.send(client, order)
            if answer is None:
                await asyncio.sleep(AWAY_S)
                continue
            self.answers[order.key] = (answer.status_code, answer.json())

    def _next(self, chance: random.Random) -> Order:
        giver, receiver = chance.sample(self.passes, 2)
        action = chance.choice(["earn", "redeem", "redeem", "transfer", "hold"])
        body: dict[str, Any] = {"amount_minor": chance.randrange(1, 60)}
        if action == "transfer":
            body["to_pass_id"] = str(receiver)
        return Order(str(uuid4()), giver, action, body)

    async def ask_again(self, client: httpx.AsyncClient, order: Order) -> httpx.Response:
        async with self.gate, asyncio.timeout(READY_TIMEOUT_S):
            while True:
                answer = await self.send(client, order)
                if answer is not None:
                    return answer
                await asyncio.sleep(0.1)

    async def open(self) -> None:
        """What pass-issuer would tell."""
        grant = ApiKeyGrant(
            key_id=self.key.key_id, secret_sha256=self.key.secret_sha256, role=Role.MANAGER
        )
        program_id = uuid4()
        access = WorkspaceAccessChanged(
            workspace_id=self.workspace_id,
            name="Kaffeefähre",
            kind=WorkspaceKind.ROOT,
            api_keys=[grant],
            revision=1,
            changed_at=NOW,
        )
        program = ProgramChanged(
            workspace_id=self.workspace_id,
            program_id=program_id,
            name="Points",
            protocol=Protocol.MEMBERSHIP,
            unit="points",
            rules={"expiry": {"kind": "after_days", "days": 365}},
            status="active",
            revision=1,
            changed_at=NOW,
        )
        await self.harness.publish(WORKSPACE_ACCESS, access)
        await self.harness.publish(PROGRAM_CHANGED, program)
        passes = [self._pass_created(program_id, pass_id) for pass_id in self.passes]
        await self.harness.publish(PASS_CREATED, *passes)

    def _pass_created(self, program_id: UUID, pass_id: UUID) -> PassCreated:
        return PassCreated(
            workspace_id=self.workspace_id,
            pass_id=pass_id,
            program_id=program_id,
            protocol=Protocol.MEMBERSHIP,
            template_id=uuid4(),
            template_version=1,
            holder_id=uuid4(),
            external_id=f"card-{pass_id}",
            code=f"code-{pass_id}",
            balance_owner=BalanceOwner.PASSFERRY,
            unit="points",
            opening_balance_minor=OPENING,
            revision=1,
            created_at=NOW,
        )


def quiet(_: str) -> None:
    """Progress is for people."""


@dataclass(frozen=True)
class OwnPostgres:
    stack: DevStack
    addresses: Backends


@pytest.fixture
def own_postgres(backends: Backends, monkeypatch: pytest.MonkeyPatch) -> Iterator[OwnPostgres]:
    """A Postgres that may be killed, with fsync on; Kafka is the one that all tests share."""
    with monkeypatch.context() as shared:
        shared.setenv(KAFKA_VARIABLE, backends.kafka_brokers)
        shared.setenv(REDIS_VARIABLE, backends.redis_url)
        shared.setenv("PASSFERRY_DEVSTACK", "native")
        stack = DevStack(durable=True, announce=quiet)
        addresses = stack.start()
    try:
        yield OwnPostgres(stack, addresses)
    finally:
        stack.stop()


@pytest_asyncio.fixture
async def harness(own_postgres: OwnPostgres, tmp_path: Path) -> AsyncIterator[Harness]:
    async with Harness.open(own_postgres.addresses, tmp_path, topics=TOPICS) as opened:
        await opened.migrate("ledger", "passferry_ledger.migrations")
        yield opened


@pytest.fixture
def ledger(harness: Harness, tmp_path: Path) -> Iterator[Supervised]:
    port = free_port(taken=set())
    process = Supervised(
        "ledger",
        [sys.executable, "-m", "passferry_ledger", "serve"],
        harness.environment("ledger")
        | {
            "PASSFERRY_HTTP_PORT": str(port),
            # A member that comes back under its name takes its partitions at once.
            "PASSFERRY_KAFKA_GROUP_INSTANCE_ID": "ledger-0",
        },
        tmp_path / "ledger.log",
    )
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.stop()


async def until_ready(client: httpx.AsyncClient, url: str, process: Supervised) -> None:
    async def is_ready() -> bool:
        assert process.is_running, process.log_path.read_text()[-2_000:]
        with contextlib.suppress(*CUT_OFF):
            return (await client.get(f"{url}/healthz/ready")).status_code == 200
        return False

    await eventually(is_ready, timeout_s=READY_TIMEOUT_S, what="the ledger's readiness")


async def kill_ledger(ledger: Supervised) -> None:
    """As a machine that vanishes."""
    await asyncio.to_thread(ledger.kill)
    await asyncio.sleep(AWAY_S)
    await asyncio.to_thread(ledger.start)


async def kill_postgres(stack: DevStack) -> None:
    """As `pg_ctl stop -m immediate`: what was not written to the log is gone."""
    postgres = stack.postgres
    assert postgres is not None
    # The devstack ends a disposable server by SIGQUIT, which is what pg_ctl would send.
    await asyncio.to_thread(postgres.terminate)
    await asyncio.sleep(AWAY_S)
    await asyncio.to_thread(postgres.start)
    await asyncio.to_thread(postgres.wait_ready, READY_TIMEOUT_S)


async def test_killed_in_the_middle_of_load_the_ledger_still_adds_up(
    own_postgres: OwnPostgres, harness: Harness, ledger: Supervised
) -> None:
    # proves: P11
    url = f"http://127.0.0.1:{ledger.environment['PASSFERRY_HTTP_PORT']}"
    shop = Shop(harness, url)
    limits = httpx.Limits(max_connections=CALLERS + 4)
    async with (
        httpx.AsyncClient(timeout=5, limits=limits, trust_env=False) as client,
        harness.recording(PASS_BALANCE_CHANGED) as heard,
    ):
        await until_ready(client, url, ledger)
        await shop.open()
        first = Order("first", shop.passes[0], "earn", {"amount_minor": 1})
        shop.kept["first"] = first
        await shop.ask_again(client, first)
        await heard.expect(PassBalanceChanged, PASSES + 1, timeout_s=30)
        began = time.monotonic()
        await load_and_kill(client, shop, own_postgres.stack, ledger)
        await until_ready(client, url, ledger)
        ambiguous = await resolve(client, shop)
        await check_replays(client, shop)
        await check_storage(harness, shop)
        assert await verify(harness) == 0
        assert time.monotonic() - began < ALL_RESOLVED_WITHIN_S
        assert ambiguous > 0, "the kills came when nobody was waiting"
        await check_events(heard, harness, shop)


async def load_and_kill(
    client: httpx.AsyncClient, shop: Shop, stack: DevStack, ledger: Supervised
) -> None:
    async with asyncio.TaskGroup() as callers:
        for seed in range(CALLERS):
            callers.create_task(shop.trade(client, random.Random(seed)))
        for kill in (partial(kill_ledger, ledger), partial(kill_postgres, stack)) * 2:
            await asyncio.sleep(LOAD_S)
            await kill()
            answered = len(shop.answers)
            # It has come back when orders are answered again.
            await eventually(
                lambda answered=answered: len(shop.answers) > answered + CALLERS,
                timeout_s=READY_TIMEOUT_S,
                what="answers after a kill",
            )
        shop.is_open = False


async def resolve(client: httpx.AsyncClient, shop: Shop) -> int:
    """Ask again for all that got no answer; returns how many there were."""
    unknown = [order for key, order in shop.kept.items() if key not in shop.answers]

    async def ask(order: Order) -> None:
        answer = await shop.ask_again(client, order)
        shop.answers[order.key] = (answer.status_code, answer.json())

    await asyncio.gather(*(ask(order) for order in unknown))
    return len(unknown)


async def check_replays(client: httpx.AsyncClient, shop: Shop) -> None:
    """Every answer is remembered, word for word, refusals included."""

    async def check(order: Order) -> None:
        answer = await shop.ask_again(client, order)
        assert answer.headers["Idempotency-Replayed"] == "true", order
        assert (answer.status_code, answer.json()) == shop.answers[order.key], order

    await asyncio.gather(*(check(order) for order in shop.kept.values()))


def changes_by_pass(shop: Shop) -> dict[UUID, int]:
    """What the answers say, added up."""
    changes = dict.fromkeys(shop.passes, OPENING)
    for key, (status, body) in shop.answers.items():
        if status != 200:
            continue
        order = shop.kept[key]
        changes[order.pass_id] += body["change_minor"]
        if order.action == "transfer":
            changes[UUID(order.body["to_pass_id"])] -= body["change_minor"]
    return changes


async def check_storage(harness: Harness, shop: Shop) -> None:
    connection = await asyncpg.connect(harness.admin_url)
    try:
        keys = await connection.fetch(APPLIED_KEYS, shop.workspace_id)
        entries = await connection.fetchval(ENTRIES, shop.workspace_id)
        balances = await connection.fetch(BALANCES, shop.workspace_id)
    finally:
        await connection.close()
    applied = {key for key, (status, _) in shop.answers.items() if status == 200}
    assert {row["idempotency_key"] for row in keys} == applied
    assert {row["entries"] for row in keys} == {1}
    assert entries == len(applied)
    assert {row["pass_id"]: row["balance_minor"] for row in balances} == changes_by_pass(shop)


async def check_events(heard: Any, harness: Harness, shop: Shop) -> None:
    """Every version of every pass was told, first appearances in order."""

    def versions() -> dict[UUID, list[int]]:
        told: dict[UUID, list[int]] = {}
        for event in heard.payloads(PassBalanceChanged):
            told.setdefault(event.pass_id, []).append(event.version)
        return {pass_id: list(dict.fromkeys(seen)) for pass_id, seen in told.items()}

    legs = sum(
        2 if shop.kept[key].action == "transfer" else 1
        for key, (status, _) in shop.answers.items()
        if status == 200
    )
    await eventually(
        lambda: sum(map(len, versions().values())) == legs + PASSES,
        timeout_s=READY_TIMEOUT_S,
        what="an event for every change",
    )
    for seen in versions().values():
        assert seen == list(range(1, len(seen) + 1))


async def verify(harness: Harness) -> int:
    """The service's own command; 0 when it finds nothing."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PASSFERRY_")},
        **harness.environment("ledger"),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "passferry_ledger", "verify"),
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    return await asyncio.wait_for(process.wait(), 60)
