"""Issuing, reading and changing passes."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import Field, StringConstraints
from starlette.responses import JSONResponse, Response

from passferry_contracts.fields import (
    AmountMinor,
    Code,
    Day,
    ExternalId,
    Instant,
    Name,
    SerialNumber,
)
from passferry_contracts.types import PassStatus, Role
from passferry_pass_issuer.application.change_passes import FieldsChange
from passferry_pass_issuer.application.issue_passes import IssueResult
from passferry_pass_issuer.application.ports import PassLink
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.issuing import (
    MAX_CODE,
    MAX_FIELDS,
    MAX_PASSES_PER_CALL,
    HolderRequest,
    IssueOutcome,
    IssueRequest,
)
from passferry_pass_issuer.domain.wallet_pass import WalletPass
from passferry_pass_issuer.entrypoints.http_work import (
    DEFAULT_PAGE,
    MAX_PAGE,
    Body,
    RequestBody,
    aged_cursor,
    instant,
    issuer_of,
    page_of,
    problem_of,
    working,
)
from passferry_pass_issuer.metrics import PASSES_ISSUED
from passferry_runtime.auth import Scope, require
from passferry_runtime.errors import NotFound

router = APIRouter(prefix="/api/v1/workspaces/{workspace_id}/passes", tags=["passes"])

Viewer = Annotated[Scope, Depends(require(Role.VIEWER))]
Member = Annotated[Scope, Depends(require(Role.MEMBER))]
Reference = Annotated[str, Path(min_length=1, max_length=140)]

Email = Annotated[
    str, StringConstraints(max_length=200, pattern=r"^[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+$")
]
Locale = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,3}$")]
Fields = Annotated[dict[str, Any], Field(max_length=MAX_FIELDS)]


class HolderBody(RequestBody):
    external_id: ExternalId | None = None
    full_name: Name | None = None
    email: Email | None = None
    locale: Locale | None = None
    birthday: Day | None = None


class NewPassBody(RequestBody):
    program_id: UUID
    external_id: ExternalId | None = None
    holder: HolderBody = HolderBody()
    opening_balance_minor: AmountMinor | None = None
    fields: Fields = Field(default_factory=dict)
    code: str | None = Field(default=None, max_length=MAX_CODE)
    expires_at: Instant | None = None
    serial_number: SerialNumber | None = None

    def asked(self) -> IssueRequest:
        return IssueRequest(
            program_id=self.program_id,
            external_id=self.external_id,
            holder=HolderRequest(**self.holder.model_dump()),
            opening_balance_minor=self.opening_balance_minor,
            field_values=self.fields,
            code=self.code,
            expires_at=self.expires_at,
            serial_number=self.serial_number,
        )


class ManyPassesBody(RequestBody):
    passes: list[NewPassBody] = Field(min_length=1, max_length=MAX_PASSES_PER_CALL)


class PassChangeBody(RequestBody):
    """Given fields replace the old ones, null removes one; `expires_at` null: never."""

    fields: Fields = Field(default_factory=dict)
    expires_at: Instant | None = None


class EndBody(RequestBody):
    reason: Code = "requested"


def link_url(public_base_url: str, workspace_id: UUID, link: PassLink | None) -> str | None:
    """None where there is no address that could be shown."""
    if link is None or not link.token or link.is_revoked:
        return None
    return f"{public_base_url}/w/{workspace_id}/p/{link.token}"


def pass_body(request: Request, wallet_pass: WalletPass, link: PassLink | None) -> Body:
    base_url = issuer_of(request).public_base_url
    url = link_url(base_url, wallet_pass.workspace_id, link)
    return {
        "pass_id": str(wallet_pass.pass_id),
        "external_id": wallet_pass.external_id,
        "program_id": str(wallet_pass.program_id),
        "holder_id": str(wallet_pass.holder_id),
        "template_id": str(wallet_pass.template_id),
        "template_version": wallet_pass.template_version,
        "pass_type_identifier": wallet_pass.pass_type_identifier,
        "serial_number": wallet_pass.serial_number,
        "google_object_id": wallet_pass.google_object_id,
        "code": wallet_pass.code,
        "status": wallet_pass.status.value,
        "status_reason": wallet_pass.status_reason,
        "revision": wallet_pass.revision,
        "balance_owner": wallet_pass.balance_owner.value,
        "unit": wallet_pass.unit,
        "unit_scale": wallet_pass.unit_scale,
        "balance_minor": wallet_pass.balance_minor,
        "ledger_version": wallet_pass.ledger_version,
        "upstream_version": wallet_pass.upstream_version,
        "fields": dict(wallet_pass.field_values),
        "expires_at": instant(wallet_pass.expires_at),
        # As the template's rules say.
        "ends_at": instant(wallet_pass.ends_at),
        "ends_as": wallet_pass.ends_as,
        "uses": wallet_pass.uses,
        "last_used_at": instant(wallet_pass.last_used_at),
        "on_apple": wallet_pass.is_on_apple,
        "on_google": wallet_pass.is_on_google,
        "signed": wallet_pass.signed_revision == wallet_pass.revision,
        "link": url,
        "save_link": wallet_pass.save_link,
        "created_at": instant(wallet_pass.created_at),
        "updated_at": instant(wallet_pass.updated_at),
    }


@router.post("", status_code=201)
async def issue_pass(request: Request, body: NewPassBody, scope: Member) -> Response:
    """Issue one pass; the same request again gives the same pass with 200."""
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        [result] = await issuer_of(request).issue_passes(work, scope.workspace_id, [body.asked()])
        if result.refusal is not None:
            PASSES_ISSUED.labels(outcome=IssueOutcome.REFUSED.value).inc()
            raise problem_of(result.refusal)
    PASSES_ISSUED.labels(outcome=result.outcome.value).inc()
    status = 201 if result.outcome is IssueOutcome.CREATED else 200
    return JSONResponse(_issued(request, result), status)


@router.post("/bulk")
async def issue_many_passes(request: Request, body: ManyPassesBody, scope: Member) -> Body:
    """Issue up to 1,000 passes; each has its own outcome, and one refused stops no other."""
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        results = await issuer_of(request).issue_passes(
            work, scope.workspace_id, [each.asked() for each in body.passes]
        )
    counts = {outcome.value: 0 for outcome in IssueOutcome}
    for result in results:
        counts[result.outcome.value] += 1
        PASSES_ISSUED.labels(outcome=result.outcome.value).inc()
    return {"counts": counts, "results": [_bulk_item(request, result) for result in results]}


def _issued(request: Request, result: IssueResult) -> Body:
    # Not reached for refusals: a result that is none has its pass.
    assert result.wallet_pass is not None  # noqa: S101  # for the type checker
    return pass_body(request, result.wallet_pass, result.link)


def _bulk_item(request: Request, result: IssueResult) -> Body:
    if result.refusal is not None:
        problem = problem_of(result.refusal)
        return {
            "outcome": result.outcome.value,
            "status": problem.status,
            "code": problem.code,
            "detail": problem.detail,
            "field": result.refusal.field,
        }
    return {"outcome": result.outcome.value, "pass": _issued(request, result)}


@router.get("")
async def list_passes(
    request: Request,
    scope: Viewer,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE,
    cursor: Annotated[str | None, Query(max_length=300)] = None,
) -> Body:
    """Passes of the workspace, oldest first."""
    issuer = issuer_of(request)
    after = aged_cursor(cursor)
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        found = await issuer.passes.page(
            work.transaction, scope.workspace_id, after=after, limit=limit
        )
        links = await issuer.passes.links(
            work.transaction, scope.workspace_id, [each.pass_id for each in found]
        )
    last = [found[-1].created_at.isoformat(), str(found[-1].pass_id)] if found else None
    data = [pass_body(request, each, links.get(each.pass_id)) for each in found]
    return page_of(data, limit, last)


@router.get("/{reference:path}")
async def read_pass(request: Request, reference: Reference, scope: Viewer) -> Body:
    """One pass, by its id or as `external:<external id>`."""
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        found = await issuer_of(request).passes.find(
            work.transaction, scope.workspace_id, reference, for_update=False
        )
        if found is None:
            raise NotFound("pass_not_found", "there is no such pass")
        return await shown_pass(request, work, found)


@router.patch("/{reference:path}")
async def change_pass(
    request: Request, reference: Reference, body: PassChangeBody, scope: Member
) -> Body:
    change = FieldsChange(
        field_values=body.fields,
        sets_expiry="expires_at" in body.model_fields_set,
        expires_at=body.expires_at,
    )
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        changed = await issuer_of(request).change_fields(
            work, scope.workspace_id, reference, change
        )
        return await shown_pass(request, work, changed)


@router.post("/{reference:path}/{ending}")
async def end_pass(
    request: Request,
    reference: Reference,
    ending: Literal["void", "expire"],
    scope: Member,
    body: EndBody | None = None,
) -> Body:
    """Void or expire a pass: it can be used no more, and never comes back."""
    status = PassStatus.VOIDED if ending == "void" else PassStatus.EXPIRED
    reason = (body or EndBody()).reason
    return await _end(request, scope, reference, status, reason)


@router.delete("/{reference:path}")
async def delete_pass(request: Request, reference: Reference, scope: Member) -> Body:
    """Void a pass, tell its phones, and close its link."""
    return await _end(request, scope, reference, PassStatus.DELETED, "requested")


async def _end(
    request: Request, scope: Scope, reference: str, status: PassStatus, reason: str
) -> Body:
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        ended = await issuer_of(request).end_pass(
            work, scope.workspace_id, reference, status, reason=reason
        )
        return await shown_pass(request, work, ended)


async def shown_pass(request: Request, work: Work, wallet_pass: WalletPass) -> Body:
    links = await issuer_of(request).passes.links(
        work.transaction, wallet_pass.workspace_id, [wallet_pass.pass_id]
    )
    return pass_body(request, wallet_pass, links.get(wallet_pass.pass_id))
