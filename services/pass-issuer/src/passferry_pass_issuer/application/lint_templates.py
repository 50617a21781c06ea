"""Reads a template as its readers would, before any of them does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from passferry_pass_issuer.application.edit_templates import TemplateFile, Templates
from passferry_pass_issuer.application.ports import Transaction
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.apple_image_linting import ImageFile
from passferry_pass_issuer.domain.apple_linting import IdentityFacts, lint_apple
from passferry_pass_issuer.domain.credentials import SigningIdentityRecord
from passferry_pass_issuer.domain.google_linting import lint_google
from passferry_pass_issuer.domain.linting import LintFinding
from passferry_pass_issuer.domain.template_checks import TemplateVersion
from passferry_runtime.errors import NotFound

MAX_FINDINGS = 200


class Identities(Protocol):
    async def identities(
        self, transaction: Transaction, workspace_id: UUID
    ) -> list[SigningIdentityRecord]: ...


class Brand(Protocol):
    async def look(
        self, work: Work, draft: TemplateVersion, files: Sequence[TemplateFile]
    ) -> tuple[TemplateVersion, list[TemplateFile]]:
        """The draft and its files as they would be published now."""


#: Draws an example pass and says what devices, or Google, would make of it.
Examine = Callable[[TemplateVersion, Sequence[TemplateFile]], list[LintFinding]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LintReport:
    #: With what it takes of the brand.
    version: TemplateVersion
    findings: Sequence[LintFinding]


@dataclass(frozen=True, kw_only=True)
class LintTemplate:
    """Errors first; at most `MAX_FINDINGS`."""

    templates: Templates
    identities: Identities
    brand: Brand
    examine: Examine

    async def __call__(self, work: Work, workspace_id: UUID, template_id: UUID) -> LintReport:
        """Of the newest version."""
        versions = await self.templates.versions(work.transaction, workspace_id, template_id)
        if not versions:
            raise NotFound("template_not_found", "there is no such template")
        version = versions[0]
        files = await self.templates.files(work.transaction, version)
        if version.status == "draft":
            version, files = await self.brand.look(work, version, files)
        return LintReport(version=version, findings=await self.of(work, version, files))

    async def of(
        self, work: Work, version: TemplateVersion, files: Sequence[TemplateFile]
    ) -> list[LintFinding]:
        found = await self._dropped(work, version)
        apple = version.content.apple
        if version.is_for_apple and apple is not None:
            images = [
                ImageFile(name=file.name, width=file.width, height=file.height) for file in files
            ]
            found += lint_apple(apple, images, await self._identity(work, version))
        google = version.content.google
        if version.is_for_google and google is not None:
            found += lint_google(google, version.google_vertical)
        known = {finding.path for finding in found}
        found += [each for each in self.examine(version, files) if each.path not in known]
        found.sort(key=lambda finding: finding.severity != "error")
        return found[:MAX_FINDINGS]

    async def _dropped(self, work: Work, version: TemplateVersion) -> list[LintFinding]:
        """Wallets that a published version was for, and this one is not."""
        earlier = [
            each
            for each in await self.templates.versions(
                work.transaction, version.workspace_id, version.template_id
            )
            if each.status == "published" and each.template_version < version.template_version
        ]
        lost = {
            "apple": not version.is_for_apple and any(each.is_for_apple for each in earlier),
            "google": not version.is_for_google and any(each.is_for_google for each in earlier),
        }
        message = (
            "was in a published version: passes in that wallet stay with the version they have"
        )
        return [
            LintFinding(severity="warning", path=wallet, message=message, code=f"{wallet}_dropped")
            for wallet, is_lost in lost.items()
            if is_lost
        ]

    async def _identity(self, work: Work, version: TemplateVersion) -> IdentityFacts | None:
        records = await self.identities.identities(work.transaction, version.workspace_id)
        for record in records:
            if record.is_active and record.pass_type_identifier == version.pass_type_identifier:
                return IdentityFacts(
                    has_nfc=record.has_nfc,
                    team_identifier=record.team_identifier,
                    template_team=version.team_identifier,
                )
        return None
