"""Imports templates and passes of other tools: what was read becomes drafts and issued passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from passferry_contracts.types import Protocol as PassProtocol
from passferry_pass_issuer.application.credential_ports import CredentialStore
from passferry_pass_issuer.application.edit_templates import (
    CreateTemplate,
    StoreTemplateFile,
    TemplateRequest,
)
from passferry_pass_issuer.application.issue_passes import IssuePasses, IssueResult
from passferry_pass_issuer.application.ports import Catalogue, Passes, Programs, Transaction
from passferry_pass_issuer.application.read_imports import ReadImport
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.issuing import (
    IssueOutcome,
    IssueRefused,
    IssueRequest,
    KeptIdentity,
    check_program_open,
)
from passferry_pass_issuer.domain.json_pattern import constant_at
from passferry_pass_issuer.domain.layout_constants import DOCUMENT
from passferry_pass_issuer.domain.pass2u import RefusedPass
from passferry_pass_issuer.domain.pass_import import SourcePass, SourceTemplate, Unmapped
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.rendering_subject import TemplateFacts


class ImportStore(Protocol):
    async def template_ids(
        self, transaction: Transaction, workspace_id: UUID, keys: Sequence[str]
    ) -> Mapping[str, UUID]:
        """Templates that were imported before, by the key of their layout."""

    async def remember(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        key: str,
        template_id: UUID,
        at: datetime,
    ) -> None: ...

    async def pass_ids(
        self, transaction: Transaction, workspace_id: UUID, wanted: Sequence[tuple[str, str]]
    ) -> Mapping[tuple[str, str], UUID]:
        """By (pass type identifier, serial number)."""

    async def mark_on_apple(
        self, transaction: Transaction, workspace_id: UUID, pass_ids: Sequence[UUID]
    ) -> None:
        """They are on phones already, so that they are signed at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRequest:
    #: Into which passes are issued; absent: templates alone.
    program_id: UUID | None = None
    #: Also of pass types that the workspace has no signing identity for.
    without_identity: bool = False
    protocol: PassProtocol | None = None


@dataclass(slots=True, kw_only=True)
class ImportedTemplate:
    source: SourceTemplate
    outcome: str
    template_id: UUID | None = None
    refusal: ContentRejected | None = None


@dataclass(slots=True, kw_only=True)
class ImportedPass:
    """`outcome`: created, existed, refused, or read when no passes were asked for."""

    name: str
    outcome: str
    source: SourcePass | None = None
    pass_id: UUID | None = None
    refusal: ContentRejected | None = None
    unmapped: list[Unmapped] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ImportReport:
    templates: Sequence[ImportedTemplate]
    passes: Sequence[ImportedPass]
    ignored: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class ImportPasses:
    store: ImportStore
    credentials: CredentialStore
    passes: Passes
    programs: Programs
    catalogue: Catalogue
    create_template: CreateTemplate
    store_file: StoreTemplateFile
    issue: IssuePasses
    sign_waiting: Callable[[UUID, str], None]

    async def __call__(
        self, work: Work, workspace_id: UUID, read: ReadImport, request: ImportRequest
    ) -> ImportReport:
        """In one transaction; a repetition makes nothing twice."""
        # Others who issue or import wait, so that what is looked up stays true.
        await self.passes.lock_issuing(work.transaction, workspace_id)
        identities = await self.credentials.identities(work.transaction, workspace_id)
        own = {each.pass_type_identifier for each in identities if each.is_active}
        known = await self.store.template_ids(
            work.transaction, workspace_id, [each.key for each in read.templates]
        )
        templates = [
            await self._template(work, workspace_id, each, request, own, known)
            for each in read.templates
        ]
        passes = [_read_pass(each) for each in read.passes]
        for each in passes:
            pass_type = each.source.pass_type_identifier if each.source else None
            if each.refusal is None and not _is_own(pass_type, own, request):
                _refuse(each, _foreign(pass_type))
        if request.program_id is not None:
            await self._issue(work, workspace_id, request.program_id, passes)
        report = ImportReport(templates, passes, read.ignored)
        await work.audit(
            workspace_id,
            "import.finished",
            f"{len(templates)} templates, {len(passes)} passes",
            after={
                "templates": [str(each.template_id) for each in templates if each.template_id],
                "created": sum(each.outcome == "created" for each in passes),
            },
        )
        return report

    async def _template(
        self,
        work: Work,
        workspace_id: UUID,
        source: SourceTemplate,
        request: ImportRequest,
        own: set[str],
        known: Mapping[str, UUID],
    ) -> ImportedTemplate:
        if not _is_own(source.pass_type_identifier, own, request):
            refusal = _foreign(source.pass_type_identifier)
            return ImportedTemplate(source=source, outcome="refused", refusal=refusal)
        if source.key in known:
            return ImportedTemplate(source=source, outcome="existed", template_id=known[source.key])
        made = await self.create_template(
            work,
            workspace_id,
            TemplateRequest(
                name=source.name,
                platform="apple",
                protocol=request.protocol or PassProtocol(source.protocol),
                pass_type_identifier=source.pass_type_identifier,
                team_identifier=source.team_identifier,
                google_issuer_id=None,
                content={"apple": source.apple},
            ),
        )
        for name, content in sorted(source.files.items()):
            await self.store_file(work, workspace_id, made.template_id, name, content)
        await self.store.remember(
            work.transaction, workspace_id, source.key, made.template_id, work.now
        )
        return ImportedTemplate(source=source, outcome="created", template_id=made.template_id)

    async def _issue(
        self, work: Work, workspace_id: UUID, program_id: UUID, passes: Sequence[ImportedPass]
    ) -> None:
        template = await self._program_template(work, workspace_id, program_id)
        wanted = [
            (each.source.pass_type_identifier, each.source.serial_number)
            for each in passes
            if each.source and each.source.serial_number and each.source.pass_type_identifier
        ]
        existing = await self.store.pass_ids(work.transaction, workspace_id, wanted)
        asked: list[tuple[ImportedPass, SourcePass]] = []
        for each in passes:
            source = each.source
            if source is None or each.refusal is not None:
                continue
            found = existing.get((source.pass_type_identifier or "", source.serial_number or ""))
            if found is not None:
                each.outcome, each.pass_id = "existed", found
                continue
            refusal = _why_not(source, template, work.now)
            if refusal is not None:
                _refuse(each, refusal)
                continue
            each.unmapped += _not_shown(source, template)
            asked.append((each, source))
        requests = [_request(program_id, source) for _, source in asked]
        results = await self.issue(work, workspace_id, requests) if requests else []
        for (each, _), result in zip(asked, results, strict=True):
            _take(each, result)
        await self._sign(work, workspace_id, template, [each for each, _ in asked])

    async def _program_template(
        self, work: Work, workspace_id: UUID, program_id: UUID
    ) -> TemplateFacts:
        programs = await self.programs.by_ids(work.transaction, workspace_id, [program_id])
        program = check_program_open(programs.get(program_id))
        templates = await self.catalogue.newest_published(
            work.transaction, workspace_id, [program.template_id] if program.template_id else []
        )
        template = templates.get(program.template_id) if program.template_id else None
        if template is None:
            raise IssueRefused(
                "template_not_published", "program_id", "has no published template yet", 409
            )
        return template

    async def _sign(
        self,
        work: Work,
        workspace_id: UUID,
        template: TemplateFacts,
        passes: Sequence[ImportedPass],
    ) -> None:
        made = [
            each.pass_id
            for each in passes
            if each.outcome == "created"
            and each.pass_id is not None
            and each.source is not None
            and each.source.serial_number is not None
        ]
        pass_type = template.pass_type_identifier
        if made and pass_type is not None:
            await self.store.mark_on_apple(work.transaction, workspace_id, made)
            work.after_commit.append(lambda: self.sign_waiting(workspace_id, pass_type))


