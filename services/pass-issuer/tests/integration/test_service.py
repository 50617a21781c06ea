"""The whole service on real Kafka and Postgres: events in, revisions out."""

from __future__ import annotations

import base64
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from passferry_contracts.envelope import Envelope, encode_headers, encode_value
from passferry_contracts.events.balances import PassBalanceChanged
from passferry_contracts.events.inbound import InboundBalanceChanged, InboundPassCreated
from passferry_contracts.events.passes import PassCreated
from passferry_contracts.events.rendered import PassRendered
from passferry_contracts.events.wallet import PassLinkOpened
from passferry_contracts.registry import (
    DEAD_LETTERS,
    DELIVERY_COMPLETED,
    ENROLMENT_REQUESTED,
    LEDGER_RESULTS,
    LINK_CHANGED,
    MESSAGE_REQUESTED,
    PASS_BALANCE_CHANGED,
    PASS_CREATED,
    PASS_INBOUND,
    PASS_REDEEMED,
    PASS_RENDERED,
    PASS_UPDATED,
    PROGRAM_CHANGED,
    TEMPLATE_ASSETS,
    TEMPLATE_PUBLISHED,
    WALLET_ACTIVITY,
    WORKSPACE_ACCESS,
    WORKSPACE_CREDENTIALS,
)
from passferry_contracts.types import Platform
from passferry_pass_issuer.app import service
from passferry_pass_issuer.app.commands import _create_administrator
from passferry_runtime.crypto import KeyRing
from passferry_runtime.kafka.records import OutgoingRecord
from passferry_testing.cms_reader import verify_detached
from passferry_testing.harness import EventRecorder, Harness, eventually, running
from passferry_testing.pki import DemoAuthority

pytestmark = pytest.mark.integration

AT = datetime(2026, 5, 14, 12, tzinfo=UTC)


@pytest.fixture
def topics():
    return (
        ENROLMENT_REQUESTED,
        LEDGER_RESULTS,
        DELIVERY_COMPLETED,
        LINK_CHANGED,
        MESSAGE_REQUESTED,
        PASS_BALANCE_CHANGED,
        PASS_CREATED,
        PASS_INBOUND,
        PASS_REDEEMED,
        PASS_RENDERED,
        PASS_UPDATED,
        PROGRAM_CHANGED,
        TEMPLATE_ASSETS,
        TEMPLATE_PUBLISHED,
        WALLET_ACTIVITY,
        WORKSPACE_ACCESS,
        WORKSPACE_CREDENTIALS,
        DEAD_LETTERS["pass-issuer"],
    )


@dataclass
class Press:
    """The running service, and what it tells."""

    harness: Harness
    http: httpx.AsyncClient
    told: EventRecorder
    authority: DemoAuthority
    make: Any

    async def ask(self, method: str, path: str, *, status: int = 201, **more: Any) -> Any:
        answer = await self.http.request(method, f"/api/v1{path}", **more)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def workspace(self) -> str:
        made = await self.ask("POST", "/workspaces", json={"name": "Café Ferry"})
        return str(made["workspace_id"])

    async def program(self, workspace_id: str, **body: Any) -> str:
        base = f"/workspaces/{workspace_id}"
        template = {**self.make.template_json(), "google_issuer_id": None, "platform": "apple"}
        template.pop("google")
        made = await self.ask("POST", f"{base}/templates", json=template)
        path = f"{base}/templates/{made['template_id']}"
        for name in self.make.images:
            side = 29 * int(name.partition("@")[2][:1] or 1)
            content = self.make.png(side, side)
            await self.ask("PUT", f"{path}/files/{name}", status=200, content=content)
        await self.ask("POST", f"{path}/publish", status=200)
        body = {"name": "P", "protocol": "MEMBERSHIP", "template_id": made["template_id"], **body}
        return str((await self.ask("POST", f"{base}/programs", json=body))["program_id"])

    async def identity(self, workspace_id: str) -> None:
        issued = self.authority.issue_pass_certificate(self.make.pass_type, self.make.team)
        body = {
            "certificate_pem": issued.certificate_pem.decode(),
            "private_key_pem": issued.private_key_pem.decode(),
        }
        await self.ask("POST", f"/workspaces/{workspace_id}/signing-identities", json=body)

    async def parked(self, code: str, count: int) -> bool:
        connection = await asyncpg.connect(self.harness.admin_url)
        try:
            rows = await connection.fetch("SELECT reason_code FROM pass_issuer.parked_records")
        finally:
            await connection.close()
        return [row["reason_code"] for row in rows].count(code) == count

    def rendered(self, pass_id: UUID) -> list[PassRendered]:
        return [each for each in self.told.payloads(PassRendered) if each.pass_id == pass_id]


@pytest.fixture
async def press(harness, make, tmp_path, monkeypatch):
    authority = DemoAuthority.create(tmp_path / "pki")
    (tmp_path / "wwdr").mkdir()
    (tmp_path / "wwdr" / "wwdr.pem").write_bytes(authority.wwdr_pem)
    for name in ("own", "shared"):
        (tmp_path / f"{name}.json").write_text(KeyRing.generate(name))
    await harness.migrate("pass-issuer", "passferry_pass_issuer.migrations")
    settings = make.press_settings(harness).model_copy(
        update={"wwdr_directory": tmp_path / "wwdr", "http_port": 0}
    )
    key = await administrator_key(settings, harness)

    @asynccontextmanager
    async def start():
        async with (
            harness.recording(PASS_RENDERED, PASS_CREATED, PASS_BALANCE_CHANGED) as told,
            service(settings) as built,
            running(built),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app=built.http),
                base_url="http://issuer",
                headers={"Authorization": f"Bearer {key}"},
            ) as http,
        ):
            yield Press(harness, http, told, authority, make)

    return start


