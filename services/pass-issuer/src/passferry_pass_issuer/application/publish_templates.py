"""Publishes a draft: checked, drawn as an example, linted, and told with its files."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol
from uuid import UUID

from passferry_contracts.events.directory import (
    TemplateAssetReference,
    TemplateAssetStored,
    TemplatePublished,
)
from passferry_contracts.registry import TEMPLATE_ASSETS, TEMPLATE_PUBLISHED
from passferry_pass_issuer.application.edit_templates import (
    MAX_FILE_BYTES,
    MAX_FILES,
    TemplateFile,
    Templates,
    check_vertical,
    newest_version,
    template_file,
)
from passferry_pass_issuer.application.google_class_events import GoogleClasses, google_classes_of
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.apple_template import AppleContent
from passferry_pass_issuer.domain.linting import LintFinding
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.template_checks import TemplateVersion, check_publishable

STRINGS_NAME = ".lproj/pass.strings"


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
        draft = await newest_version(self.templates, work, workspace_id, template_id)
        if draft.status == "published":
            return draft
        await check_vertical(self.templates, work, draft)
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
