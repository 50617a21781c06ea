"""Issues passes: holder, pass, link and first rendering in one transaction, and tells of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from passferry_contracts.types import Protocol as PassProtocol
from passferry_pass_issuer.application.erased_people import (
    ErasedNames,
    check_not_erased,
    erased_since,
    names_in,
)
from passferry_pass_issuer.application.make_passes import MakePasses, PassDraft, tell_new_pass
from passferry_pass_issuer.application.ports import (
    Catalogue,
    HolderRegister,
    NewHolder,
    NewPass,
    Passes,
    PassLink,
    Programs,
    Transaction,
)
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.end_rules import check_days
from passferry_pass_issuer.domain.erased_names import Name
from passferry_pass_issuer.domain.issuing import (
    MAX_PASSES_PER_CALL,
    IssueOutcome,
    IssueRefused,
    IssueRequest,
    check_code,
    check_end,
    check_external_id,
    check_field_values,
    check_program_open,
    is_code,
)
from passferry_pass_issuer.domain.program import Program, opening_balance
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.rendering_subject import HolderFacts, TemplateFacts
from passferry_pass_issuer.domain.wallet_pass import WalletPass
from passferry_runtime.ids import uuid7


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
    #: Names of people who were erased after these requests were made.
    erased: frozenset[Name]
    new_passes: list[tuple[NewPass, HolderFacts, TemplateFacts]] = field(default_factory=list)
    new_holders: list[NewHolder] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class IssuePasses:
    """Who issues what to whom is decided here; the passes themselves are made elsewhere."""

    passes: Passes
    holders: HolderRegister
    programs: Programs
    catalogue: Catalogue
    make: MakePasses
    erased_names: ErasedNames
    may_name_serial_number: bool = False

    async def __call__(
        self,
        work: Work,
        workspace_id: UUID,
        requests: Sequence[IssueRequest],
        *,
        asked_at: datetime | None = None,
    ) -> list[IssueResult]:
        """One result per request, in their order; a refused one does not stop its neighbours.

        `asked_at` is when they were made, unless that is now: nothing is issued to who was erased
        since.

        Equal requests (by external id, or by holder in a membership program) give the same pass
        again. Whoever issues in several workspaces within one transaction goes through them in
        the order of their ids, because issuing is locked per workspace.
        """
        if len(requests) > MAX_PASSES_PER_CALL:
            raise ContentRejected("too_many", "passes", f"at most {MAX_PASSES_PER_CALL} in a call")
        await self.passes.lock_issuing(work.transaction, workspace_id)
        known = await self._look_up(work.transaction, workspace_id, requests, asked_at)
        results = [self._take(work, workspace_id, request, known) for request in requests]
        await self._store(work, workspace_id, known)
        return await self._with_links(work.transaction, workspace_id, results, known)

    async def _look_up(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        requests: Sequence[IssueRequest],
        asked_at: datetime | None,
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
        erased: frozenset[Name] = frozenset()
        if asked_at is not None:
            names = {name for request in requests for name in names_in(request, hmacs)}
            erased = await erased_since(
                self.erased_names, transaction, workspace_id, names, asked_at
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
            erased=erased,
        )

    def _take(
        self, work: Work, workspace_id: UUID, request: IssueRequest, known: _Known
    ) -> IssueResult:
        try:
            check_field_values(request.field_values)
            check_not_erased(request, known.email_hmacs, known.erased)
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
        expires_at = request.expires_at or template.content.expiry_of(work.now)
        if request.kept is None:
            # What an import brings keeps its names, and is reached by its pass id.
            check_external_id(request.external_id)
            check_end(expires_at, work.now)
            zone, rules = program.rules.get("time_zone"), template.content.ends_when
            check_days(values, rules, time_zone=zone, now=work.now)
        code = self._code(request, known)
        if request.serial_number is not None:
            self._check_serial_number(
                request.serial_number, known, is_kept=request.kept is not None
            )
        new = self.make.make(
            work,
            PassDraft(
                workspace_id=workspace_id,
                program=program,
                template=template,
                holder=holder,
                opening_balance_minor=opening,
                field_values=values,
                request_sha256=request.sha256(),
                external_id=request.external_id,
                code=code,
                serial_number=request.serial_number,
                authentication_token=(
                    None if request.kept is None else request.kept.authentication_token
                ),
                expires_at=expires_at,
                upstream_version=request.upstream_version,
            ),
        )
        self._remember(work, request, known, new, holder, template, is_new_holder)
        return IssueResult(outcome=IssueOutcome.CREATED, wallet_pass=new.wallet_pass)

    @staticmethod
    def _template(program: Program, known: _Known) -> TemplateFacts:
        template = known.templates.get(program.template_id) if program.template_id else None
        if template is None:
            raise IssueRefused(
                "template_not_published", "program_id", "has no published template yet", 409
            )
        return template

    @staticmethod
    def _code(request: IssueRequest, known: _Known) -> str | None:
        if request.code is None:
            return None
        code = check_code(request.code)
        if (request.program_id, code) in known.codes:
            raise IssueRefused("code_taken", "code", "is the code of another pass", 409)
        return code

    def _check_serial_number(self, serial_number: str, known: _Known, *, is_kept: bool) -> None:
        if not is_kept and not self.may_name_serial_number:
            raise ContentRejected("invalid", "serial_number", "cannot be chosen")
        if serial_number in known.serial_numbers:
            raise IssueRefused("serial_number_taken", "serial_number", "is of another pass", 409)

    def _remember(
        self,
        work: Work,
        request: IssueRequest,
        known: _Known,
        new: NewPass,
        holder: HolderFacts,
        template: TemplateFacts,
        is_new_holder: bool,
    ) -> None:
        wallet_pass = new.wallet_pass
        known.new_passes.append((new, holder, template))
        known.by_external_id[wallet_pass.external_id] = wallet_pass
        known.codes.add((wallet_pass.program_id, wallet_pass.code))
        known.serial_numbers.add(wallet_pass.serial_number)
        if wallet_pass.protocol is PassProtocol.MEMBERSHIP:
            known.memberships[(wallet_pass.program_id, holder.holder_id)] = wallet_pass
        if is_new_holder:
            email = known.email_hmacs.get(request.holder.email or "")
            known.new_holders.append(
                NewHolder(
                    facts=holder,
                    email_hmac=email,
                    is_address_proven=request.trusts_address,
                    created_at=work.now,
                )
            )
            if holder.external_id is not None:
                known.holders_by_external_id[holder.external_id] = holder
            if email is not None and request.trusts_address:
                known.holders_by_email.setdefault(email, holder)

    async def _store(self, work: Work, workspace_id: UUID, known: _Known) -> None:
        if not known.new_passes:
            return
        await self.holders.insert(work.transaction, workspace_id, known.new_holders)
        created = []
        for new, holder, template in known.new_passes:
            created.append(tell_new_pass(work, new, holder, template))
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
    if found is None and asked.email is not None and request.trusts_address:
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
