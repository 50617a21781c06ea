"""How a new version of a template reaches passes that are there already."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from passferry_pass_issuer.domain.jobs import MAX_PER_SECOND, JobAction, JobKind
from passferry_pass_issuer.entrypoints.http_drawing_jobs import Cursor, DrawingJobs, Limit
from passferry_pass_issuer.entrypoints.http_file_jobs import Format, Manager, Viewer
from passferry_pass_issuer.entrypoints.http_work import (
    DEFAULT_PAGE,
    Body,
    RequestBody,
    answer_once,
    issuer_of,
    working,
)
from passferry_pass_issuer.entrypoints.job_answers import FileFormat, file_responses, rollout_body

router = APIRouter(
    prefix="/api/v1/workspaces/{workspace_id}/templates/{template_id}/rollouts",
    tags=["templates"],
)

ROLLOUTS = DrawingJobs(JobKind.ROLLOUT, rollout_body, lambda job: job.template_id)


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
    limit: Limit = DEFAULT_PAGE,
    cursor: Cursor = None,
) -> Body:
    """Rollouts of the template, newest first."""
    return await ROLLOUTS.page(request, scope, template_id, limit, cursor)


@router.get("/{rollout_id}")
async def read_rollout(
    request: Request, template_id: UUID, rollout_id: UUID, scope: Viewer
) -> Body:
    """How far it is."""
    return await ROLLOUTS.read(request, scope, template_id, rollout_id)


@router.get(
    "/{rollout_id}/errors", responses=file_responses("Passes that kept their older version.")
)
async def download_rollout_errors(
    request: Request,
    template_id: UUID,
    rollout_id: UUID,
    scope: Viewer,
    file_format: Format = FileFormat.CSV,
) -> Response:
    """Passes that cannot be shown with the new version, and why."""
    return await ROLLOUTS.errors(request, scope, template_id, rollout_id, file_format)


@router.post("/{rollout_id}/{action}")
async def steer_rollout(
    request: Request, template_id: UUID, rollout_id: UUID, action: JobAction, scope: Manager
) -> Body:
    """Pause, resume or cancel: passes that have the new version keep it."""
    return await ROLLOUTS.steer(request, scope, template_id, rollout_id, action)
