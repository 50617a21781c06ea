"""How a new version of a template reaches passes that are there already."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field
from starlette.responses import Response

from passferry_contracts.types import Role
from passferry_pass_issuer.domain.jobs import MAX_PER_SECOND, Job, JobAction, JobKind
from passferry_pass_issuer.entrypoints.http_work import (
    DEFAULT_PAGE,
    MAX_PAGE,
    Body,
    RequestBody,
    answer_once,
    issuer_of,
    working,
)
from passferry_pass_issuer.entrypoints.job_answers import (
    FileFormat,
    download,
    file_responses,
    job_page,
    read_job,
    rollout_body,
    steer,
)
from passferry_pass_issuer.entrypoints.result_lines import PASS_REFUSAL_COLUMNS, refusal_line
from passferry_runtime.auth import Scope, require
from passferry_runtime.errors import NotFound

router = APIRouter(
    prefix="/api/v1/workspaces/{workspace_id}/templates/{template_id}/rollouts",
    tags=["templates"],
)

Viewer = Annotated[Scope, Depends(require(Role.VIEWER))]
Manager = Annotated[Scope, Depends(require(Role.MANAGER))]


class RolloutBody(RequestBody):
    #: Passes that were voided or have expired too.
    include_ended: bool = False
    max_per_second: int | None = Field(default=None, ge=1, le=MAX_PER_SECOND)


@router.post("", status_code=202)
async def start_rollout(
    request: Request, template_id: UUID, body: RolloutBody, scope: Manager
) -> Response:
    """Draw the template's passes again with its newest published version. Publishing a version
    does so by itself."""
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:

        async def produce() -> Body:
            started = await issuer_of(request).jobs.start_rollout(
                work,
                scope.workspace_id,
                template_id,
                includes_ended=body.include_ended,
                max_per_second=body.max_per_second,
            )
            return rollout_body(started)

        given = body.model_dump(mode="json")
        return await answer_once(request, work, scope.workspace_id, given, produce, status=202)


@router.get("")
async def list_rollouts(
    request: Request,
    template_id: UUID,
    scope: Viewer,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE,
    cursor: Annotated[str | None, Query(max_length=300)] = None,
) -> Body:
    """Rollouts of the template, newest first."""
    return await job_page(
        request,
        scope,
        JobKind.ROLLOUT,
        rollout_body,
        limit=limit,
        cursor=cursor,
        subject_id=template_id,
    )


@router.get("/{rollout_id}")
async def read_rollout(
    request: Request, template_id: UUID, rollout_id: UUID, scope: Viewer
) -> Body:
    """How far it is."""
    return rollout_body(await _found(request, scope, template_id, rollout_id))


@router.get(
    "/{rollout_id}/errors", responses=file_responses("Passes that kept their older version.")
)
async def download_rollout_errors(
    request: Request,
    template_id: UUID,
    rollout_id: UUID,
    scope: Viewer,
    file_format: Annotated[FileFormat, Query(alias="format")] = FileFormat.CSV,
) -> Response:
    """Passes that cannot be shown with the new version, and why."""
    job = await _found(request, scope, template_id, rollout_id)
    return download(
        request,
        job,
        file_format,
        PASS_REFUSAL_COLUMNS,
        refusal_line,
        name="rollout-errors",
        only_refused=True,
    )


@router.post("/{rollout_id}/{action}")
async def steer_rollout(
    request: Request, template_id: UUID, rollout_id: UUID, action: JobAction, scope: Manager
) -> Body:
    """Pause, resume or cancel: passes that have the new version keep it."""
    await _found(request, scope, template_id, rollout_id)
    return rollout_body(await steer(request, scope, JobKind.ROLLOUT, rollout_id, action))


async def _found(request: Request, scope: Scope, template_id: UUID, rollout_id: UUID) -> Job:
    job = await read_job(request, scope, JobKind.ROLLOUT, rollout_id)
    if job.template_id != template_id:
        raise NotFound("job_not_found", "there is no such job")
    return job
