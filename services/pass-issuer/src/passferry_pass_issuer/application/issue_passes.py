"""Issues passes: holder, pass, link and first rendering in one transaction, and tells of them."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from passferry_contracts.events.directory import LinkChanged
from passferry_contracts.registry import LINK_CHANGED, PASS_CREATED, PASS_RENDERED
from passferry_contracts.types import PassStatus
from passferry_contracts.types import Protocol as PassProtocol
from passferry_pass_issuer.application.pass_events import link_changed, pass_created, pass_rendered
from passferry_pass_issuer.application.ports import (
    Catalogue,
    Cipher,
    HolderRegister,
    NewHolder,
    NewPass,
    Passes,
    PassLink,
    Programs,
    RevisionRenderer,
    Transaction,
)
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain import secret_contexts
from passferry_pass_issuer.domain.issuing import (
    MAX_PASSES_PER_CALL,
    IssueOutcome,
    IssueRefused,
    IssueRequest,
    check_code,
    check_field_values,
    check_program_open,
    is_code,
)
from passferry_pass_issuer.domain.program import Program, opening_balance
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.rendering_subject import (
    HolderFacts,
    ProgramFacts,
    Rendering,
    RenderSubject,
    TemplateFacts,
)
from passferry_pass_issuer.domain.wallet_pass import WalletPass
from passferry_runtime.ids import uuid7

FIRST_REVISION = 1
CODE_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CODE_LENGTH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueResult:
    """`wallet_pass` and `link` are there unless the outcome is a refusal."""

    outcome: IssueOutcome
    wallet_pass: WalletPass | None = None
    link: PassLink | None = None
    refusal: ContentRejected | None = None


@dataclass(kw_only=True)
class _Known:
    """What the workspace has already, kept current while the requests of a call are taken."""

    programs: dict[UUID, Program]
    templates: dict[UUID, TemplateFacts]
    by_external_id: dict[str, WalletPass]
    memberships: dict[tuple[UUID, UUID], WalletPass]
    codes: set[tuple[UUID, str]]
    serial_numbers: set[str]
    holders_by_external_id: dict[str, HolderFacts]
    holders_by_email: dict[bytes, HolderFacts]
    email_hmacs: dict[str, bytes]
    new_passes: list[tuple[NewPass, HolderFacts, TemplateFacts]] = field(default_factory=list)
    new_holders: list[NewHolder] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class IssuePasses:
    """`public_base_url` is the web service's, without a trailing slash."""

    passes: Passes
    holders: HolderRegister
    programs: Programs
    catalogue: Catalogue
    renderer: RevisionRenderer
    cipher: Cipher
    public_base_url: str
    may_name_serial_number: bool = False

    async def __call__(
        self, work: Work, workspace_id: UUID, requests: Sequence[IssueRequest]
    ) -> list[IssueResult]:
        """One result per request, in their order; a refused one does not stop its neighbours.

        Equal requests (by external id, or by holder in a membership program) give the same pass
        again. Whoever issues in several workspaces within one transaction goes through them in
        the order of their ids, because issuing is locked per workspace.
        """
        if len(requests) > MAX_PASSES_PER_CALL:
            raise ContentRejected("too_many", "passes", f"at most {MAX_PASSES_PER_CALL} in a call")
        await self.passes.lock_issuing(work.transaction, workspace_id)
        known = await self._look_up(work.transaction, workspace_id, requests)
        results = [self._take(work, workspace_id, request, known) for request in requests]
        await self._store(work, workspace_id, known)
        return await self._with_links(work.transaction, workspace_id, results, known)

    async def _look_up(
        self, transaction: Transaction, workspace_id: UUID, requests: Sequence[IssueRequest]
    ) -> _Known:
        programs = await self.programs.by_ids(
            transaction, workspace_id, sorted({request.program_id for request in requests})
        )
        template_ids = sorted(
            {program.template_id for program in programs.values() if program.template_id}
        )
        emails = {request.holder.email for request in requests if request.holder.email}
        hmacs = {
            email: await self.holders.email_hmac(transaction, workspace_id, email)
            for email in sorted(emails)
        }
        by_external_id, by_email = await self.holders.find(
            transaction,
            workspace_id,
            external_ids=[r.holder.external_id for r in requests if r.holder.external_id],
            email_hmacs=list(hmacs.values()),
        )
        found = {facts.holder_id for facts in (*by_external_id.values(), *by_email.values())}
        wanted = [(program_id, holder_id) for program_id in programs for holder_id in found]
        return _Known(
            programs=programs,
            templates=await self.catalogue.newest_published(
                transaction, workspace_id, template_ids
            ),
            by_external_id=await self.passes.by_external_ids(
                transaction, workspace_id, [r.external_id for r in requests if r.external_id]
            ),
            memberships=await self.passes.memberships(transaction, workspace_id, wanted),
            codes=await self.passes.taken_codes(
                transaction,
                workspace_id,
                [(r.program_id, r.code) for r in requests if r.code and is_code(r.code)],
            ),
            serial_numbers=await self.passes.taken_serial_numbers(
                transaction, workspace_id, [r.serial_number for r in requests if r.serial_number]
            ),
            holders_by_external_id=by_external_id,
            holders_by_email=by_email,
            email_hmacs=hmacs,
        )

    def _take(
        self, work: Work, workspace_id: UUID, request: IssueRequest, known: _Known
    ) -> IssueResult:
        try:
            check_field_values(request.field_values)
            existing = self._existing(request, known)
            if existing is not None:
                return IssueResult(outcome=IssueOutcome.EXISTED, wallet_pass=existing)
            return self._create(work, workspace_id, request, known)
        except ContentRejected as refusal:
            return IssueResult(outcome=IssueOutcome.REFUSED, refusal=refusal)

    def _existing(self, request: IssueRequest, known: _Known) -> WalletPass | None:
        if request.external_id is None:
            return None
        existing = known.by_external_id.get(request.external_id)
        if existing is not None and existing.request_sha256 != request.sha256():
            raise IssueRefused(
                "external_id_taken", "external_id", "names a pass of another request", 409
            )
        return existing

    def _create(
        self, work: Work, workspace_id: UUID, request: IssueRequest, known: _Known
    ) -> IssueResult:
        program = check_program_open(known.programs.get(request.program_id))
        template = self._template(program, known)
        opening = opening_balance(program, request.opening_balance_minor)
        values = check_field_values(request.field_values)
        holder, is_new_holder = _holder_of(request, known)
        if program.protocol is PassProtocol.MEMBERSHIP and not is_new_holder:
            member = known.memberships.get((program.program_id, holder.holder_id))
            if member is not None:
                return _same_member(request, member)
        code = self._code(request, known)
        if request.serial_number is not None:
            self._check_serial_number(
                request.serial_number, known, is_kept=request.kept is not None
            )
        pass_id = uuid7()
        kept_token = request.kept.authentication_token if request.kept is not None else None
        token = kept_token or secrets.token_urlsafe(32)
        draft = RenderSubject(
            workspace_id=workspace_id,
            pass_id=pass_id,
            external_id=request.external_id or str(pass_id),
            serial_number=request.serial_number or secrets.token_hex(16),
            authentication_token=token,
            code=code,
            status=PassStatus.ACTIVE,
            status_reason=None,
            balance_minor=opening,
            unit=program.unit,
            unit_scale=program.unit_scale,
            field_values=values,
            expires_at=request.expires_at,
            created_at=work.now,
            program=ProgramFacts(
                program_id=program.program_id, name=program.name, protocol=program.protocol
            ),
            template=template,
            holder=holder,
            web_service_url=f"{self.public_base_url}/w/{workspace_id}",
        )
        rendering = self.renderer.render(draft)
        wallet_pass = self._row(work, request, program, draft, rendering)
        self._remember(work, request, known, wallet_pass, holder, template, is_new_holder)
        return IssueResult(outcome=IssueOutcome.CREATED, wallet_pass=wallet_pass)

    @staticmethod
    def _template(program: Program, known: _Known) -> TemplateFacts:
        template = known.templates.get(program.template_id) if program.template_id else None
        if template is None:
            raise IssueRefused(
                "template_not_published", "program_id", "has no published template yet", 409
            )
        return template

    @staticmethod
    def _code(request: IssueRequest, known: _Known) -> str:
        if request.code is None:
            # 80 bits: never met twice, and never guessed.
            return "".join(secrets.choice(CODE_ALPHABET) for _ in range(CODE_LENGTH))
        code = check_code(request.code)
        if (request.program_id, code) in known.codes:
            raise IssueRefused("code_taken", "code", "is the code of another pass", 409)
        return code

    def _check_serial_number(self, serial_number: str, known: _Known, *, is_kept: bool) -> None:
        if not is_kept and not self.may_name_serial_number:
            raise ContentRejected("invalid", "serial_number", "cannot be chosen")
        if serial_number in known.serial_numbers:
            raise IssueRefused("serial_number_taken", "serial_number", "is of another pass", 409)

    def _row(
        self,
        work: Work,
        request: IssueRequest,
        program: Program,
        subject: RenderSubject,
        rendering: Rendering,
    ) -> WalletPass:
        token = subject.authentication_token.encode()
        context = secret_contexts.authentication_token(subject.workspace_id, subject.pass_id)
        return WalletPass(
            workspace_id=subject.workspace_id,
            pass_id=subject.pass_id,
            program_id=program.program_id,
            protocol=program.protocol,
            template_id=subject.template.template_id,
            template_version=subject.template.template_version,
            holder_id=subject.holder.holder_id,
            external_id=subject.external_id,
            request_sha256=request.sha256(),
            pass_type_identifier=subject.template.pass_type_identifier,
            serial_number=subject.serial_number,
            authentication_token_ciphertext=self.cipher.encrypt(token, context=context),
            authentication_token_sha256=hashlib.sha256(token).hexdigest(),
            code=subject.code,
            status=PassStatus.ACTIVE,
            status_reason=None,
            balance_owner=program.balance_owner,
            unit=program.unit,
            unit_scale=program.unit_scale,
            balance_minor=subject.balance_minor,
            # What an upstream says of a new pass is its balance and its fields at once.
            ledger_version=request.upstream_version,
            upstream_version=request.upstream_version,
            field_values=subject.field_values,
            expires_at=subject.expires_at,
            revision=FIRST_REVISION,
            content_sha256=rendering.content_sha256,
            pass_json=rendering.pass_json,
            manifest=rendering.manifest,
            google_object_id=rendering.google_object_id,
            google_object_body=rendering.google_object,
            causes=(),
            caused_at=work.now,
            rendered_at=work.now,
            created_at=work.now,
            updated_at=work.now,
        )

    def _remember(
        self,
        work: Work,
        request: IssueRequest,
        known: _Known,
        wallet_pass: WalletPass,
        holder: HolderFacts,
        template: TemplateFacts,
        is_new_holder: bool,
    ) -> None:
        link_token = secrets.token_urlsafe(24)
        link = PassLink(
            link_id=uuid7(),
            token=link_token,
            token_sha256=hashlib.sha256(link_token.encode()).hexdigest(),
            expires_at=None,
            is_revoked=False,
        )
        known.new_passes.append((NewPass(wallet_pass=wallet_pass, link=link), holder, template))
        known.by_external_id[wallet_pass.external_id] = wallet_pass
        known.codes.add((wallet_pass.program_id, wallet_pass.code))
        known.serial_numbers.add(wallet_pass.serial_number)
        if wallet_pass.protocol is PassProtocol.MEMBERSHIP:
            known.memberships[(wallet_pass.program_id, holder.holder_id)] = wallet_pass
        if is_new_holder:
            email = known.email_hmacs.get(request.holder.email or "")
            known.new_holders.append(NewHolder(facts=holder, email_hmac=email, created_at=work.now))
            if holder.external_id is not None:
                known.holders_by_external_id[holder.external_id] = holder
            if email is not None:
                known.holders_by_email.setdefault(email, holder)

    async def _store(self, work: Work, workspace_id: UUID, known: _Known) -> None:
        if not known.new_passes:
            return
        await self.holders.insert(work.transaction, workspace_id, known.new_holders)
        created = []
        for new, holder, template in known.new_passes:
            wallet_pass = new.wallet_pass
            event_id = work.transaction.emit(
                PASS_CREATED, pass_created(wallet_pass, recipient_name=holder.full_name)
            )
            cause = {"event_type": "pass.created", "event_id": event_id, "reason": None}
            caused = replace(wallet_pass, causes=(cause,))
            work.transaction.emit(PASS_RENDERED, pass_rendered(caused, template))
            work.transaction.emit(LINK_CHANGED, _link_event(new, work))
            created.append(NewPass(wallet_pass=caused, link=new.link))
        await self.passes.insert(work.transaction, created)
        await _audit(work, workspace_id, created)

    async def _with_links(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        results: list[IssueResult],
        known: _Known,
    ) -> list[IssueResult]:
        links = {new.wallet_pass.pass_id: new.link for new, _, _ in known.new_passes}
        found = {r.wallet_pass.pass_id for r in results if r.wallet_pass is not None}
        older = sorted(found - links.keys())
        if older:
            links |= await self.passes.links(transaction, workspace_id, older)
        return [
            replace(result, link=links.get(result.wallet_pass.pass_id))
            if result.wallet_pass is not None
            else result
            for result in results
        ]


