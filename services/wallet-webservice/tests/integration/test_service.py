"""The whole service on real Kafka: what it is told, what it tells, who may ask."""

from __future__ import annotations

import asyncio
import hashlib
import json
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio

from passferry_contracts.events.deliveries import DeliveryCompleted
from passferry_contracts.events.directory import ApiKeyGrant, WorkspaceAccessChanged
from passferry_contracts.events.wallet import (
    DeviceRegistered,
    DeviceUnregistered,
    PassDownloaded,
    PassInstalled,
    PassLinkOpened,
    PassPublished,
    PassUninstalled,
)
from passferry_contracts.registry import (
    DEAD_LETTERS,
    DELIVERY_COMPLETED,
    LINK_CHANGED,
    PASS_RENDERED,
    TEMPLATE_ASSETS,
    TEMPLATE_PUBLISHED,
    WALLET_ACTIVITY,
    WORKSPACE_ACCESS,
    Topic,
)
from passferry_contracts.types import Channel, DeliveryOutcome, Role, WorkspaceKind
from passferry_runtime.auth import new_api_key
from passferry_runtime.kafka.records import OutgoingRecord
from passferry_testing.google_simulator.callbacks import CallbackKeys
from passferry_testing.harness import EventRecorder, eventually, running
from passferry_testing.virtual_iphone import VirtualIPhone

pytestmark = pytest.mark.integration

ISSUER = "3388000000000000001"


@pytest.fixture
def topics() -> tuple[Topic, ...]:
    return (
        WORKSPACE_ACCESS,
        TEMPLATE_PUBLISHED,
        TEMPLATE_ASSETS,
        PASS_RENDERED,
        LINK_CHANGED,
        DELIVERY_COMPLETED,
        WALLET_ACTIVITY,
        DEAD_LETTERS["wallet-webservice"],
    )


