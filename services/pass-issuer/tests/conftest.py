"""The pass-issuer's API on real Postgres, with a plain renderer in place of the wallets' formats."""

from __future__ import annotations

import hashlib
import io
import json
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
import pytest_asyncio
from cryptography import x509
from PIL import Image

from passferry_contracts.envelope import Envelope, decode
from passferry_contracts.registry import TOPICS, Payload, Topic
from passferry_pass_issuer.adapters.google_classes import WalletGoogleClasses
from passferry_pass_issuer.adapters.wallet_identities import (
    WalletIdentityChecker,
    WalletServiceAccountChecker,
)
from passferry_pass_issuer.adapters.wallet_images import check_image
from passferry_pass_issuer.app import (
    ROUTERS,
    Press,
    Stores,
    Surroundings,
    build_administrator,
    build_api,
    open_press,
)
from passferry_pass_issuer.application.credential_ports import (
    CheckedIdentity,
    CheckedServiceAccount,
    IdentityUpload,
)
from passferry_pass_issuer.application.ports import PassChange, Transaction
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.rendering_subject import Rendering, RenderSubject
from passferry_pass_issuer.domain.template_checks import TemplateVersion
from passferry_pass_issuer.domain.wallet_pass import WalletPass
from passferry_pass_issuer.entrypoints.http_work import IssuerApi
from passferry_pass_issuer.settings import PassIssuerSettings
from passferry_runtime.auth import AccessDirectory, Authenticator
from passferry_runtime.clock import FixedClock
from passferry_runtime.crypto import KeyRing
from passferry_runtime.http import create_app
from passferry_runtime.kafka.records import Incoming, IncomingRecord, Outcome
from passferry_runtime.postgres import Database
from passferry_testing.harness import Harness
from passferry_testing.pki import DemoAuthority

NOON = datetime(2026, 5, 14, 12, 0, tzinfo=UTC)
PUBLIC_URL = "https://passes.example"
PASS_TYPE = "pass.com.example.cafe"
TEAM = "CAFE123456"
ISSUER_ID = "3388000000012345678"
IMAGES = [f"{name}{scale}.png" for name in ("icon", "logo") for scale in ("", "@2x", "@3x")]


class PlainRenderer:
    """Shows what matters as JSON, and refuses codes that Code128 cannot hold."""

    def render(self, subject: RenderSubject) -> Rendering:
        shown = {
            "serialNumber": subject.serial_number,
            "authenticationToken": subject.authentication_token,
            "webServiceURL": subject.web_service_url,
            "balance": subject.balance_minor,
            "holder": subject.holder.full_name,
            "fields": dict(subject.field_values),
            "status": subject.status.value,
            "code": subject.code,
        }
        text = json.dumps(shown, sort_keys=True)
        issuer = subject.template.google_issuer_id
        return Rendering(
            pass_json=text,
            manifest=json.dumps(dict(subject.template.asset_sha1), sort_keys=True),
            google_object={"id": f"{issuer}.{subject.pass_id}"} if issuer else None,
            google_object_id=f"{issuer}.{subject.pass_id}" if issuer else None,
            content_sha256=hashlib.sha256(text.encode()).hexdigest(),
        )

    def render_bare(self, subject: RenderSubject) -> Rendering:
        nobody = replace(subject.holder, full_name=None)
        return self.render(replace(subject, field_values={}, code="", holder=nobody))


UPDATE = """
UPDATE pass SET status = $3, status_reason = $4, field_values = $5::jsonb, expires_at = $6,
    revision = $7, updated_at = $8
WHERE workspace_id = $1 AND pass_id = $2
"""


class PlainRevisions:
    """Every change is a revision; nothing is rendered or signed."""

    async def store_changed(
        self, transaction: Transaction, changes: Sequence[PassChange]
    ) -> list[WalletPass]:
        stored = []
        for change in changes:
            after = replace(change.after, revision=change.before.revision + 1)
            await transaction.execute(
                UPDATE,
                after.workspace_id,
                after.pass_id,
                after.status.value,
                after.status_reason,
                json.dumps(dict(after.field_values)),
                after.expires_at,
                after.revision,
                change.caused_at,
            )
            stored.append(after)
        return stored

    async def store_showable(
        self, transaction: Transaction, changes: Sequence[PassChange]
    ) -> list[WalletPass | ContentRejected]:
        return list(await self.store_changed(transaction, changes))


