"""Templates: a draft is filled, checked and published; a published version never changes."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from passferry_contracts.events.directory import (
    TemplateAssetReference,
    TemplateAssetStored,
    TemplatePublished,
)
from passferry_contracts.registry import TEMPLATE_ASSETS, TEMPLATE_PUBLISHED
from passferry_contracts.types import Protocol as PassProtocol
from passferry_pass_issuer.application.google_class_events import GoogleClasses, google_classes_of
from passferry_pass_issuer.application.ports import Transaction
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.apple_template import AppleContent
from passferry_pass_issuer.domain.linting import LintFinding
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.template_checks import TemplateVersion, check_publishable
from passferry_pass_issuer.domain.template_parsing import parse_template_content
from passferry_runtime.errors import Conflict, NotFound
from passferry_runtime.ids import uuid7

MAX_FILE_BYTES = 655_360
STRINGS_NAME = ".lproj/pass.strings"
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
        newest = await _newest(self.templates, work, workspace_id, template_id)
        if request.protocol is not newest.protocol:
            raise ContentRejected("invalid", "protocol", "of a template never changes")
        is_draft = newest.status == "draft"
        number = newest.template_version + (0 if is_draft else 1)
        version = _version(work, workspace_id, template_id, number, request)
        await _check_vertical(self.templates, work, version)
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


async def _check_vertical(templates: Templates, work: Work, version: TemplateVersion) -> None:
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


async def _newest(
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
        newest = await _newest(self.templates, work, workspace_id, template_id)
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


class BrandTaker(Protocol):
    async def take(
        self, work: Work, draft: TemplateVersion, files: Sequence[TemplateFile]
    ) -> tuple[TemplateVersion, list[TemplateFile]]:
        """The draft and its files, with what it leaves to the brand of its workspace."""


class TemplateLinter(Protocol):
    async def of(
        self, work: Work, version: TemplateVersion, files: Sequence[TemplateFile]
    ) -> list[LintFinding]:
        """Errors first."""


@dataclass(frozen=True, kw_only=True)
class PublishTemplate:
    templates: Templates
    google_classes: GoogleClasses
    brand: BrandTaker
    #: Renders an example pass, so that what cannot be rendered is refused here.
    try_out: Callable[[TemplateVersion, Sequence[TemplateFile]], None]
    lint: TemplateLinter
    #: The files that hold what a template translates.
    strings_files: Callable[[AppleContent], Mapping[str, bytes]]

    async def __call__(self, work: Work, workspace_id: UUID, template_id: UUID) -> TemplateVersion:
        """Publishing what is published already changes nothing."""
        draft = await _newest(self.templates, work, workspace_id, template_id)
        if draft.status == "published":
            return draft
        await _check_vertical(self.templates, work, draft)
        await self._store_strings(work, draft)
        own_files = await self.templates.files(work.transaction, draft)
        draft, files = await self.brand.take(work, draft, own_files)
        if len(files) > MAX_FILES:
            raise ContentRejected("too_many", "files", f"must be at most {MAX_FILES} in a template")
        check_publishable(draft, {file.name for file in files})
        self.try_out(draft, files)
        for finding in await self.lint.of(work, draft, files):
            if finding.severity == "error":
                raise ContentRejected(finding.code, finding.path, finding.message)
        published = replace(draft, status="published", published_at=work.now, updated_at=work.now)
        await self.templates.update(work.transaction, published)
        await self._send_assets(work, published)
        work.transaction.emit(TEMPLATE_PUBLISHED, await self._event(work, published, files))
        await work.audit(
            workspace_id,
            "template.published",
            template_id,
            after={
                "template_version": published.template_version,
                "from_brand": list(published.from_brand),
            },
        )
        return published

    async def _store_strings(self, work: Work, draft: TemplateVersion) -> None:
        """Those of the draft, and no longer those of the version that it was copied from."""
        apple = draft.content.apple
        wanted = {} if apple is None else self.strings_files(apple)
        files = await self.templates.files(work.transaction, draft)
        stale = [f.name for f in files if f.name.endswith(STRINGS_NAME) and f.name not in wanted]
        await self.templates.remove_files(work.transaction, draft, stale)
        for name, content in wanted.items():
            if len(content) > MAX_FILE_BYTES:
                raise ContentRejected("too_large", "apple.strings", "is too long for one language")
            await self.templates.store_file(
                work.transaction, draft, template_file(name, content), content, work.now
            )

    async def _send_assets(self, work: Work, version: TemplateVersion) -> None:
        assets = await self.templates.unsent_assets(work.transaction, version)
        for sha256, sha1, content in assets:
            work.transaction.emit(
                TEMPLATE_ASSETS,
                TemplateAssetStored(
                    workspace_id=version.workspace_id,
                    sha256=sha256,
                    sha1=sha1,
                    content=base64.b64encode(content).decode(),
                ),
            )
        await self.templates.mark_sent(
            work.transaction, version.workspace_id, [sha256 for sha256, _, _ in assets]
        )

    async def _event(
        self, work: Work, version: TemplateVersion, files: Sequence[TemplateFile]
    ) -> TemplatePublished:
        google_class, tiers = await google_classes_of(
            work, self.templates, self.google_classes, version
        )
        return TemplatePublished(
            workspace_id=version.workspace_id,
            template_id=version.template_id,
            template_version=version.template_version,
            name=version.name,
            assets={
                file.name: TemplateAssetReference(
                    sha1=file.sha1, sha256=file.sha256, size=file.size
                )
                for file in files
            },
            google_class=google_class,
            google_tier_classes=tiers,
            published_at=work.now,
        )
