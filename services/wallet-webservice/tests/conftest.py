"""The web service on a real database, shops that publish passes in it, and devices that ask."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import secrets
import zipfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
import pytest_asyncio

from passferry_contracts.envelope import Envelope, decode
from passferry_contracts.event import Event
from passferry_contracts.events.directory import (
    LinkChanged,
    TemplateAssetReference,
    TemplateAssetStored,
    TemplatePublished,
)
from passferry_contracts.events.rendered import (
    AppleRendering,
    Cause,
    GoogleRendering,
    PassRendered,
)
from passferry_contracts.registry import TOPICS, Topic
from passferry_contracts.types import PassStatus
from passferry_runtime.clock import SystemClock
from passferry_runtime.crypto import KeyRing
from passferry_runtime.ids import uuid7
from passferry_runtime.kafka.records import Incoming, IncomingRecord, Route
from passferry_runtime.lifecycle import Service
from passferry_runtime.postgres import Database
from passferry_testing.harness import Harness
from passferry_testing.pki import DemoAuthority
from passferry_testing.sample_pass import SAMPLE_PASS_TYPE, SamplePress, sample_png
from passferry_wallet.apple.bundle import build_manifest, sha1_hex
from passferry_wallet_webservice.adapters.postgres_registrations import PostgresRegistrations
from passferry_wallet_webservice.adapters.postgres_revisions import PostgresRevisions
from passferry_wallet_webservice.adapters.postgres_templates import PostgresTemplates
from passferry_wallet_webservice.app import service
from passferry_wallet_webservice.entrypoints import kafka_routes
from passferry_wallet_webservice.settings import WebserviceSettings

NAME = "wallet-webservice"
BASE = "https://wallet.example"
ISSUER = "3388000000000000001"
IMAGES = {"icon.png": sample_png(29, 29), "icon@2x.png": sample_png(58, 58)}


@dataclass
class Card:
    """One pass of a shop."""

    shop: Shop
    serial: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    pass_id: UUID = field(default_factory=uuid7)

    def rendered(
        self,
        revision: int = 1,
        *,
        points: int | None = None,
        signed: bool = True,
        save_link: str | None = None,
        apple: bool = True,
        **changes: Any,
    ) -> PassRendered:
        """Revision `revision`, which shows as many points unless told otherwise."""
        shop = self.shop
        google = GoogleRendering(
            issuer_id=ISSUER,
            vertical="loyalty",
            class_id=f"{ISSUER}.card",
            object_id=self.google_object_id,
            object_body={},
            save_link=save_link,
            save_link_signed_at=datetime.now(UTC) if save_link else None,
        )
        rendering = self._apple(revision if points is None else points, signed=signed)
        fields: dict[str, Any] = {
            "workspace_id": shop.workspace_id,
            "pass_id": self.pass_id,
            "program_id": uuid4(),
            "external_id": str(self.pass_id),
            "revision": revision,
            "status": PassStatus.ACTIVE,
            "template_id": shop.template_id,
            "template_version": 1,
            "apple": rendering if apple else None,
            "google": google,
            "content_sha256": hashlib.sha256(rendering.pass_json.encode()).hexdigest(),
            "causes": [Cause(event_type="pass.balance_changed", event_id="1")],
            "caused_at": datetime.now(UTC),
            "rendered_at": datetime.now(UTC),
        }
        return PassRendered.model_validate(fields | changes)

    @property
    def google_object_id(self) -> str:
        return f"{ISSUER}.{self.pass_id}"

    def _apple(self, points: int, *, signed: bool) -> AppleRendering:
        press = self.shop.press
        content = press.pass_json(
            self.serial,
            authenticationToken=self.token,
            webServiceURL=f"{BASE}/w/{self.shop.workspace_id}",
            logoText="Kaffeefähre",
            backgroundColor="rgb(27, 94, 75)",
            storeCard={"headerFields": [{"key": "points", "label": "Points", "value": points}]},
        )
        pass_json = json.dumps(content, sort_keys=True, ensure_ascii=False)
        digests = {name: sha1_hex(image) for name, image in self.shop.images.items()}
        manifest = build_manifest(digests | {"pass.json": sha1_hex(pass_json.encode())})
        signature = base64.b64encode(press.sign(manifest)).decode() if signed else None
        return AppleRendering(
            pass_type_identifier=press.pass_type_identifier,
            team_identifier=press.team_identifier,
            serial_number=self.serial,
            authentication_token_sha256=hashlib.sha256(self.token.encode()).hexdigest(),
            pass_json=pass_json,
            manifest=manifest.decode(),
            signature=signature,
        )

    def link(self, token: str, **changes: Any) -> LinkChanged:
        fields: dict[str, Any] = {
            "workspace_id": self.shop.workspace_id,
            "link_id": uuid4(),
            "token_sha256": hashlib.sha256(token.encode()).hexdigest(),
            "pass_id": self.pass_id,
            "changed_at": datetime.now(UTC),
        }
        return LinkChanged.model_validate(fields | changes)


@dataclass
class Shop:
    """A workspace with one template."""

    press: SamplePress
    workspace_id: UUID = field(default_factory=uuid4)
    template_id: UUID = field(default_factory=uuid4)
    images: dict[str, bytes] = field(default_factory=lambda: dict(IMAGES))

    def card(self, **known: Any) -> Card:
        return Card(self, **known)

    def template(self) -> TemplatePublished:
        return TemplatePublished(
            workspace_id=self.workspace_id,
            template_id=self.template_id,
            template_version=1,
            name="Ten coffees",
            assets={
                name: TemplateAssetReference(
                    sha1=sha1_hex(image),
                    sha256=hashlib.sha256(image).hexdigest(),
                    size=len(image),
                )
                for name, image in self.images.items()
            },
            published_at=datetime.now(UTC),
        )

    def assets(self) -> list[TemplateAssetStored]:
        return [
            TemplateAssetStored(
                workspace_id=self.workspace_id,
                sha256=hashlib.sha256(image).hexdigest(),
                sha1=sha1_hex(image),
                content=base64.b64encode(image).decode(),
            )
            for image in self.images.values()
        ]


@dataclass
class Device:
    """Speaks Apple's protocol for one card; `base` is the path part of the webServiceURL."""

    http: httpx.AsyncClient
    card: Card
    device: str = field(default_factory=lambda: secrets.token_hex(16))
    push_token: str = field(default_factory=lambda: secrets.token_hex(32))

    @property
    def base(self) -> str:
        return f"/w/{self.card.shop.workspace_id}"

    @property
    def registrations(self) -> str:
        return f"{self.base}/v1/devices/{self.device}/registrations/{SAMPLE_PASS_TYPE}"

    @property
    def address(self) -> str:
        return f"{self.base}/v1/passes/{SAMPLE_PASS_TYPE}/{self.card.serial}"

    @property
    def authorization(self) -> dict[str, str]:
        return {"Authorization": f"ApplePass {self.card.token}"}

    async def register(self) -> httpx.Response:
        return await self.http.post(
            f"{self.registrations}/{self.card.serial}",
            headers=self.authorization,
            json={"pushToken": self.push_token},
        )

    async def unregister(self) -> httpx.Response:
        return await self.http.delete(
            f"{self.registrations}/{self.card.serial}", headers=self.authorization
        )

    async def list(self, tag: str | None = None) -> httpx.Response:
        query = {} if tag is None else {"passesUpdatedSince": tag}
        return await self.http.get(self.registrations, params=query)

    async def get(self, since: str | None = None) -> httpx.Response:
        condition = {} if since is None else {"If-Modified-Since": since}
        return await self.http.get(self.address, headers=self.authorization | condition)

    async def shown(self) -> int:
        """The points on the card that the device would be given now."""
        return points_in((await self.get()).content)


