"""The notifier with a simulated APNs and Google, and a world that tells it things."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from passferry_contracts.events.deliveries import MessageIssued
from passferry_contracts.events.directory import (
    ApiKeyGrant,
    GoogleClass,
    TemplatePublished,
    WorkspaceAccessChanged,
    WorkspaceCredentialsChanged,
)
from passferry_contracts.events.rendered import Cause, GoogleRendering, PassRendered
from passferry_contracts.events.wallet import DeviceRegistered, DeviceUnregistered, PassPublished
from passferry_contracts.registry import (
    DEAD_LETTERS,
    DELIVERY_COMPLETED,
    MESSAGE_ISSUED,
    PASS_RENDERED,
    TEMPLATE_PUBLISHED,
    WALLET_ACTIVITY,
    WORKSPACE_ACCESS,
    WORKSPACE_CREDENTIALS,
    Topic,
)
from passferry_contracts.types import PassStatus, Role, WorkspaceKind
from passferry_notifier.app import service
from passferry_notifier.settings import NotifierSettings
from passferry_runtime.auth import NewApiKey, new_api_key
from passferry_runtime.crypto import KeyRing
from passferry_runtime.lifecycle import Service
from passferry_testing.apns_simulator import ApnsSimulator
from passferry_testing.google_simulator import GoogleSimulator
from passferry_testing.harness import Harness, running
from passferry_testing.pki import DemoAuthority, new_provider_key

TEAM = "TEAM000001"
ISSUER = "3388000000000000001"


@pytest.fixture
def topics() -> tuple[Topic, ...]:
    return (
        WALLET_ACTIVITY,
        PASS_RENDERED,
        TEMPLATE_PUBLISHED,
        WORKSPACE_ACCESS,
        WORKSPACE_CREDENTIALS,
        DELIVERY_COMPLETED,
        MESSAGE_ISSUED,
        DEAD_LETTERS["notifier"],
    )


@dataclass
class Phone:
    token: str = field(default_factory=lambda: secrets.token_hex(32))
    device: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.token.encode()).hexdigest()


@dataclass
class World:
    """What the other services would tell, and the notifier itself."""

    harness: Harness
    authority: DemoAuthority
    apns: ApnsSimulator
    google: GoogleSimulator
    credentials_ring: KeyRing
    token_ring: KeyRing

    @property
    def settings(self) -> dict[str, Any]:
        directory, backends = self.harness.directory, self.harness.backends
        kafka = self.harness.kafka
        return {
            "environment": "test",
            "kafka_brokers": kafka.brokers,
            "kafka_group_prefix": kafka.group_prefix,
            "kafka_topic_prefix": kafka.topic_prefix,
            "kafka_session_timeout_ms": kafka.session_timeout_ms,
            "kafka_heartbeat_interval_ms": kafka.heartbeat_interval_ms,
            "parking_first_retry_s": kafka.parking_first_retry_s,
            "database_url": self.harness.app_url("notifier"),
            "redis_url": backends.redis_url,
            "credentials_key_ring_file": directory / "credentials.json",
            "push_token_key_ring_file": directory / "tokens.json",
            "apns_base_url": f"https://127.0.0.1:{self.apns.port}",
            "apns_ca_file": directory / "root.pem",
            "google_base_url": self.google.base_url,
            "ring_interval_s": 0.2,
            "delivery_lease_s": 2.0,
            "delivery_first_retry_s": 0.1,
        }

    def phone(self) -> Phone:
        return Phone()

    @asynccontextmanager
    async def notifier(self, **changes: Any) -> AsyncIterator[Service]:
        settings = NotifierSettings(**(self.settings | changes))
        async with service(settings) as built, running(built):
            yield built

    async def workspace(self, *, google: bool = False, apple: bool = True) -> Shop:
        shop = Shop(self, google_account=self.google.create_service_account() if google else None)
        await shop.tell_access()
        await shop.tell_credentials(apple=apple)
        return shop


@dataclass
class Shop:
    """A workspace with its pass type."""

    world: World
    workspace_id: UUID = field(default_factory=uuid4)
    key: NewApiKey = field(default_factory=new_api_key)
    google_account: dict[str, str] | None = None
    #: That the account is for.
    issuer_id: str = ISSUER
    template_id: UUID = field(default_factory=uuid4)
    pass_type: str = field(default_factory=lambda: f"pass.example.{secrets.token_hex(4)}")
    revision_of_credentials: int = 0
    revision_of_access: int = 0

    async def tell_access(self, *, suspended: bool = False) -> None:
        self.revision_of_access += 1
        grant = ApiKeyGrant(
            key_id=self.key.key_id, secret_sha256=self.key.secret_sha256, role=Role.VIEWER
        )
        event = WorkspaceAccessChanged(
            workspace_id=self.workspace_id,
            name="Kaffeefähre",
            kind=WorkspaceKind.ROOT,
            suspended=suspended,
            api_keys=[grant],
            revision=self.revision_of_access,
            changed_at=now(),
        )
        await self.world.harness.publish(WORKSPACE_ACCESS, event)

    def certificate(self, **changes: Any) -> dict[str, str]:
        issued = self.world.authority.issue_pass_certificate(self.pass_type, TEAM, **changes)
        return {
            "pass_type_identifier": self.pass_type,
            "team_identifier": TEAM,
            "kind": "certificate",
            "certificate_pem": issued.certificate_pem.decode(),
            "private_key_pem": issued.private_key_pem.decode(),
            "chain_pem": self.world.authority.wwdr_pem.decode(),
        }

    def provider_key(self, key_id: str = "KEY0000001") -> dict[str, str]:
        private, public = new_provider_key()
        self.world.apns.register_provider_key(TEAM, key_id, public, [self.pass_type])
        return {
            "pass_type_identifier": self.pass_type,
            "team_identifier": TEAM,
            "kind": "token",
            "key_id": key_id,
            "private_key_pem": private.decode(),
        }

    async def tell_credentials(
        self, *, apple: bool = True, entry: dict[str, str] | None = None
    ) -> None:
        self.revision_of_credentials += 1
        google = []
        if self.google_account is not None:
            google = [{"issuer_id": self.issuer_id, "service_account": self.google_account}]
        opened = {"apple": [entry or self.certificate()] if apple else [], "google": google}
        sealed = self.world.credentials_ring.encrypt(
            json.dumps(opened).encode(), context=f"workspace.credentials:{self.workspace_id}"
        )
        event = WorkspaceCredentialsChanged(
            workspace_id=self.workspace_id,
            ciphertext=base64.b64encode(sealed).decode(),
            revision=self.revision_of_credentials,
            changed_at=now(),
        )
        await self.world.harness.publish(WORKSPACE_CREDENTIALS, event)

    def registered(self, pass_id: UUID, phone: Phone, **changes: Any) -> DeviceRegistered:
        context = f"push_token:{self.workspace_id}:{phone.device}"
        sealed = self.world.token_ring.encrypt(phone.token.encode(), context=context)
        fields: dict[str, Any] = {
            "workspace_id": self.workspace_id,
            "pass_id": pass_id,
            "pass_type_identifier": self.pass_type,
            "serial_number": str(pass_id),
            "device_library_identifier": phone.device,
            "push_token_ciphertext": base64.b64encode(sealed).decode(),
            "push_token_sha256": phone.sha256,
            "is_new": True,
            "seen_revision": 1,
            "registered_at": now(),
        }
        return DeviceRegistered.model_validate(fields | changes)

    def unregistered(self, pass_id: UUID, phone: Phone) -> DeviceUnregistered:
        return DeviceUnregistered(
            workspace_id=self.workspace_id,
            pass_id=pass_id,
            pass_type_identifier=self.pass_type,
            serial_number=str(pass_id),
            device_library_identifier=phone.device,
            push_token_sha256=phone.sha256,
            reason="requested",
            unregistered_at=now(),
        )

    def published(self, pass_id: UUID, revision: int, **changes: Any) -> PassPublished:
        fields: dict[str, Any] = {
            "workspace_id": self.workspace_id,
            "pass_id": pass_id,
            "pass_type_identifier": self.pass_type,
            "serial_number": str(pass_id),
            "revision": revision,
            "status": PassStatus.ACTIVE,
            "content_sha256": hashlib.sha256(f"{pass_id}{revision}".encode()).hexdigest(),
            "cause_type": "pass.balance_changed",
            "caused_at": now(),
            "published_at": now(),
        }
        return PassPublished.model_validate(fields | changes)

    async def tell(self, *events: Any) -> None:
        await self.world.harness.publish(WALLET_ACTIVITY, *events)

    @property
    def class_id(self) -> str:
        return f"{ISSUER}.{self.workspace_id}-card"

    @property
    def gold(self) -> str:
        """The class of a tier."""
        return f"{self.class_id}-gold"

    def object_id(self, pass_id: UUID) -> str:
        return f"{ISSUER}.{self.workspace_id}-{pass_id}"

    async def tell_template(
        self,
        version: int = 1,
        name: str = "Ten coffees",
        tiers: Sequence[str] = (),
        messages: Sequence[str] | None = None,
        former_messages: Sequence[str] = (),
    ) -> None:
        body = {
            "id": self.class_id,
            "issuerName": "Kaffeefähre",
            "programName": name,
            "programLogo": {"sourceUri": {"uri": "https://example.com/logo.png"}},
            "reviewStatus": "UNDER_REVIEW",
        }
        if messages is not None:
            said = [{"id": each, "body": f"{each} {name}"} for each in messages]
            body["messages"] = [{**each, "messageType": "TEXT"} for each in said] or None
        event = TemplatePublished(
            workspace_id=self.workspace_id,
            template_id=self.template_id,
            template_version=version,
            name=name,
            assets={},
            google_class=GoogleClass(
                issuer_id=ISSUER,
                vertical="loyalty",
                class_id=self.class_id,
                class_body=body,
                former_message_ids=list(former_messages),
            ),
            google_tier_classes=[
                GoogleClass(
                    issuer_id=ISSUER,
                    vertical="loyalty",
                    class_id=f"{self.class_id}-{tier}",
                    class_body=body | {"id": f"{self.class_id}-{tier}", "rewardsTier": tier},
                )
                for tier in tiers
            ],
            published_at=now(),
        )
        await self.world.harness.publish(TEMPLATE_PUBLISHED, event)

    async def tell_message(
        self, message_id: str, body: str, *, pass_id: UUID | None = None, **changes: Any
    ) -> None:
        """On one pass, or on all of the template's."""
        event = MessageIssued(
            workspace_id=self.workspace_id,
            message_id=message_id,
            pass_id=pass_id,
            template_id=None if pass_id else self.template_id,
            body=body,
            issued_at=now(),
            **changes,
        )
        await self.world.harness.publish(MESSAGE_ISSUED, event)

    async def tell_rendered(
        self,
        pass_id: UUID,
        revision: int,
        *,
        points: int,
        is_wanted: bool = True,
        cause: str = "pass.balance_changed",
        tier: str | None = None,
        state: str = "ACTIVE",
    ) -> None:
        class_id = f"{self.class_id}-{tier}" if tier else self.class_id
        body = {
            "id": self.object_id(pass_id),
            "classId": class_id,
            "barcode": None,
            "state": state,
            "loyaltyPoints": {"label": "Points", "balance": {"int": points}},
        }
        event = PassRendered(
            workspace_id=self.workspace_id,
            pass_id=pass_id,
            program_id=uuid4(),
            external_id=str(pass_id),
            revision=revision,
            status=PassStatus.ACTIVE,
            template_id=uuid4(),
            template_version=1,
            google=GoogleRendering(
                issuer_id=ISSUER,
                vertical="loyalty",
                class_id=class_id,
                object_id=self.object_id(pass_id),
                object_body=body,
                is_wanted=is_wanted,
            ),
            content_sha256=hashlib.sha256(json.dumps(body).encode()).hexdigest(),
            causes=[Cause(event_type=cause, event_id="1")],
            caused_at=now(),
            rendered_at=now(),
        )
        await self.world.harness.publish(PASS_RENDERED, event)


def now(offset_s: float = 0.0) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=offset_s)


@pytest_asyncio.fixture
async def world(harness: Harness) -> AsyncIterator[World]:
    await harness.migrate("notifier", "passferry_notifier.migrations")
    directory = harness.directory
    authority = DemoAuthority.create(directory / "authority")
    (directory / "root.pem").write_bytes(authority.root_pem)
    rings = []
    for name in ("credentials.json", "tokens.json"):
        text = KeyRing.generate()
        (directory / name).write_text(text)
        (directory / name).chmod(0o600)
        rings.append(KeyRing.from_json(text))
    async with ApnsSimulator(authority) as apns, GoogleSimulator() as google:
        yield World(harness, authority, apns, google, rings[0], rings[1])