class PlainIdentityChecker:
    """Takes the key as it is; what a wrong upload meets is the wallet library's own matter."""

    def check(self, upload: IdentityUpload, *, now: datetime) -> CheckedIdentity:
        if upload.private_key_pem is None or upload.certificate_pem is None:
            raise ContentRejected("required", "private_key_pem", "is required")
        if upload.pass_type_identifier != PASS_TYPE:
            raise ContentRejected("pass_type_mismatch", "pass_type_identifier", "is another")
        digest = hashlib.sha256(upload.certificate_pem).hexdigest()
        return CheckedIdentity(
            pass_type_identifier=PASS_TYPE,
            team_identifier=TEAM,
            certificate_pem=upload.certificate_pem,
            private_key_pem=upload.private_key_pem,
            wwdr_pem=b"WWDR",
            not_after=now + timedelta(days=100),
            has_nfc=False,
            fingerprint_sha256=digest,
        )


class PlainAccountChecker:
    def check(self, service_account: Mapping[str, Any]) -> CheckedServiceAccount:
        if "private_key" not in service_account:
            raise ContentRejected("service_account_invalid", "service_account", "has no key")
        return CheckedServiceAccount(
            client_email=str(service_account["client_email"]), private_key_id="k1"
        )


class PlainGoogleClasses:
    def class_body(self, version: TemplateVersion) -> Mapping[str, Any] | None:
        return {"id": version.google_class_id} if version.content.google else None

    def tier_class_bodies(self, version: TemplateVersion) -> list[Mapping[str, Any]]:
        return []

    def check_object(self, version: TemplateVersion, body: Mapping[str, Any]) -> None:
        pass


def check_png(name: str, content: bytes) -> None:
    if not content.startswith(b"\x89PNG"):
        raise ContentRejected("not_a_png", "body", "is no PNG")


def png(width: int = 29, height: int = 29, shade: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (shade, 90, 160)).save(buffer, "PNG")
    return buffer.getvalue()


def template_json(**changes: Any) -> dict[str, Any]:
    return {
        "name": "Card",
        "platform": "both",
        "protocol": "MEMBERSHIP",
        "pass_type_identifier": PASS_TYPE,
        "team_identifier": TEAM,
        "google_issuer_id": ISSUER_ID,
        "apple": {
            "style": "storeCard",
            "organization_name": "Café Ferry",
            "description": "Card of the café",
            "background_color": "rgb(20, 60, 90)",
            "fields": {
                "header": [
                    {
                        "key": "points",
                        "label": "POINTS",
                        "value": {"source": "balance", "format": "integer"},
                        "change_message": "You have %@ points",
                    }
                ],
                "secondary": [
                    {"key": "holder", "value": {"source": "holder.full_name", "default": "Guest"}},
                    {"key": "drink", "value": {"source": "field.favourite", "default": "–"}},
                ],
            },
            "barcode": {"format": "qr", "message": {"source": "pass.code"}},
        },
        "google": {
            "issuer_name": "Café Ferry",
            "title": "Card",
            "logo_url": "https://passes.example/logo.png",
        },
        **changes,
    }


