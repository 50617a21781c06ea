"""What the use cases need from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from passferry_contracts.events.directory import (
    LinkChanged,
    TemplateAssetStored,
    TemplatePublished,
)
from passferry_contracts.events.rendered import PassRendered
from passferry_contracts.types import Platform
from passferry_wallet_webservice.domain.publication import RecentContents


@dataclass(frozen=True, slots=True)
class DevicePass:
    """What a device that presents itself needs of a pass, by one indexed read."""

    workspace_id: UUID
    pass_id: UUID
    pass_type_identifier: str
    serial_number: str
    revision: int
    template_id: UUID
    template_version: int
    pass_json: str
    manifest: str
    signature: bytes | None
    token_sha256: bytes
    last_modified: datetime
    recent_contents: RecentContents


@dataclass(frozen=True, slots=True)
class LinkedPass:
    """What a public link shows. `apple` is None without a signing identity."""

    workspace_id: UUID
    pass_id: UUID
    status: str
    apple: DevicePass | None
    google_object_id: str | None
    save_link: str | None
    save_link_signed_at: datetime | None


@dataclass(frozen=True, slots=True)
class FoundLink:
    link_id: UUID
    pass_id: UUID | None
    expires_at: datetime | None
    revoked: bool


@dataclass(frozen=True, slots=True)
class Publication:
    """Outcome of storing revisions: counts by decision, for the metrics."""

    published: int = 0
    enriched: int = 0
    waiting: int = 0
    ignored: int = 0


@dataclass(frozen=True, slots=True)
class NewRegistration:
    """`push_token_ciphertext` is under the key shared with the notifier."""

    device_library_identifier: str
    push_token_ciphertext: bytes
    push_token_sha256: str


@dataclass(frozen=True, slots=True)
class ListedPass:
    serial_number: str
    update_tag: int


@dataclass(frozen=True, slots=True)
class GoneToken:
    """A push token that APNs says is gone since `gone_at`."""

    workspace_id: UUID
    push_token_sha256: str
    gone_at: datetime


class CallbackOutcome(StrEnum):
    STORED = "stored"
    REPEATED = "repeated"
    #: Signed for this issuer, but of no pass that is here.
    UNKNOWN_OBJECT = "unknown_object"


TemplateKey = tuple[UUID, UUID, int]


class RevisionStore(Protocol):
    async def store(self, revisions: Sequence[PassRendered]) -> Publication: ...

    async def publish_waiting(
        self, workspace_id: UUID, template_id: UUID, template_version: int
    ) -> int: ...

    async def changed(self, workspace_id: UUID, pass_id: UUID, timeout_s: float) -> None: ...


class TemplateStore(Protocol):
    """The first two return the complete templates that revisions still wait for."""

    async def store_templates(
        self, templates: Sequence[TemplatePublished]
    ) -> list[TemplateKey]: ...

    async def store_assets(self, assets: Sequence[TemplateAssetStored]) -> list[TemplateKey]: ...

    async def store_links(self, links: Sequence[LinkChanged]) -> None: ...

    async def forget_link(self, workspace_id: UUID, link_id: UUID) -> None: ...


class PassReader(Protocol):
    async def by_serial(
        self, workspace_id: UUID, pass_type_identifier: str, serial_number: str
    ) -> DevicePass | None: ...

    async def by_id(self, workspace_id: UUID, pass_id: UUID) -> LinkedPass | None: ...

    async def files_of(
        self, workspace_id: UUID, template_id: UUID, template_version: int
    ) -> dict[str, bytes]: ...

    async def link(self, workspace_id: UUID, token_sha256: str) -> FoundLink | None: ...


class RegistrationStore(Protocol):
    async def register(self, served: DevicePass, new: NewRegistration) -> bool: ...

    async def unregister(self, served: DevicePass, device_library_identifier: str) -> None: ...

    async def listed(
        self,
        workspace_id: UUID,
        pass_type_identifier: str,
        device_library_identifier: str,
        since: int,
    ) -> list[ListedPass]: ...

    async def count(self, workspace_id: UUID, pass_id: UUID) -> int | None: ...

    async def drop_gone_tokens(self, gone: Sequence[GoneToken]) -> None: ...

    async def forget_pass(self, workspace_id: UUID, pass_id: UUID) -> None: ...


class VisitStore(Protocol):
    async def link_opened(
        self,
        workspace_id: UUID,
        pass_id: UUID,
        link_id: UUID,
        platform: Platform,
        *,
        needs_rendering: bool,
    ) -> None: ...

    async def downloaded(self, workspace_id: UUID, pass_id: UUID, revision: int) -> None: ...

    async def add_log_lines(self, workspace_id: UUID, lines: Sequence[str]) -> None: ...

    async def recent_log_lines(
        self, workspace_id: UUID, limit: int
    ) -> list[tuple[str, datetime]]: ...

    async def google_callback(
        self,
        workspace_id: UUID,
        *,
        nonce: str,
        expires_at: datetime,
        google_object_id: str,
        is_save: bool,
    ) -> CallbackOutcome: ...