@dataclass
class Newsstand:
    """The service without its workers, and a second replica's stores that feed the database."""

    harness: Harness
    service: Service
    http: httpx.AsyncClient
    database: Database
    revisions: PostgresRevisions
    registrations: PostgresRegistrations
    routes: dict[str, Route]
    admin: asyncpg.Connection[asyncpg.Record]
    press: SamplePress
    ring: KeyRing

    async def take(self, *events: Event) -> None:
        """As if they had come by Kafka, one after another."""
        for event in events:
            await self.take_batch([event])

    async def take_batch(self, events: Sequence[Event]) -> None:
        topic = next(t for t in TOPICS.values() if t.model_of(events[0].event_type))
        now = datetime.now(UTC)
        batch = [
            Incoming(
                IncomingRecord(topic.name, 0, 0, 0, b"", b"", ()),
                Envelope(id=str(uuid7()), source="/test", type=e.event_type, time=now, data=e),
            )
            for e in events
        ]
        assert await self.routes[topic.name].handler(batch) is None

    async def bury(self, topic: Topic, workspace_id: UUID, key: UUID | str) -> None:
        """A tombstone."""
        headers = (("ce_workspaceid", str(workspace_id).encode()),)
        on_tombstone = self.routes[topic.name].on_tombstone
        assert on_tombstone is not None
        await on_tombstone(IncomingRecord(topic.name, 0, 0, 0, str(key).encode(), None, headers))

    def shop(self) -> Shop:
        """A shop that nothing was told of yet."""
        return Shop(self.press)

    async def open_shop(self) -> Shop:
        """A shop whose template is complete."""
        shop = self.shop()
        await self.take(shop.template(), *shop.assets())
        return shop

    async def phone(self, shop: Shop | None = None) -> Device:
        """A device that holds and has registered a new card."""
        device = self.device((shop or await self.open_shop()).card())
        await self.take(device.card.rendered(1))
        assert (await device.register()).status_code == 201
        return device

    def device(self, card: Card, **known: Any) -> Device:
        return Device(self.http, card, **known)

    async def told(self, kind: type[Any] = object) -> list[Any]:
        """The events of a kind in the outbox, oldest first; the outbox is empty afterwards."""
        rows = await self.admin.fetch(
            "WITH taken AS (DELETE FROM wallet_webservice.outbox RETURNING *)"
            " SELECT topic, headers, value FROM taken ORDER BY id"
        )
        events = [
            decode(
                TOPICS[row["topic"]],
                tuple((name, text.encode()) for name, text in json.loads(row["headers"])),
                row["value"],
            ).data
            for row in rows
        ]
        return [each for each in events if isinstance(each, kind)]

    async def count(self, table: str) -> int:
        number: int = await self.admin.fetchval(f"SELECT count(*) FROM wallet_webservice.{table}")
        return number


