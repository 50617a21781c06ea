"""Holders: who passes are issued to. What is personal is read by those who may write it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, Field, StringConstraints
from starlette.responses import JSONResponse, Response

from passferry_contracts.fields import Code, Day, Instant, Name, ShortText
from passferry_contracts.types import Role
from passferry_pass_issuer.application.keep_holders import HolderChange
from passferry_pass_issuer.domain.holder import MAX_CONSENTS, MAX_TAG, Consent, Holder
from passferry_pass_issuer.entrypoints.http_passes import Email, Locale
from passferry_pass_issuer.entrypoints.http_work import (
    DEFAULT_PAGE,
    MAX_PAGE,
    Body,
    RequestBody,
    aged_cursor,
    instant,
    issuer_of,
    page_of,
    working,
)
from passferry_runtime.auth import Scope, require
from passferry_runtime.errors import FieldError, Invalid, NotFound

router = APIRouter(prefix="/api/v1/workspaces/{workspace_id}/holders", tags=["holders"])

Member = Annotated[Scope, Depends(require(Role.MEMBER))]
Manager = Annotated[Scope, Depends(require(Role.MANAGER))]
Reference = Annotated[str, Path(min_length=1, max_length=140)]

Phone = Annotated[str, StringConstraints(pattern=r"^\+?[0-9][0-9 ()./-]{3,30}$")]
Tag = Annotated[ShortText, StringConstraints(min_length=1, max_length=MAX_TAG)]
#: Given more often than it counts once: the checked list is shorter.
MAX_GIVEN_TAGS = 100
SAME_ADDRESS = 50


class ConsentBody(RequestBody):
    given: bool
    #: Where it was said, such as `shop_checkout`.
    source: Code
    #: When it was said; absent: now.
    at: Instant | None = None


class HolderBody(RequestBody):
    full_name: Name | None = None
    email: Email | None = None
    phone: Phone | None = None
    birthday: Day | None = None
    locale: Locale | None = None
    time_zone: Name | None = None
    tags: list[Tag] = Field(default_factory=list, max_length=MAX_GIVEN_TAGS)
    consents: dict[Code, ConsentBody] = Field(default_factory=dict, max_length=MAX_CONSENTS)


class AddressBody(RequestBody):
    email: Email


@router.get("")
async def list_holders(
    request: Request,
    scope: Member,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE,
    cursor: Annotated[str | None, Query(max_length=300)] = None,
) -> Body:
    """Holders of the workspace, oldest first; erased ones are stubs."""
    after = aged_cursor(cursor)
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        found = await issuer_of(request).life.holders.page(
            work.transaction, scope.workspace_id, after=after, limit=limit
        )
    last = [found[-1].created_at.isoformat(), str(found[-1].holder_id)] if found else None
    return page_of([holder_body(each) for each in found], limit, last)


@router.post("/query")
async def find_by_address(request: Request, body: AddressBody, scope: Member) -> Body:
    """Everybody with an e-mail address; it is in the body, because addresses of routes are logged."""
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        found = await issuer_of(request).life.holders.with_email(
            work.transaction, scope.workspace_id, body.email, limit=SAME_ADDRESS
        )
    return {"data": [holder_body(each) for each in found]}


@router.get("/{reference:path}")
async def read_holder(request: Request, reference: Reference, scope: Member) -> Body:
    """One holder, by id or as `external:<external id>`."""
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        found = await issuer_of(request).life.holders.holder(
            work.transaction, scope.workspace_id, reference, for_update=False
        )
    if found is None:
        raise NotFound("holder_not_found", "there is no such holder")
    return holder_body(found)


@router.put("/{reference:path}")
async def put_holder(
    request: Request, reference: Reference, body: HolderBody, scope: Member
) -> Response:
    """Make or replace a holder; what is left out is removed, save consents."""
    return await _save(request, scope, reference, body, is_whole=True)


@router.patch("/{reference:path}")
async def change_holder(
    request: Request, reference: Reference, body: HolderBody, scope: Member
) -> Response:
    """Change what is given; null removes it."""
    return await _save(request, scope, reference, body, is_whole=False)


async def _save(
    request: Request, scope: Scope, reference: str, body: HolderBody, *, is_whole: bool
) -> Response:
    given = body.model_fields_set - {"tags", "consents"}
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        change = HolderChange(
            facts={name: getattr(body, name) for name in given},
            tags=body.tags if "tags" in body.model_fields_set else None,
            consents={
                purpose: Consent(is_given=said.given, at=said.at or work.now, source=said.source)
                for purpose, said in body.consents.items()
            },
            is_whole=is_whole,
        )
        holder, is_new = await issuer_of(request).life.save_holder(
            work, scope.workspace_id, _checked(reference, is_whole=is_whole), change
        )
    return JSONResponse(holder_body(holder), 201 if is_new else 200)


class _Named(BaseModel):
    external_id: Annotated[ShortText, StringConstraints(min_length=1, max_length=128)]


def _checked(reference: str, *, is_whole: bool) -> str:
    """What becomes somebody's external id must be one."""
    external_id = reference.removeprefix("external:")
    if is_whole and external_id != reference:
        try:
            _Named(external_id=external_id)
        except ValueError as error:
            raise Invalid(
                "invalid",
                "an external id has 1 to 128 characters, none of them a control character",
                errors=[FieldError("reference", "is no external id")],
            ) from error
    return reference


@router.post("/{reference:path}/erasure")
async def erase_holder(request: Request, reference: Reference, scope: Manager) -> Body:
    """Forget a person: their passes end, and nothing of them is kept."""
    return await _erase(request, scope, reference)


@router.delete("/{reference:path}")
async def delete_holder(request: Request, reference: Reference, scope: Manager) -> Body:
    """The same as `…/erasure`."""
    return await _erase(request, scope, reference)


async def _erase(request: Request, scope: Scope, reference: str) -> Body:
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        holder, is_complete = await issuer_of(request).life.erase_holder(
            work, scope.workspace_id, reference
        )
    return holder_body(holder) | {"passes_erased": is_complete}


def holder_body(holder: Holder) -> dict[str, Any]:
    facts = holder.facts
    return {
        "holder_id": str(holder.holder_id),
        "external_id": facts.external_id,
        "full_name": facts.full_name,
        "email": facts.email,
        "is_address_proven": holder.is_address_proven,
        "phone": facts.phone,
        "birthday": facts.birthday.isoformat() if facts.birthday else None,
        "locale": facts.locale,
        "time_zone": facts.time_zone,
        "tags": list(holder.tags),
        "consents": {
            purpose: {"given": said.is_given, "source": said.source, "at": instant(said.at)}
            for purpose, said in holder.consents.items()
        },
        "created_at": instant(holder.created_at),
        "updated_at": instant(holder.updated_at),
        "erased_at": instant(holder.erased_at),
    }
