"""How a change of a program reaches the passes that show it."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from passferry_contracts.types import Role
from passferry_pass_issuer.domain.jobs import Job, JobAction, JobKind
from passferry_pass_issuer.entrypoints.http_work import DEFAULT_PAGE, MAX_PAGE, Body
from passferry_pass_issuer.entrypoints.job_answers import (
    FileFormat,
    download,
    file_responses,
    job_page,
    read_job,
    redraw_body,
    steer,
)
from passferry_pass_issuer.entrypoints.result_lines import PASS_REFUSAL_COLUMNS, refusal_line
from passferry_runtime.auth import Scope, require
from passferry_runtime.errors import NotFound

router = APIRouter(
    prefix="/api/v1/workspaces/{workspace_id}/programs/{program_id}/redraws", tags=["programs"]
)

Viewer = Annotated[Scope, Depends(require(Role.VIEWER))]
Manager = Annotated[Scope, Depends(require(Role.MANAGER))]


@router.get("")
async def list_redraws(
    request: Request,
    program_id: UUID,
    scope: Viewer,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE,
    cursor: Annotated[str | None, Query(max_length=300)] = None,
) -> Body:
    """Redraws of the program's passes, newest first. A change of its name begins one."""
    return await job_page(
        request,
        scope,
        JobKind.REDRAW,
        redraw_body,
        limit=limit,
        cursor=cursor,
        subject_id=program_id,
    )


@router.get("/{redraw_id}")
async def read_redraw(request: Request, program_id: UUID, redraw_id: UUID, scope: Viewer) -> Body:
    """How far it is."""
    return redraw_body(await _found(request, scope, program_id, redraw_id))


@router.get("/{redraw_id}/errors", responses=file_responses("Passes that stayed as they were."))
async def download_redraw_errors(
    request: Request,
    program_id: UUID,
    redraw_id: UUID,
    scope: Viewer,
    file_format: Annotated[FileFormat, Query(alias="format")] = FileFormat.CSV,
) -> Response:
    """Passes that cannot be shown any more, and why."""
    job = await _found(request, scope, program_id, redraw_id)
    return download(
        request,
        job,
        file_format,
        PASS_REFUSAL_COLUMNS,
        refusal_line,
        name="redraw-errors",
        only_refused=True,
    )


@router.post("/{redraw_id}/{action}")
async def steer_redraw(
    request: Request, program_id: UUID, redraw_id: UUID, action: JobAction, scope: Manager
) -> Body:
    """Pause, resume or cancel: the other passes show the change with their next revision."""
    await _found(request, scope, program_id, redraw_id)
    return redraw_body(await steer(request, scope, JobKind.REDRAW, redraw_id, action))


async def _found(request: Request, scope: Scope, program_id: UUID, redraw_id: UUID) -> Job:
    job = await read_job(request, scope, JobKind.REDRAW, redraw_id)
    if job.program_id != program_id:
        raise NotFound("job_not_found", "there is no such job")
    return job
