"""The HTTP API over a real ledger, with a key for each role."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest_asyncio

from passferry_contracts.events.directory import ApiKeyGrant, WorkspaceAccessChanged
from passferry_contracts.types import Role, WorkspaceKind
from passferry_ledger.app import READ_ROUTERS, read_side
from passferry_ledger.application.apply_commands import ApplyCommands
from passferry_ledger.application.batch_commands import BatchCommands
from passferry_ledger.application.direct_commands import DirectCommands
from passferry_ledger.application.keys_in_flight import KeysInFlight
from passferry_ledger.application.read_balances import ReadBalances
from passferry_ledger.application.scan_pass import ScanPass
from passferry_ledger.domain.accounts import NewAccount
from passferry_ledger.entrypoints import http_bulk, http_commands, http_scans
from passferry_ledger.entrypoints.bulk_bodies import MAX_BODY_BYTES
from passferry_ledger.entrypoints.command_shortcuts import command_shortcuts
from passferry_runtime.auth import AccessDirectory, Authenticator, new_api_key
from passferry_runtime.http import create_app

NOW = datetime(2026, 5, 14, 12, tzinfo=UTC)
WRITTEN = (
    "entry",
    "posting",
    "idempotency_result",
    "hold",
    "lot",
    "lot_movement",
    "outbox",
)


@dataclass
class Api:
    """A client with a key for each role, in as many workspaces as there are."""

    client: httpx.AsyncClient
    directory: AccessDirectory
    real: Any
    make: Any
    keys: dict[tuple[UUID, Role], str] = field(default_factory=dict)

    def add_workspace(
        self, workspace_id: UUID, *, suspended: bool = False, revision: int = 1
    ) -> None:
        grants = []
        for role in (Role.VIEWER, Role.MEMBER, Role.MANAGER):
            key = new_api_key()
            self.keys[(workspace_id, role)] = key.presented
            grants.append(
                ApiKeyGrant(key_id=key.key_id, secret_sha256=key.secret_sha256, role=role)
            )
        self.directory.apply(
            WorkspaceAccessChanged(
                workspace_id=workspace_id,
                name="Kaffeefähre",
                kind=WorkspaceKind.ROOT,
                suspended=suspended,
                api_keys=grants,
                revision=revision,
                changed_at=NOW,
            )
        )

    async def open_one(self, program: Any = None, **changes: Any) -> NewAccount:
        known = program or self.make.program(uuid4())
        if not self.directory.is_known(known.workspace_id):
            self.add_workspace(known.workspace_id)
        account: NewAccount = await self.real.open_one(known, **changes)
        return account

    async def post(
        self,
        workspace_id: UUID,
        path: str,
        body: Any,
        *,
        key: str | None = "k1",
        role: Role = Role.MANAGER,
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> httpx.Response:
        """Bytes go as they are, anything else as JSON."""
        sent = {"Authorization": f"Bearer {self.keys[(workspace_id, role)]}"}
        if key is not None:
            sent["Idempotency-Key"] = key
        if isinstance(body, bytes):
            options["content"] = body
            sent["Content-Type"] = "application/json"
        else:
            options["json"] = body
        return await self.client.post(
            f"/api/v1/workspaces/{workspace_id}{path}", headers=sent | (headers or {}), **options
        )

    async def send(
        self,
        account: NewAccount,
        action: str,
        body: Any,
        *,
        pass_ref: str | None = None,
        **options: Any,
    ) -> httpx.Response:
        path = f"/passes/{pass_ref or account.pass_id}/{action}"
        return await self.post(account.workspace_id, path, body, **options)

    async def bulk(self, workspace_id: UUID, *commands: Any, **options: Any) -> httpx.Response:
        body = {"commands": list(commands), "atomic": options.pop("atomic", False)}
        return await self.post(workspace_id, "/commands/bulk", body, key=None, **options)

    async def read(
        self, workspace_id: UUID, path: str, *, key_of: UUID | None = None
    ) -> httpx.Response:
        presented = self.keys[(key_of or workspace_id, Role.VIEWER)]
        return await self.client.get(
            f"/api/v1/workspaces/{workspace_id}{path}", headers={"X-Api-Key": presented}
        )

    async def rows(self) -> dict[str, int]:
        """How many rows each table has that commands write to, and what accounts say of
        themselves: all of it unchanged means that nothing was written."""
        connection = await asyncpg.connect(self.real.harness.admin_url)
        try:
            counted = {
                table: await connection.fetchval(f"SELECT count(*) FROM ledger.{table}")
                for table in WRITTEN
            }
            counted["versions"] = await connection.fetchval(
                "SELECT coalesce(sum(version), 0)::bigint FROM ledger.account"
            )
            return counted
        finally:
            await connection.close()


@pytest_asyncio.fixture
async def api(real: Any, make: Any) -> AsyncIterator[Api]:
    directory = AccessDirectory()
    apply = ApplyCommands(ledger=real.commands, workspaces=directory, max_batch=128)
    in_flight = KeysInFlight()
    batch = BatchCommands(apply, in_flight=in_flight)
    direct = DirectCommands(apply, in_flight=in_flight)
    reads = ReadBalances(reader=real.reads)
    app = create_app(
        title="ledger",
        version="0",
        auth=Authenticator(directory),
        state={
            "submit_command": batch,
            "direct_commands": direct,
            "scan_pass": ScanPass(read_balances=reads, direct=direct),
            **read_side(real.database, real.clock, reads),
        },
        routers=[http_commands.router, http_scans.router, http_bulk.router, *READ_ROUTERS],
        max_body_bytes=MAX_BODY_BYTES,
        shortcuts=command_shortcuts(),
    )
    working = asyncio.create_task(batch.run())
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://ledger") as client:
        yield Api(client, directory, real, make)
    batch.stop()
    await asyncio.wait_for(working, 5)
