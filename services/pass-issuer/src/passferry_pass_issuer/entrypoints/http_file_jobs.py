"""Routes of every kind of file: how far it is, what was refused, and how it is steered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from passferry_contracts.types import Role
from passferry_pass_issuer.application.accept_bulk import BulkRequest
from passferry_pass_issuer.domain.jobs import Job, JobAction, JobKind
from passferry_pass_issuer.entrypoints.bulk_files import take_file
from passferry_pass_issuer.entrypoints.http_work import DEFAULT_PAGE, MAX_PAGE, Body
from passferry_pass_issuer.entrypoints.job_answers import (
    FileFormat,
    accepted,
    download,
    file_responses,
    job_page,
    read_job,
    steer,
)
from passferry_pass_issuer.entrypoints.result_lines import REFUSAL_COLUMNS, refusal_line
from passferry_runtime.auth import Scope, require

Viewer = Annotated[Scope, Depends(require(Role.VIEWER))]
Manager = Annotated[Scope, Depends(require(Role.MANAGER))]
Format = Annotated[FileFormat, Query(alias="format")]


async def take(request: Request, scope: Scope, wanted: BulkRequest) -> Response:
    """Takes the file in the body; 202 with the address of its job."""
    job, is_replayed = await take_file(request, scope, wanted)
    return accepted(job, is_replayed=is_replayed)


def add_routes(router: APIRouter, kind: JobKind, shown: Callable[[Job], Body]) -> None:
    @router.get("")
    async def list_files(
        request: Request,
        scope: Viewer,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE,
        cursor: Annotated[str | None, Query(max_length=300)] = None,
    ) -> Body:
        """Files of the workspace, newest first."""
        return await job_page(request, scope, kind, shown, limit=limit, cursor=cursor)

    @router.get("/{job_id}")
    async def read_file(request: Request, job_id: UUID, scope: Viewer) -> Body:
        """How far it is."""
        return shown(await read_job(request, scope, kind, job_id))

    @router.get("/{job_id}/errors", responses=file_responses("Refused rows, in their order."))
    async def download_errors(
        request: Request, job_id: UUID, scope: Viewer, file_format: Format = FileFormat.CSV
    ) -> Response:
        """The refused rows so far: row, field, code and what to do."""
        job = await read_job(request, scope, kind, job_id)
        return download(
            request,
            job,
            file_format,
            REFUSAL_COLUMNS,
            refusal_line,
            name="errors",
            only_refused=True,
        )

    @router.post("/{job_id}/{action}")
    async def steer_file(request: Request, job_id: UUID, action: JobAction, scope: Manager) -> Body:
        """Pause, resume or cancel: what was done stays done."""
        return shown(await steer(request, scope, kind, job_id, action))