def _read_pass(each: SourcePass | RefusedPass) -> ImportedPass:
    if isinstance(each, RefusedPass):
        return ImportedPass(name=each.name, outcome="refused", refusal=each.refusal)
    return ImportedPass(name=each.name, outcome="read", source=each, unmapped=list(each.unmapped))


def _is_own(pass_type: str | None, own: set[str], request: ImportRequest) -> bool:
    return pass_type is None or pass_type in own or request.without_identity


def _foreign(pass_type: str | None) -> ContentRejected:
    return ContentRejected(
        "foreign_pass_type",
        "passTypeIdentifier",
        f"{pass_type} has no signing identity here: upload it first, or say without_identity=true",
    )


def _why_not(source: SourcePass, template: TemplateFacts, now: datetime) -> ContentRejected | None:
    if source.is_voided:
        return ContentRejected("pass_voided", "voided", "passes that ended are left behind")
    if source.expires_at is not None and source.expires_at <= now:
        return ContentRejected(
            "pass_expired", "expirationDate", "passes that ended are left behind"
        )
    if source.pass_type_identifier not in (None, template.pass_type_identifier):
        return ContentRejected(
            "pass_type_mismatch",
            "passTypeIdentifier",
            f"is not {template.pass_type_identifier}, which passes of the program have",
        )
    return None


def _not_shown(source: SourcePass, template: TemplateFacts) -> list[Unmapped]:
    shown = template.content.field_names()
    return [
        Unmapped(path, "is another here than in the program's template, which shows it to all")
        for path, constant in source.constants.items()
        if _said_to_all(template, path) not in (None, constant)
    ] + [
        Unmapped(f"fields.{name}", "is kept, but the program's template does not show it")
        for name in sorted(source.values)
        if name not in shown
    ]


def _said_to_all(template: TemplateFacts, path: str) -> object:
    """What the template says at a path of `layout_constants`; None where it says nothing fixed."""
    apple = template.content.apple
    if apple is None:
        return None
    parts = path.split("/")
    if parts[0] == DOCUMENT and len(parts) > 1:
        return constant_at(apple.document, parts[1:])
    for group in apple.fields.values():
        for each in group:
            if each.key == path and each.value.source == "text":
                return each.value.text
    return None


def _request(program_id: UUID, source: SourcePass) -> IssueRequest:
    kept = None
    if source.serial_number is not None:
        kept = KeptIdentity(
            serial_number=source.serial_number,
            authentication_token=source.authentication_token,
        )
    return IssueRequest(
        program_id=program_id,
        external_id=source.external_id,
        opening_balance_minor=source.opening_balance_minor,
        field_values=source.values,
        code=source.code,
        expires_at=source.expires_at,
        serial_number=source.serial_number,
        kept=kept,
    )


def _take(each: ImportedPass, result: IssueResult) -> None:
    if result.outcome is IssueOutcome.REFUSED or result.wallet_pass is None:
        if result.refusal is not None:
            _refuse(each, result.refusal)
        return
    each.outcome = result.outcome.value
    each.pass_id = result.wallet_pass.pass_id


def _refuse(each: ImportedPass, refusal: ContentRejected) -> None:
    each.outcome, each.refusal = "refused", refusal
