"""How a change of a program reaches the passes that show it."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from passferry_pass_issuer.domain.jobs import JobAction, JobKind
from passferry_pass_issuer.entrypoints.http_drawing_jobs import Cursor, DrawingJobs, Limit
from passferry_pass_issuer.entrypoints.http_file_jobs import Format, Manager, Viewer
from passferry_pass_issuer.entrypoints.http_work import DEFAULT_PAGE, Body
from passferry_pass_issuer.entrypoints.job_answers import FileFormat, file_responses, redraw_body

router = APIRouter(
    prefix="/api/v1/workspaces/{workspace_id}/programs/{program_id}/redraws", tags=["programs"]
)

REDRAWS = DrawingJobs(JobKind.REDRAW, redraw_body, lambda job: job.program_id)


@router.get("")
async def list_redraws(
    request: Request,
    program_id: UUID,
    scope: Viewer,
    limit: Limit = DEFAULT_PAGE,
    cursor: Cursor = None,
) -> Body:
    """Redraws of the program's passes, newest first. A change of its name begins one."""
    return await REDRAWS.page(request, scope, program_id, limit, cursor)


@router.get("/{redraw_id}")
async def read_redraw(request: Request, program_id: UUID, redraw_id: UUID, scope: Viewer) -> Body:
    """How far it is."""
    return await REDRAWS.read(request, scope, program_id, redraw_id)


@router.get("/{redraw_id}/errors", responses=file_responses("Passes that stayed as they were."))
async def download_redraw_errors(
    request: Request,
    program_id: UUID,
    redraw_id: UUID,
    scope: Viewer,
    file_format: Format = FileFormat.CSV,
) -> Response:
    """Passes that cannot be shown any more, and why."""
    return await REDRAWS.errors(request, scope, program_id, redraw_id, file_format)


@router.post("/{redraw_id}/{action}")
async def steer_redraw(
    request: Request, program_id: UUID, redraw_id: UUID, action: JobAction, scope: Manager
) -> Body:
    """Pause, resume or cancel: the other passes show the change with their next revision."""
    return await REDRAWS.steer(request, scope, program_id, redraw_id, action)
