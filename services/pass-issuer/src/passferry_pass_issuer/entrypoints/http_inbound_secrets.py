"""Secrets with which upstream systems sign what they say on `pass.inbound`."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from passferry_contracts.types import Role
from passferry_pass_issuer.application.check_inbound_signatures import InboundSecret
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.entrypoints.http_work import (
    Body,
    RequestBody,
    answer_once,
    instant,
    issuer_of,
    without,
    working,
)
from passferry_runtime.auth import Scope, require

router = APIRouter(prefix="/api/v1/workspaces/{workspace_id}", tags=["inbound"])

Manager = Annotated[Scope, Depends(require(Role.MANAGER))]
Owner = Annotated[Scope, Depends(require(Role.OWNER))]


class SignatureBody(RequestBody):
    required: bool


def _body(record: InboundSecret) -> Body:
    return {
        "inbound_secret_id": str(record.inbound_secret_id),
        "created_by": record.created_by,
        "created_at": instant(record.created_at),
    }


@router.post("/inbound-secrets", status_code=201)
async def create_inbound_secret(request: Request, scope: Owner) -> Response:
    """Make a secret, which is shown in this answer alone; two may be live, for rotation."""
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:

        async def produce() -> Body:
            keep = issuer_of(request).keep_inbound_secrets
            record, secret = await keep.add(work, scope.workspace_id)
            return {**_body(record), "secret": secret}

        answer = await answer_once(
            request, work, scope.workspace_id, {}, produce, remembered=without("secret")
        )
    answer.headers["Cache-Control"] = "no-store, private"
    return answer


@router.get("/inbound-secrets")
async def list_inbound_secrets(request: Request, scope: Manager) -> Body:
    """The live secrets without what is secret of them, and whether signatures are required."""
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        return await _shown(request, work, scope.workspace_id)


@router.delete("/inbound-secrets/{inbound_secret_id}")
async def delete_inbound_secret(request: Request, inbound_secret_id: UUID, scope: Owner) -> Body:
    """What is signed with it alone is refused from now on."""
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        await issuer_of(request).keep_inbound_secrets.delete(
            work, scope.workspace_id, inbound_secret_id
        )
        return await _shown(request, work, scope.workspace_id)


@router.put("/inbound-signature")
async def require_inbound_signature(request: Request, body: SignatureBody, scope: Owner) -> Body:
    """From now on refuse, or hear again, upstream events without a valid signature."""
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        await issuer_of(request).keep_inbound_secrets.require(
            work, scope.workspace_id, is_required=body.required
        )
        return await _shown(request, work, scope.workspace_id)


async def _shown(request: Request, work: Work, workspace_id: UUID) -> Body:
    secrets = issuer_of(request).keep_inbound_secrets.secrets
    is_required = await secrets.is_required(work.transaction, workspace_id)
    live = await secrets.list(work.transaction, workspace_id)
    return {"required": is_required, "data": [_body(each) for each in live], "next_cursor": None}