async def _audit(work: Work, workspace_id: UUID, created: Sequence[NewPass]) -> None:
    """One row for the call, however many passes it made."""
    if len(created) == 1:
        wallet_pass = created[0].wallet_pass
        after = {
            "program_id": wallet_pass.program_id,
            "external_id": wallet_pass.external_id,
            "opening_balance_minor": wallet_pass.balance_minor,
        }
        await work.audit(workspace_id, "pass.issued", wallet_pass.pass_id, after=after)
        return
    ids = [str(new.wallet_pass.pass_id) for new in created]
    await work.audit(workspace_id, "passes.issued", f"{len(ids)} passes", after={"pass_ids": ids})


def _holder_of(request: IssueRequest, known: _Known) -> tuple[HolderFacts, bool]:
    """The holder that the request means and whether it is new; someone known keeps their data."""
    asked = request.holder
    found = known.holders_by_external_id.get(asked.external_id) if asked.external_id else None
    if found is None and asked.email is not None:
        same_address = known.holders_by_email.get(known.email_hmacs[asked.email])
        # Two ids are two people, even when they share an address.
        if same_address and not (asked.external_id and same_address.external_id):
            found = same_address
    if found is not None:
        return found, False
    facts = HolderFacts(
        holder_id=uuid7(),
        external_id=asked.external_id,
        full_name=asked.full_name,
        email=asked.email,
        locale=asked.locale,
        birthday=asked.birthday,
    )
    return facts, True


def _same_member(request: IssueRequest, member: WalletPass) -> IssueResult:
    if request.external_id is not None and request.external_id != member.external_id:
        raise IssueRefused(
            "holder_is_member", "holder", "has a pass of this program under another id", 409
        )
    return IssueResult(outcome=IssueOutcome.EXISTED, wallet_pass=member)


def _link_event(new: NewPass, work: Work) -> LinkChanged:
    return link_changed(
        new.wallet_pass,
        link_id=new.link.link_id,
        token_sha256=new.link.token_sha256,
        expires_at=new.link.expires_at,
        is_revoked=new.link.is_revoked,
        changed_at=work.now,
    )
