"""Several passes as one file."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.responses import Response

from passferry_contracts.types import Role
from passferry_pass_issuer.application.bundle_passes import MAX_PASSES
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.entrypoints.http_work import (
    RequestBody,
    issuer_of,
    problem_of,
    working,
)
from passferry_runtime.auth import Scope, require

router = APIRouter(prefix="/api/v1/workspaces/{workspace_id}/bundles", tags=["passes"])

Member = Annotated[Scope, Depends(require(Role.MEMBER))]
PKPASSES = "application/vnd.apple.pkpasses"
Reference = Annotated[str, Field(min_length=1, max_length=140)]


class BundleBody(RequestBody):
    """Pass ids, or `external:` and an external id."""

    passes: list[Reference] = Field(min_length=1, max_length=MAX_PASSES)


@router.post(
    "",
    response_class=Response,
    responses={200: {"description": "Up to ten signed passes.", "content": {PKPASSES: {}}}},
)
async def bundle_passes(request: Request, body: BundleBody, scope: Member) -> Response:
    """Sign up to ten passes, where they are not signed yet, and give them as one .pkpasses."""
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        build = await issuer_of(request).bundle_passes(work, scope.workspace_id, body.passes)
    try:
        content = await build()
    except ContentRejected as refusal:
        raise problem_of(refusal) from refusal
    headers = {
        "Content-Disposition": 'attachment; filename="passes.pkpasses"',
        # Each pass holds the token with which its phone asks for news.
        "Cache-Control": "no-store",
    }
    return Response(content, media_type=PKPASSES, headers=headers)
