"""A ledger with its accounts, ready to be measured: databases, topics, and the service itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import httpx

from bench.ledger_loads import OPENING_MINOR, pass_id_of
from passferry_contracts.events.directory import ApiKeyGrant, WorkspaceAccessChanged
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
from passferry_contracts.types import Role, WorkspaceKind
from passferry_demo.supervised import Supervised
from passferry_devstack import Backends
from passferry_ledger.adapters.postgres_accounts import PostgresAccounts
from passferry_ledger.adapters.postgres_verifier import PostgresVerifier
from passferry_ledger.application.ports import Opening
from passferry_ledger.domain.accounts import NewAccount, Program
from passferry_ledger.domain.verification import Finding
from passferry_runtime.auth import NewApiKey, new_api_key
from passferry_runtime.clock import SystemClock
from passferry_runtime.postgres import Database
from passferry_testing.harness import Harness

TOPICS = (
    WORKSPACE_ACCESS,
    PROGRAM_CHANGED,
    PASS_CREATED,
    PASS_UPDATED,
    PASS_BALANCE_CHANGED,
    PASS_REDEEMED,
    LEDGER_COMMANDS,
    LEDGER_RESULTS,
    DEAD_LETTERS["ledger"],
)
ACCOUNTS_AT_ONCE = 500
READY_TIMEOUT_S = 60.0
OUTBOX_TIMEOUT_S = 120.0


@dataclass(slots=True)
class Installation:
    """A ledger of one workspace whose passes are numbered from 0; see `pass_id_of`."""

    harness: Harness
    workspace_id: UUID
    accounts: int

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, backends: Backends, directory: Path, *, accounts: int, with_topics: bool
    ) -> AsyncIterator[Installation]:
        topics = TOPICS if with_topics else ()
        async with Harness.open(backends, directory, topics=topics) as harness:
            await harness.migrate("ledger", "passferry_ledger.migrations")
            installation = cls(harness, uuid4(), accounts)
            await installation._open_accounts()
            await installation.administrate("ANALYZE")
            yield installation

    @property
    def app_url(self) -> str:
        return self.harness.app_url("ledger")

    async def _open_accounts(self) -> None:
        program = _program(self.workspace_id)
        async with Database.open(self.app_url, service="ledger", max_size=2) as database:
            store = PostgresAccounts(database, SystemClock())
            await store.store_programs([program])
            for start in range(0, self.accounts, ACCOUNTS_AT_ONCE):
                numbers = range(start, min(start + ACCOUNTS_AT_ONCE, self.accounts))
                opened = await store.open_accounts([_account(program, each) for each in numbers])
                if set(opened) != {Opening.OPENED}:
                    raise AssertionError(f"accounts were not opened: {set(opened)}")

    async def administrate(self, statements: str) -> None:
        connection = await asyncpg.connect(self.harness.admin_url)
        try:
            await connection.execute(statements)
        finally:
            await connection.close()

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.harness.admin_url)
        try:
            return list(await connection.fetch(query, *arguments))
        finally:
            await connection.close()

    async def counters(self, query: str) -> dict[str, int]:
        """Counter-accounts by kind; `query` gives both of the workspace $1."""
        rows = await self.fetch(query, self.workspace_id)
        return {row["kind"]: row["account_id"] for row in rows}

    async def findings(self) -> list[Finding]:
        """What the replay of everything from zero finds wrong."""
        async with Database.open(self.app_url, service="ledger", max_size=1) as database:
            return await PostgresVerifier(database).findings(self.workspace_id)


def _program(workspace_id: UUID) -> Program:
    return Program(
        workspace_id=workspace_id,
        program_id=uuid4(),
        protocol="MEMBERSHIP",
        unit="points",
        unit_scale=0,
        floor_minor=0,
        max_entry_minor=None,
        max_balance_minor=None,
        max_per_day_minor=None,
        rules={},
        thresholds=[],
        status="active",
        revision=1,
        changed_at=datetime.now(UTC),
    )


def _account(program: Program, number: int) -> NewAccount:
    return NewAccount(
        workspace_id=program.workspace_id,
        pass_id=pass_id_of(number),
        external_id=f"B-{number:06d}",
        program_id=program.program_id,
        unit=program.unit,
        unit_scale=program.unit_scale,
        is_kept_upstream=False,
        opening_balance_minor=OPENING_MINOR,
        opened_at=program.changed_at,
    )


@dataclass(slots=True)
class RunningService:
    """The ledger as a process of its own, relay included."""

    installation: Installation
    process: Supervised
    url: str
    api_key: str

    @classmethod
    @contextlib.asynccontextmanager
    async def start(cls, installation: Installation) -> AsyncIterator[RunningService]:
        key, harness = new_api_key(), installation.harness
        await harness.publish(WORKSPACE_ACCESS, _access(installation.workspace_id, key))
        instance = harness.directory / "ledger.json"
        instance.unlink(missing_ok=True)
        environment = harness.environment("ledger") | {"PASSFERRY_INSTANCE_FILE": str(instance)}
        process = Supervised(
            "ledger",
            [sys.executable, "-m", "passferry_ledger", "serve"],
            environment,
            harness.directory / "ledger.log",
        )
        process.start()
        try:
            url = await asyncio.to_thread(_address, process, instance)
            service = cls(installation, process, url, key.presented)
            await service._until_ready()
            yield service
        finally:
            process.stop()

    async def _until_ready(self) -> None:
        """Ready, and it knows the workspace: readiness does not wait for a record that was sent
        a moment ago."""
        balances = f"{self.url}/api/v1/workspaces/{self.installation.workspace_id}/balances"
        headers = {"Authorization": f"Bearer {self.api_key}"}
        async with asyncio.timeout(READY_TIMEOUT_S), httpx.AsyncClient(trust_env=False) as http:
            for url in (f"{self.url}/healthz/ready", f"{balances}?limit=1"):
                while not await _answers(http, url, headers):
                    self.process.check()
                    await asyncio.sleep(0.05)

    async def unsent(self) -> int:
        rows = await self.installation.fetch("SELECT count(*) AS events FROM ledger.outbox")
        return int(rows[0]["events"])

    async def settle(self) -> int:
        """Wait until the outbox is empty; says how many events were in it."""
        first = await self.unsent()
        async with asyncio.timeout(OUTBOX_TIMEOUT_S):
            while await self.unsent():  # noqa: ASYNC110  # another process empties it
                await asyncio.sleep(0.1)
        return first


def _address(process: Supervised, instance: Path) -> str:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not instance.exists():
        process.check()
        if time.monotonic() > deadline:
            raise TimeoutError(f"the ledger does not listen\n{process.log_end()}")
        time.sleep(0.05)
    return f"http://127.0.0.1:{json.loads(instance.read_text())['http_port']}"


async def _answers(http: httpx.AsyncClient, url: str, headers: dict[str, str]) -> bool:
    try:
        return (await http.get(url, headers=headers)).is_success
    except httpx.HTTPError:
        return False


def _access(workspace_id: UUID, key: NewApiKey) -> WorkspaceAccessChanged:
    now = datetime.now(UTC)
    grant = ApiKeyGrant(key_id=key.key_id, secret_sha256=key.secret_sha256, role=Role.MANAGER)
    return WorkspaceAccessChanged(
        workspace_id=workspace_id,
        name="Bench",
        kind=WorkspaceKind.ROOT,
        api_keys=[grant],
        # Each start of the service has a key of its own.
        revision=int(now.timestamp() * 1000),
        changed_at=now,
    )