def points_in(bundle: bytes) -> int:
    """What the card in a .pkpass shows."""
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        content = json.loads(archive.read("pass.json"))
    value: int = content["storeCard"]["headerFields"][0]["value"]
    return value


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> DemoAuthority:
    return DemoAuthority.create(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def press(authority: DemoAuthority) -> SamplePress:
    return SamplePress(authority)


def settings_of(harness: Harness, ring_file: Path, **changes: Any) -> WebserviceSettings:
    kafka = harness.kafka
    known: dict[str, Any] = {
        "environment": "test",
        "kafka_brokers": kafka.brokers,
        "kafka_group_prefix": kafka.group_prefix,
        "kafka_topic_prefix": kafka.topic_prefix,
        "kafka_session_timeout_ms": kafka.session_timeout_ms,
        "kafka_heartbeat_interval_ms": kafka.heartbeat_interval_ms,
        "parking_first_retry_s": kafka.parking_first_retry_s,
        "database_url": harness.app_url(NAME),
        "push_token_key_ring_file": ring_file,
        "public_base_url": BASE,
        "signature_wait_s": 1.5,
    }
    return WebserviceSettings(**(known | changes))


RING = KeyRing.generate()


@pytest.fixture
def ring_file(tmp_path: Path) -> Path:
    path = tmp_path / "push-tokens.json"
    path.write_text(RING)
    path.chmod(0o600)
    return path


@asynccontextmanager
async def client_of(built: Service) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=built.http, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as http:
        yield http


@pytest_asyncio.fixture
async def stand(harness: Harness, press: SamplePress, ring_file: Path) -> AsyncIterator[Newsstand]:
    await harness.migrate(NAME, "passferry_wallet_webservice.migrations")
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        built = await stack.enter_async_context(service(settings_of(harness, ring_file)))
        http = await stack.enter_async_context(client_of(built))
        database = await stack.enter_async_context(
            Database.open(harness.app_url(NAME), service=NAME, clock=clock)
        )
        admin = await asyncpg.connect(harness.admin_url)
        stack.push_async_callback(admin.close)
        revisions = PostgresRevisions(database, clock)
        registrations = PostgresRegistrations(database, clock)
        routes = kafka_routes.routes(revisions, PostgresTemplates(database), registrations)
        yield Newsstand(
            harness,
            built,
            http,
            database,
            revisions,
            registrations,
            {route.topic.name: route for route in routes},
            admin,
            press,
            KeyRing.from_json(RING),
        )


@pytest.fixture
def start(harness: Harness, ring_file: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Build the service once more, as a process would, with these root keys of Google's."""

    @asynccontextmanager
    async def starting(root_keys: dict[str, Any]) -> AsyncIterator[tuple[Service, Any]]:
        real = httpx.AsyncClient
        answers = httpx.MockTransport(lambda _: httpx.Response(200, json=root_keys))
        monkeypatch.setattr(
            "passferry_wallet_webservice.app.httpx.AsyncClient",
            lambda **_: real(transport=answers),
        )
        async with service(settings_of(harness, ring_file)) as built:
            monkeypatch.undo()
            async with client_of(built) as http:
                yield built, http

    return starting