async def administrator_key(settings, harness) -> str:
    """As the bootstrap does it, in this process."""
    path = harness.directory / "administrator"
    await _create_administrator(settings, path)
    return path.read_text().strip()


def balance(issued: dict[str, Any], workspace_id: str, amount: int, version: int):
    return PassBalanceChanged(
        workspace_id=UUID(workspace_id),
        pass_id=UUID(issued["pass_id"]),
        external_id=issued["external_id"],
        program_id=UUID(issued["program_id"]),
        version=version,
        previous_balance_minor=0,
        new_balance_minor=amount,
        change_minor=amount,
        unit=issued["unit"],
        reason="earn",
        changed_at=AT + timedelta(seconds=version),
    )


def record_of(event, *, key: bytes) -> OutgoingRecord:
    envelope = Envelope(
        id=str(uuid4()), source="/bookshop", type=event.event_type, time=AT, data=event
    )
    headers = tuple(encode_headers(envelope))
    return OutgoingRecord(PASS_INBOUND.name, key, encode_value(envelope), headers)


def shown(rendering: PassRendered) -> int:
    return json.loads(rendering.apple.pass_json)["storeCard"]["headerFields"][0]["value"]


async def test_balances_and_the_first_opening_come_by_kafka_and_go_as_signed_revisions(press):
    # proves: J81
    async with press() as running_press:
        workspace_id = await running_press.workspace()
        await running_press.identity(workspace_id)
        program_id = await running_press.program(workspace_id)
        issued = await running_press.ask(
            "POST", f"/workspaces/{workspace_id}/passes", json={"program_id": program_id}
        )
        pass_id = UUID(issued["pass_id"])
        opened = PassLinkOpened(
            workspace_id=UUID(workspace_id),
            pass_id=pass_id,
            platform=Platform.APPLE,
            needs_rendering=True,
            occurred_at=AT,
        )
        await running_press.harness.publish(WALLET_ACTIVITY, opened)
        await eventually(
            lambda: any(each.apple.signature for each in running_press.rendered(pass_id)),
            what="a signature",
        )
        changes = [balance(issued, workspace_id, 10 * number, number) for number in range(1, 31)]
        await running_press.harness.publish(PASS_BALANCE_CHANGED, *changes, changes[3])
        await eventually(
            lambda: shown(running_press.rendered(pass_id)[-1]) == 300, what="the last balance"
        )
        renderings = running_press.rendered(pass_id)
        revisions = [each.revision for each in renderings]
        assert revisions == sorted(revisions)
        assert len(renderings) < len(changes)
        for each in renderings:
            if each.apple.signature is None:
                assert each.revision == 1
                continue
            verify_detached(
                base64.b64decode(each.apple.signature),
                each.apple.manifest.encode(),
                root_pem=running_press.authority.root_pem,
                now=datetime.now(UTC),
            )


async def test_upstream_events_that_come_before_their_pass_wait_and_are_admitted_in_order(press):
    async with press() as running_press:
        workspace_id = await running_press.workspace()
        program_id = await running_press.program(workspace_id, balance_owner="upstream")
        address = {"workspace_id": UUID(workspace_id), "external_id": "book-1", "occurred_at": AT}
        early = [
            InboundBalanceChanged(**address, version=number, new_balance_minor=number)
            for number in (2, 3)
        ]
        await running_press.harness.publish(PASS_INBOUND, *early)
        # The second waits behind the first.
        await eventually(lambda: running_press.parked("pass_unknown", 1), what="one is parked")
        # The creation itself comes under another key than what waits for it.
        created = InboundPassCreated(**address, version=1, program_id=UUID(program_id))
        await running_press.harness.send(record_of(created, key=b"another"))
        [made] = await running_press.told.expect(PassCreated)
        told = await running_press.told.expect(PassBalanceChanged, 2)
        await eventually(
            lambda: shown(running_press.rendered(made.pass_id)[-1]) == 3, what="the last balance"
        )
        assert [each.version for each in told] == [2, 3]
        assert {each.pass_id for each in told} == {made.pass_id}


async def test_an_event_of_a_pass_that_never_comes_waits_without_stopping_the_others(press):
    # proves: J70
    async with press() as running_press:
        workspace_id, other = await running_press.workspace(), await running_press.workspace()
        program_id = await running_press.program(workspace_id)
        issued = await running_press.ask(
            "POST", f"/workspaces/{workspace_id}/passes", json={"program_id": program_id}
        )
        real = balance(issued, workspace_id, 40, 1)
        foreign = real.model_copy(update={"workspace_id": UUID(other), "new_balance_minor": 999})
        unknown = real.model_copy(update={"pass_id": uuid4()})
        await running_press.harness.publish(PASS_BALANCE_CHANGED, unknown, real)
        await eventually(
            lambda: [shown(each) for each in running_press.rendered(real.pass_id)] == [0, 40],
            what="the balance",
        )
        await running_press.harness.publish(PASS_BALANCE_CHANGED, foreign)

        await eventually(lambda: running_press.parked("pass_unknown", 2), what="both are parked")
        assert len(running_press.rendered(real.pass_id)) == 2