@dataclass
class Office:
    """The API as its callers see it, and the database behind it as an auditor would."""

    harness: Harness
    issuer: IssuerApi
    stores: Stores
    clock: FixedClock
    client: httpx.AsyncClient
    administrator_key: str
    directory: AccessDirectory
    signing_requests: list[tuple[UUID, str]] = field(default_factory=list)
    press: Press | None = None

    async def call(
        self, method: str, path: str, *, key: str | None = None, status: int = 200, **more: Any
    ) -> Any:
        headers = {"Authorization": f"Bearer {key or self.administrator_key}"}
        headers |= more.pop("headers", {})
        answer = await self.client.request(method, f"/api/v1{path}", headers=headers, **more)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    async def workspace(self, **body: Any) -> str:
        made = await self.call(
            "POST", "/workspaces", status=201, json={"name": "Café Ferry", **body}
        )
        return str(made["workspace_id"])

    async def key(self, workspace_id: str, role: str) -> str:
        made = await self.call(
            "POST", f"/workspaces/{workspace_id}/api-keys", status=201, json={"role": role}
        )
        return str(made["api_key"])

    async def template(self, workspace_id: str, **changes: Any) -> str:
        """A published one."""
        base = f"/workspaces/{workspace_id}/templates"
        made = await self.call("POST", base, status=201, json=template_json(**changes))
        template_id = str(made["template_id"])
        for name in IMAGES:
            side = 29 * int(name.partition("@")[2][:1] or 1)
            content = png(side, side)
            await self.call("PUT", f"{base}/{template_id}/files/{name}", content=content)
        await self.call("POST", f"{base}/{template_id}/publish")
        return template_id

    async def program(self, workspace_id: str, **body: Any) -> str:
        if "template_id" not in body:
            protocol = body.get("protocol", "MEMBERSHIP")
            style = {"COUPON": "coupon", "EVENT_TICKET": "eventTicket"}.get(protocol, "storeCard")
            layout = template_json()["apple"] | {"style": style}
            body["template_id"] = await self.template(workspace_id, protocol=protocol, apple=layout)
        given = {"name": "Points", "protocol": "MEMBERSHIP", **body}
        made = await self.call(
            "POST", f"/workspaces/{workspace_id}/programs", status=201, json=given
        )
        return str(made["program_id"])

    async def give_identity(
        self,
        workspace_id: str,
        authority: DemoAuthority,
        *,
        pass_type: str = PASS_TYPE,
        team: str = TEAM,
    ) -> None:
        issued = authority.issue_pass_certificate(pass_type, team)
        body = {
            "certificate_pem": issued.certificate_pem.decode(),
            "private_key_pem": issued.private_key_pem.decode(),
        }
        path = f"/workspaces/{workspace_id}/signing-identities"
        await self.call("POST", path, status=201, json=body)

    async def hear(self, *events: Payload) -> list[Outcome]:
        """Hand events of one topic to their handler in one batch, as the consumer would."""
        assert self.press is not None, "this office has no press"
        routes = self.press.routes(self.issuer)
        [route] = [each for each in routes if type(events[0]) in each.topic.events]
        record = IncomingRecord(route.topic.name, 0, 0, 0, b"", b"", ())
        now = self.clock.now()
        batch = [
            Incoming(
                record,
                Envelope(
                    id=str(uuid.uuid4()), source="/test", type=each.event_type, time=now, data=each
                ),
            )
            for each in events
        ]
        return list(await route.handler(batch) or [None] * len(batch))

    async def events(self, kind: type[Any]) -> list[Any]:
        """What the outbox holds of one kind, in order."""
        return [each.data for each in await self.envelopes() if isinstance(each.data, kind)]

    async def envelopes(self) -> list[Envelope]:
        rows = await self.rows(
            "SELECT topic, headers, value FROM pass_issuer.outbox WHERE value IS NOT NULL ORDER BY id"
        )
        return [
            decode(
                TOPICS[row["topic"]],
                [(name, text.encode()) for name, text in json.loads(row["headers"])],
                row["value"],
            )
            for row in rows
        ]

    async def compacted(self, *topics: Topic) -> dict[tuple[str, str], bytes | None]:
        """What compaction would leave of the outbox: the last record of each key."""
        rows = await self.rows(
            "SELECT topic, key, value FROM pass_issuer.outbox WHERE topic = ANY($1) ORDER BY id",
            [topic.name for topic in topics],
        )
        return {(row["topic"], row["key"]): row["value"] for row in rows}

    async def rows(self, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        """As a superuser, past row-level security."""
        connection = await asyncpg.connect(self.harness.admin_url)
        try:
            return await connection.fetch(sql, *arguments)
        finally:
            await connection.close()


def surroundings(
    database: Database, directory: AccessDirectory, clock: FixedClock, **changes: Any
) -> Surroundings:
    plain: dict[str, Any] = {
        "database": database,
        "directory": directory,
        "clock": clock,
        "cipher": KeyRing.from_json(KeyRing.generate("own")),
        "credentials_cipher": KeyRing.from_json(KeyRing.generate("shared")),
        "public_base_url": PUBLIC_URL,
        "may_name_serial_number": True,
        "renderer": PlainRenderer(),
        "revisions": PlainRevisions(),
        "google_classes": PlainGoogleClasses(),
        "check_asset": check_png,
        "identity_checker": PlainIdentityChecker(),
        "service_account_checker": PlainAccountChecker(),
        "sign_waiting": lambda workspace_id, pass_type: None,
    }
    return Surroundings(**(plain | changes))


def press_settings(harness: Harness) -> PassIssuerSettings:
    return PassIssuerSettings(
        environment="test",
        kafka_brokers=harness.kafka.brokers,
        kafka_group_prefix=harness.kafka.group_prefix,
        kafka_topic_prefix=harness.kafka.topic_prefix,
        kafka_session_timeout_ms=harness.kafka.session_timeout_ms,
        kafka_heartbeat_interval_ms=harness.kafka.heartbeat_interval_ms,
        parking_first_retry_s=harness.kafka.parking_first_retry_s,
        database_url=harness.app_url("pass-issuer"),
        key_ring_file=harness.directory / "own.json",
        credentials_key_ring_file=harness.directory / "shared.json",
        wwdr_directory=harness.directory,
        public_base_url=PUBLIC_URL,
        google_save_origins=["passes.example"],
        allow_serial_number_choice=True,
    )


def real_formats(press: Press, authority: DemoAuthority) -> dict[str, Any]:
    authorities = [x509.load_pem_x509_certificate(authority.wwdr_pem)]
    return {
        "renderer": press.renderer,
        "revisions": press.revisions,
        "google_classes": WalletGoogleClasses(PUBLIC_URL),
        "check_asset": check_image,
        "identity_checker": WalletIdentityChecker(authorities),
        "service_account_checker": WalletServiceAccountChecker(),
    }


@asynccontextmanager
async def open_office(
    harness: Harness, *, authority: DemoAuthority | None = None, **changes: Any
) -> AsyncIterator[Office]:
    """With an `authority` the press is the real one: wallet formats, signatures, Kafka handlers."""
    await harness.migrate("pass-issuer", "passferry_pass_issuer.migrations")
    # Certificates of the authority are valid now.
    clock = FixedClock(NOON if authority is None else datetime.now(UTC))
    directory = AccessDirectory()
    cipher = changes.pop("cipher", None) or KeyRing.from_json(KeyRing.generate("own"))
    stores = Stores.build(cipher)
    url = harness.app_url("pass-issuer")
    async with (
        Database.open(url, service="pass-issuer", clock=clock) as database,
        AsyncExitStack() as opened,
    ):
        requests: list[tuple[UUID, str]] = []
        press = None
        if authority is not None:
            press = await opened.enter_async_context(
                open_press(
                    press_settings(harness),
                    database=database,
                    directory=directory,
                    stores=stores,
                    cipher=cipher,
                    clock=clock,
                    manifest_signer=changes.pop("manifest_signer", None),
                )
            )
            changes = real_formats(press, authority) | changes
        around = surroundings(
            database,
            directory,
            clock,
            cipher=cipher,
            sign_waiting=lambda workspace_id, name: requests.append((workspace_id, name)),
            **changes,
        )
        issuer = build_api(around, stores)
        create = build_administrator(around.cipher, directory)
        async with issuer.workbench.open([uuid.UUID(int=0)], actor="bootstrap") as work:
            created = await create(work)
        app = create_app(
            title="test",
            version="0",
            routers=ROUTERS,
            auth=Authenticator(directory, clock=clock),
            state={"issuer": issuer},
        )
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://issuer") as client:
            yield Office(
                harness=harness,
                issuer=issuer,
                stores=stores,
                clock=clock,
                client=client,
                administrator_key=created.presented,
                directory=directory,
                signing_requests=requests,
                press=press,
            )


@pytest_asyncio.fixture
async def office(harness: Harness) -> AsyncIterator[Office]:
    async with open_office(harness) as opened:
        yield opened


@pytest.fixture
def make() -> SimpleNamespace:
    """Factories whose products are valid."""
    return SimpleNamespace(
        png=png,
        template_json=template_json,
        images=IMAGES,
        renderer=PlainRenderer,
        open_office=open_office,
        press_settings=press_settings,
        pass_type=PASS_TYPE,
        team=TEAM,
        issuer_id=ISSUER_ID,
    )