@dataclass
class Running:
    """The service with its workers, and what it says on `wallet.activity`."""

    stand: Any
    http: httpx.AsyncClient
    heard: EventRecorder
    google: CallbackKeys
    now_s: float

    async def open_shop(self, *, issuers: tuple[str, ...] = ()) -> tuple[Any, str]:
        """A shop that the service knows all about, and an API key of it."""
        shop, key = self.stand.shop(), new_api_key()
        harness = self.stand.harness
        grant = ApiKeyGrant(key_id=key.key_id, secret_sha256=key.secret_sha256, role=Role.VIEWER)
        await harness.publish(
            WORKSPACE_ACCESS,
            WorkspaceAccessChanged(
                workspace_id=shop.workspace_id,
                name="Kaffeefähre",
                kind=WorkspaceKind.ROOT,
                api_keys=[grant],
                google_issuer_ids=list(issuers),
                revision=1,
                changed_at=datetime.now(UTC),
            ),
        )
        await harness.publish(TEMPLATE_PUBLISHED, shop.template())
        await harness.publish(TEMPLATE_ASSETS, *shop.assets())

        async def is_known() -> bool:
            answer = await self.ask(shop.workspace_id, "/devices/log", key.presented)
            return answer.status_code == 200

        await eventually(is_known)
        return shop, key.presented

    async def ask(self, workspace_id: UUID, path: str, key: str | None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return await self.http.get(f"/api/v1/workspaces/{workspace_id}{path}", headers=headers)

    async def phone(self, shop: Any) -> Any:
        device = self.stand.device(shop.card())
        device.http = self.http
        await self.stand.harness.publish(PASS_RENDERED, device.card.rendered())
        await self.heard.expect(PassPublished, where=lambda e: e.pass_id == device.card.pass_id)
        assert (await device.register()).status_code == 201
        return device


@pytest_asyncio.fixture
async def live(stand, start):
    now_s = datetime.now(UTC).timestamp()
    google = CallbackKeys(lambda: now_s)
    async with AsyncExitStack() as stack:
        built, http = await stack.enter_async_context(start(google.root_keys()))
        await stack.enter_async_context(running(built))
        heard = await stack.enter_async_context(stand.harness.recording(WALLET_ACTIVITY))
        yield Running(stand, http, heard, google, now_s)


async def test_a_pass_goes_from_its_rendering_to_a_phone_that_is_kept_up_to_date(live, authority):
    """proves: J20, A8, A10, A11, J82"""
    shop, _ = await live.open_shop()
    card, token = shop.card(), "the-link-of-this-pass"
    publish = live.stand.harness.publish
    await publish(LINK_CHANGED, card.link(token))
    await publish(PASS_RENDERED, card.rendered(signed=False))
    phone = VirtualIPhone("device-1", "ab" * 32, live.http, authority.root_pem)

    async def sign() -> None:
        """What the issuer does when it hears of the visit."""
        await live.heard.expect(PassLinkOpened, where=lambda e: e.needs_rendering)
        await publish(PASS_RENDERED, card.rendered())

    signing = asyncio.create_task(sign())
    await phone.install(f"https://wallet.example/w/{shop.workspace_id}/p/{token}")
    await signing
    (registered,) = await live.heard.expect(DeviceRegistered)
    assert (registered.pass_id, registered.is_new) == (card.pass_id, True)
    await live.heard.expect(PassDownloaded)

    await publish(PASS_RENDERED, card.rendered(2))
    await live.heard.expect(PassPublished, where=lambda e: e.revision == 2)
    await phone.ring(registered.pass_type_identifier)
    assert phone.passes[card.serial].content.fields["points"] == 2
    assert not phone.log_lines_sent
    kinds = [type(e) for e in live.heard.payloads(object) if e.pass_id == card.pass_id]
    assert kinds.index(PassPublished) < kinds.index(DeviceRegistered), "in order per pass"


async def test_a_token_that_is_gone_and_a_pass_that_is_deleted_leave_by_kafka(live):
    shop, key = await live.open_shop()
    device, other = await live.phone(shop), await live.phone(shop)
    path = f"/passes/{device.card.pass_id}/devices"
    assert (await live.ask(shop.workspace_id, path, key)).json()["devices"] == 1
    await live.stand.harness.publish(
        DELIVERY_COMPLETED,
        DeliveryCompleted(
            workspace_id=shop.workspace_id,
            pass_id=device.card.pass_id,
            delivery_id=uuid4(),
            channel=Channel.APPLE_WALLET,
            notification_type="balance_update",
            push_token_sha256=hashlib.sha256(device.push_token.encode()).hexdigest(),
            outcome=DeliveryOutcome.DROPPED,
            reason="unregistered",
            token_gone_at=datetime.now(UTC),
            attempts=1,
            completed_at=datetime.now(UTC),
        ),
    )
    (gone,) = await live.heard.expect(DeviceUnregistered)
    assert gone.reason == "token_gone"
    assert (await live.ask(shop.workspace_id, path, key)).json()["devices"] == 0

    headers = (("ce_workspaceid", str(shop.workspace_id).encode()),)
    key_of_pass = str(other.card.pass_id).encode()
    await live.stand.harness.send(OutgoingRecord(PASS_RENDERED.name, key_of_pass, None, headers))
    await live.heard.expect(DeviceUnregistered, where=lambda e: e.reason == "pass_deleted")
    assert (await other.get()).status_code == 401


async def test_who_may_ask_about_devices(live):
    """proves: A20"""
    shop, key = await live.open_shop()
    _, other_key = await live.open_shop()
    device = await live.phone(shop)
    path = f"/passes/{device.card.pass_id}/devices"
    answer = await live.ask(shop.workspace_id, path, key)
    assert answer.json() == {"pass_id": str(device.card.pass_id), "devices": 1}
    assert device.push_token not in answer.text
    assert (await live.ask(shop.workspace_id, path, None)).status_code == 401
    assert (await live.ask(shop.workspace_id, path, other_key)).status_code == 404
    unknown = await live.ask(shop.workspace_id, f"/passes/{uuid4()}/devices", key)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "pass_not_found")


