"""A pass that changes hands, or is replaced because it was lost."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from pydantic import Field, StringConstraints
from starlette.responses import JSONResponse, Response

from passferry_contracts.fields import ExternalId, ShortText
from passferry_contracts.types import Role
from passferry_pass_issuer.application.reissue_passes import ReissueRequest
from passferry_pass_issuer.entrypoints.http_passes import Fields, shown_pass
from passferry_pass_issuer.entrypoints.http_work import (
    Body,
    RequestBody,
    issuer_of,
    working,
)
from passferry_runtime.auth import Scope, require

router = APIRouter(prefix="/api/v1/workspaces/{workspace_id}/passes", tags=["passes"])

Member = Annotated[Scope, Depends(require(Role.MEMBER))]
Reference = Annotated[str, Path(min_length=1, max_length=140)]


#: A holder id, or `external:` and the caller's own id; `PUT …/holders/{ref}` makes one.
HolderReference = Annotated[ShortText, StringConstraints(min_length=1, max_length=140)]


class TransferBody(RequestBody):
    holder: HolderReference
    #: In the place of what the pass says of the former holder; null removes a field.
    fields: Fields = Field(default_factory=dict)


class ReissueBody(RequestBody):
    #: The caller's own id of the new pass; absent: its pass id.
    external_id: ExternalId | None = None
    #: Whose the new pass is; absent: the same holder's.
    holder: HolderReference | None = None
    fields: Fields = Field(default_factory=dict)


@router.post("/{reference:path}/transfer")
async def transfer_pass(
    request: Request, reference: Reference, body: TransferBody, scope: Member
) -> Body:
    """Give a pass to another holder; links and devices of the former one see it no more."""
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        stored = await issuer_of(request).life.transfer_pass(
            work, scope.workspace_id, reference, body.holder, field_values=body.fields
        )
        return await shown_pass(request, work, stored)


@router.post("/{reference:path}/reissue", status_code=201)
async def reissue_pass(
    request: Request, reference: Reference, scope: Member, body: ReissueBody | None = None
) -> Response:
    """Replace a lost pass: its balance moves, then it is void. Asking again shows how far it is."""
    given = body or ReissueBody()
    asked = ReissueRequest(
        external_id=given.external_id, holder=given.holder, field_values=given.fields
    )
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        reissued = await issuer_of(request).life.reissue_pass(
            work, scope.workspace_id, reference, asked
        )
        shown = await shown_pass(request, work, reissued.new)
    replacement = reissued.replacement
    answer = {
        "replaces": str(replacement.old_pass_id),
        "state": replacement.state,
        "code": replacement.code,
        "left_minor": replacement.left_minor,
        "pass": shown,
    }
    return JSONResponse(answer, 201 if reissued.is_first else 200)
