"""What is wrong with a template, and its images from one large picture."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from passferry_contracts.types import Role
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.entrypoints.http_templates import brand_body, file_body, finding_body
from passferry_pass_issuer.entrypoints.http_work import (
    Body,
    answer_once,
    answered,
    issuer_of,
    problem_of,
    working,
)
from passferry_runtime.auth import Scope, require
from passferry_runtime.errors import Problem
from passferry_runtime.http import long_body

router = APIRouter(prefix="/api/v1/workspaces/{workspace_id}/templates", tags=["templates"])

#: As much as the wallet library scales.
MAX_PICTURE_BYTES = 8 * 1024 * 1024

Viewer = Annotated[Scope, Depends(require(Role.VIEWER))]
Manager = Annotated[Scope, Depends(require(Role.MANAGER))]
Language = Annotated[
    str | None, Query(max_length=20, pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,2}$")
]


@router.get("/{template_id}/lint")
async def lint_template(request: Request, template_id: UUID, scope: Viewer) -> Body:
    """What is wrong with the newest version: errors keep it from being published."""
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        report = await issuer_of(request).lint_template(work, scope.workspace_id, template_id)
    return {
        "is_publishable": all(finding.severity != "error" for finding in report.findings),
        "findings": [finding_body(finding) for finding in report.findings],
        "from_brand": brand_body(report.version),
    }


@router.get("/{template_id}/ends")
async def count_ends(request: Request, template_id: UUID, scope: Viewer) -> Body:
    """How many active passes each rule of the newest version would end now, were it rolled out.

    Passes whose balance is moving to another pass, or from one, are not looked at: they do not end
    meanwhile. Counted are also those that a rollout leaves as they are, with the rules of the
    version that they have: what cannot be shown, passes of another pass type, Google issuer or
    vertical, and passes in a wallet that the newest version is not for. Passes of a suspended
    program are counted, and wait.
    """
    count = issuer_of(request).count_ends
    async with (
        count.turns.of(scope.workspace_id),
        working(request, [scope.workspace_id], actor=scope.principal.actor) as work,
    ):
        counted = await count(work, scope.workspace_id, template_id)
    return {
        "template_version": counted.version.template_version,
        "status": counted.version.status,
        "rules": [
            {"rule": rule, "passes": counted.by_rule[place]}
            for place, rule in enumerate(counted.given_rules)
        ],
        "passes": counted.passes,
        "refused": counted.refused,
        "looked_at": counted.looked_at,
        "is_complete": counted.is_complete,
    }


@router.post("/{template_id}/images/{role}")
@long_body(MAX_PICTURE_BYTES)
async def store_template_image(
    request: Request, template_id: UUID, role: str, scope: Manager, language: Language = None
) -> Response:
    """Scale one PNG, JPEG or WebP to every density of a role; the body is the picture."""
    asked: Body = {"language": language}
    scaled = await scaled_picture(request, scope, role, asked)
    if isinstance(scaled, Response):
        return scaled
    store = issuer_of(request).store_template_image
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:

        async def produce() -> Body:
            files = await store(work, scope.workspace_id, template_id, scaled, language=language)
            return {"files": [file_body(file) for file in files]}

        return await answer_once(request, work, scope.workspace_id, asked, produce, status=200)


async def scaled_picture(
    request: Request, scope: Scope, role: str, asked: Body
) -> Mapping[str, bytes] | Response:
    """The picture of the request at every density, or what the same call was answered before.
    `asked` learns which picture it is."""

    async def read() -> bytes:
        picture = await request.body()
        asked.update(picture_sha256=hashlib.sha256(picture).hexdigest())
        async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
            earlier = await answered(request, work, scope.workspace_id, asked)
        if earlier is not None:
            raise _Answered(earlier)
        return picture

    try:
        # The picture is read when it is its turn: few are in memory at once.
        return await issuer_of(request).store_template_image.scale(role, read)
    except _Answered as known:
        return known.answer
    except ContentRejected as refusal:
        raise problem_of(refusal) from refusal
    except TimeoutError as error:
        raise Problem(408, "body_too_slow", "the picture did not arrive in time") from error


class _Answered(Exception):
    """The call was made before: its picture is not scaled again."""

    def __init__(self, answer: Response) -> None:
        super().__init__()
        self.answer = answer