async def test_what_devices_report_is_kept_clean_and_bounded(live):
    """proves: W12, A12"""
    shop, key = await live.open_shop()
    log = f"/w/{shop.workspace_id}/v1/log"
    lines = ["\x1b[31mred\r\nforged \u202e", "x" * 3_000, 7, None, *["l"] * 60]
    answer = await live.http.post(log, json={"logs": lines})
    assert (answer.status_code, answer.content) == (200, b"")
    kept = (await live.ask(shop.workspace_id, "/devices/log?limit=200", key)).json()["data"]
    assert len(kept) == 48, "50 entries, of which two are no text"
    first, second = kept[-1]["line"], kept[-2]["line"]
    assert first == "[31mred  forged"
    assert len(second) == 1_000

    # Far more than anyone's devices have to say: it is taken, and not stored.
    for _ in range(60):
        assert (await live.http.post(log, json={"logs": ["l"] * 50})).status_code == 200
    stored = await live.stand.count("device_log")
    assert stored <= 1_000 + 50
    assert (await live.ask(shop.workspace_id, "/devices/log?limit=201", key)).status_code == 422


async def test_a_signed_callback_is_told_once_and_anything_else_is_refused(live):
    """proves: J74, J91"""
    shop, _ = await live.open_shop(issuers=("3388000000000000777", ISSUER))
    other, _ = await live.open_shop(issuers=("3388000000000000999",))
    without, _ = await live.open_shop()
    card = shop.card()
    await live.stand.harness.publish(PASS_RENDERED, card.rendered())
    await live.heard.expect(PassPublished)

    def body(event_type: str = "save", **changes: Any) -> bytes:
        fields = {
            "sender_id": "GooglePayPasses",
            "issuer_id": ISSUER,
            "class_id": f"{ISSUER}.card",
            "object_id": card.google_object_id,
            "event_type": event_type,
            "nonce": str(uuid4()),
        }
        return json.dumps(live.google.envelope(**(fields | changes))).encode()

    async def send(content: bytes, workspace: object = shop.workspace_id) -> int:
        answer = await live.http.post(f"/w/{workspace}/google/callback", content=content)
        assert answer.content == b""
        return answer.status_code

    good = body()
    assert await send(good) == 200
    assert await send(good) == 200
    assert await send(body("del")) == 200
    await live.heard.expect(PassUninstalled)
    assert len(live.heard.payloads(PassInstalled)) == 1, "a repetition has no effect"
    assert live.heard.payloads(PassInstalled)[0].pass_id == card.pass_id

    # Of another issuer, on another's address, or not what was signed.
    assert await send(body(), other.workspace_id) == 401
    assert await send(body(), without.workspace_id) == 401
    assert await send(body(), uuid4()) == 401
    assert await send(body(), "no-workspace") == 401
    assert await send(body(issuer_id="3388000000000000999")) == 401
    assert await send(body(object_id="3388000000000000999.x")) == 401
    assert await send(body(sender_id="Somebody")) == 401
    assert await send(body().replace(b"save", b"del ")) == 401
    stranger = CallbackKeys(lambda: live.now_s)
    live.google, mine = stranger, live.google
    assert await send(body()) == 401
    live.google = mine
    expired = CallbackKeys.__new__(CallbackKeys)
    expired.__dict__ = dict(mine.__dict__, _now=lambda: live.now_s - 30 * 86_400)
    live.google = expired
    assert await send(body()) == 401
    live.google = mine
    assert await send(b"") == 401
    assert await send(b"{}") == 401
    assert await send(b"x" * 32_769) == 413
    # Signed, but of no pass of ours: Google cannot help it.
    assert await send(body(object_id=f"{ISSUER}.unknown")) == 200
    assert len(live.heard.payloads(PassInstalled)) == 1
