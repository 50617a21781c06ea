"""Templates: a draft is filled until it is published; a published version never changes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from passferry_contracts.types import Protocol as PassProtocol
from passferry_pass_issuer.application.ports import Transaction
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.template_checks import TemplateVersion
from passferry_pass_issuer.domain.template_parsing import parse_template_content
from passferry_runtime.errors import Conflict, NotFound
from passferry_runtime.ids import uuid7

MAX_FILE_BYTES = 655_360
#: As many as fit into the event of its publication.
MAX_FILES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateFile:
    name: str
    sha256: str
    sha1: str
    size: int
    #: In pixels; None where it is no image.
    width: int | None = None
    height: int | None = None


class Templates(Protocol):
    async def insert(self, transaction: Transaction, version: TemplateVersion) -> None: ...

    async def update(self, transaction: Transaction, version: TemplateVersion) -> None: ...

    async def copy_files(
        self, transaction: Transaction, workspace_id: UUID, template_id: UUID, *, to_version: int
    ) -> None:
        """Those of the version before that were its own, and not the brand's."""

    async def lock_newest(
        self, transaction: Transaction, workspace_id: UUID, template_id: UUID
    ) -> TemplateVersion | None: ...

    async def versions(
        self, transaction: Transaction, workspace_id: UUID, template_id: UUID
    ) -> list[TemplateVersion]:
        """Newest first, at most 100."""

    async def newest_on_google(
        self, transaction: Transaction, workspace_id: UUID, template_id: UUID
    ) -> TemplateVersion | None:
        """The newest published version that has a Google part."""

    async def page(
        self, transaction: Transaction, workspace_id: UUID, *, after: UUID | None, limit: int
    ) -> list[TemplateVersion]:
        """The newest version of each, by template id."""

    async def protocols(
        self, transaction: Transaction, workspace_id: UUID, template_id: UUID
    ) -> set[PassProtocol]:
        """Of its versions; empty when there is no such template."""

    async def files(
        self, transaction: Transaction, version: TemplateVersion
    ) -> list[TemplateFile]: ...

    async def store_file(
        self,
        transaction: Transaction,
        version: TemplateVersion,
        file: TemplateFile,
        content: bytes,
        at: datetime,
    ) -> None: ...

    async def remove_files(
        self, transaction: Transaction, version: TemplateVersion, names: Sequence[str]
    ) -> None: ...

    async def unsent_assets(
        self, transaction: Transaction, version: TemplateVersion
    ) -> Sequence[tuple[str, str, bytes]]:
        """(sha256, sha1, content) of its files that no other service was given yet."""

    async def mark_sent(
        self, transaction: Transaction, workspace_id: UUID, sha256s: Sequence[str]
    ) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateRequest:
    """`content` is JSON as `domain.template_parsing` reads it."""

    name: str
    platform: str
    protocol: PassProtocol
    pass_type_identifier: str | None
    team_identifier: str | None
    google_issuer_id: str | None
    content: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class CreateTemplate:
    templates: Templates

    async def __call__(
        self, work: Work, workspace_id: UUID, request: TemplateRequest
    ) -> TemplateVersion:
        version = _version(work, workspace_id, uuid7(), 1, request)
        await self.templates.insert(work.transaction, version)
        await work.audit(
            workspace_id, "template.created", version.template_id, after={"name": version.name}
        )
        return version


@dataclass(frozen=True, kw_only=True)
class ChangeTemplate:
    """Changes the draft, or begins a new one after the newest published version."""

    templates: Templates

    async def __call__(
        self, work: Work, workspace_id: UUID, template_id: UUID, request: TemplateRequest
    ) -> TemplateVersion:
        newest = await newest_version(self.templates, work, workspace_id, template_id)
        if request.protocol is not newest.protocol:
            raise ContentRejected("invalid", "protocol", "of a template never changes")
        is_draft = newest.status == "draft"
        number = newest.template_version + (0 if is_draft else 1)
        version = _version(work, workspace_id, template_id, number, request)
        await check_vertical(self.templates, work, version)
        if is_draft:
            version = replace(version, created_at=newest.created_at)
            await self.templates.update(work.transaction, version)
        else:
            await self.templates.insert(work.transaction, version)
            await self.templates.copy_files(
                work.transaction, workspace_id, template_id, to_version=number
            )
        await work.audit(
            workspace_id, "template.changed", template_id, after={"template_version": number}
        )
        return version


def _version(
    work: Work, workspace_id: UUID, template_id: UUID, number: int, request: TemplateRequest
) -> TemplateVersion:
    return TemplateVersion(
        workspace_id=workspace_id,
        template_id=template_id,
        template_version=number,
        status="draft",
        name=request.name,
        platform=request.platform,
        protocol=request.protocol,
        pass_type_identifier=request.pass_type_identifier,
        team_identifier=request.team_identifier,
        google_issuer_id=request.google_issuer_id,
        raw_content=request.content,
        content=parse_template_content(request.content),
        created_at=work.now,
        updated_at=work.now,
        published_at=None,
    )


async def check_vertical(templates: Templates, work: Work, version: TemplateVersion) -> None:
    """A class keeps its vertical for ever, and every version of a template shares its class."""
    if version.content.google is None:
        return
    told = await templates.newest_on_google(
        work.transaction, version.workspace_id, version.template_id
    )
    if told is not None and version.google_vertical != told.google_vertical:
        raise ContentRejected(
            "invalid", "google.vertical", f"of a published template stays {told.google_vertical}"
        )


async def newest_version(
    templates: Templates, work: Work, workspace_id: UUID, template_id: UUID
) -> TemplateVersion:
    newest = await templates.lock_newest(work.transaction, workspace_id, template_id)
    if newest is None:
        raise NotFound("template_not_found", "there is no such template")
    return newest


@dataclass(frozen=True, kw_only=True)
class StoreTemplateFile:
    """`check_asset(name, content)` raises `ContentRejected` for what is no image of a bundle."""

    templates: Templates
    check_asset: Callable[[str, bytes], None]

    async def __call__(
        self, work: Work, workspace_id: UUID, template_id: UUID, name: str, content: bytes
    ) -> TemplateFile:
        check_template_file(self.check_asset, name, content)
        newest = await newest_version(self.templates, work, workspace_id, template_id)
        if newest.status != "draft":
            raise Conflict("template_published", "a published version never changes: begin a draft")
        files = {file.name for file in await self.templates.files(work.transaction, newest)}
        if len(files | {name}) > MAX_FILES:
            raise ContentRejected("too_many", "name", f"at most {MAX_FILES} files in a template")
        file = template_file(name, content)
        await self.templates.store_file(work.transaction, newest, file, content, work.now)
        await work.audit(
            workspace_id,
            "template.file_stored",
            f"{template_id}/{name}",
            after={"sha256": file.sha256},
        )
        return file


def check_template_file(
    check_asset: Callable[[str, bytes], None], name: str, content: bytes
) -> None:
    if not content or len(content) > MAX_FILE_BYTES:
        raise ContentRejected("too_large", "body", f"must be 1 to {MAX_FILE_BYTES} bytes of PNG")
    check_asset(name, content)


def template_file(name: str, content: bytes) -> TemplateFile:
    return TemplateFile(
        name=name,
        sha256=hashlib.sha256(content).hexdigest(),
        # Apple's manifest is defined over SHA-1; integrity comes from its signature.
        sha1=hashlib.sha1(content, usedforsecurity=False).hexdigest(),
        size=len(content),
    )
