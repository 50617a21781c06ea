"""Files of changes: passes to update or void, and messages to put on them."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from passferry_contracts.types import Role
from passferry_pass_issuer.application.accept_bulk import BulkRequest
from passferry_pass_issuer.application.job_ports import ShownResult
from passferry_pass_issuer.domain.bulk_changes import ChangeAction
from passferry_pass_issuer.domain.jobs import MAX_PER_SECOND, JobAction, JobKind
from passferry_pass_issuer.entrypoints.bulk_files import FILE_SCHEMA, MAX_FILE_BYTES, take_file
from passferry_pass_issuer.entrypoints.http_work import (
    DEFAULT_PAGE,
    MAX_PAGE,
    Body,
)
from passferry_pass_issuer.entrypoints.job_answers import (
    FileFormat,
    accepted,
    change_body,
    download,
    file_responses,
    job_page,
    read_job,
    steer,
)
from passferry_pass_issuer.entrypoints.result_lines import (
    CHANGE_COLUMNS,
    REFUSAL_COLUMNS,
    Line,
    refusal_line,
)
from passferry_runtime.auth import Scope, require
from passferry_runtime.http import long_body
from passferry_runtime.idempotency import parse_idempotency_key

router = APIRouter(prefix="/api/v1/workspaces/{workspace_id}/bulk-changes", tags=["bulk"])

Viewer = Annotated[Scope, Depends(require(Role.VIEWER))]
Manager = Annotated[Scope, Depends(require(Role.MANAGER))]
Format = Annotated[FileFormat, Query(alias="format")]

#: Each of them rings phones.
DEFAULT_PER_SECOND = 200


@router.post("", status_code=202, openapi_extra=FILE_SCHEMA)
@long_body(MAX_FILE_BYTES)
async def bulk_change(
    request: Request,
    scope: Manager,
    action: ChangeAction,
    dry_run: Annotated[bool, Query()] = False,
    max_per_second: Annotated[int, Query(ge=1, le=MAX_PER_SECOND)] = DEFAULT_PER_SECOND,
) -> Response:
    """Update, void or write to the passes of a CSV or NDJSON file, in the background."""
    wanted = BulkRequest(
        program_id=None,
        action=action,
        is_dry_run=dry_run,
        max_per_second=max_per_second,
        job_key=parse_idempotency_key(request.headers.get("idempotency-key"), required=False),
    )
    job, is_replayed = await take_file(request, scope, wanted)
    return accepted(job, is_replayed=is_replayed)


@router.get("")
async def list_bulk_changes(
    request: Request,
    scope: Viewer,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE,
    cursor: Annotated[str | None, Query(max_length=300)] = None,
) -> Body:
    """Files of changes of the workspace, newest first."""
    return await job_page(
        request, scope, JobKind.BULK_CHANGE, change_body, limit=limit, cursor=cursor
    )


@router.get("/{bulk_change_id}")
async def read_bulk_change(request: Request, bulk_change_id: UUID, scope: Viewer) -> Body:
    """How far it is."""
    return change_body(await read_job(request, scope, JobKind.BULK_CHANGE, bulk_change_id))


@router.get("/{bulk_change_id}/errors", responses=file_responses("Refused rows, in their order."))
async def download_change_errors(
    request: Request, bulk_change_id: UUID, scope: Viewer, file_format: Format = FileFormat.CSV
) -> Response:
    """The refused rows so far: row, field, code and what to do."""
    job = await read_job(request, scope, JobKind.BULK_CHANGE, bulk_change_id)
    return download(
        request,
        job,
        file_format,
        REFUSAL_COLUMNS,
        refusal_line,
        name="errors",
        only_refused=True,
    )


@router.get("/{bulk_change_id}/results", responses=file_responses("All rows, in their order."))
async def download_change_results(
    request: Request, bulk_change_id: UUID, scope: Viewer, file_format: Format = FileFormat.CSV
) -> Response:
    """What came of each row so far, with the pass."""
    job = await read_job(request, scope, JobKind.BULK_CHANGE, bulk_change_id)
    return download(
        request, job, file_format, CHANGE_COLUMNS, _line, name="results", only_refused=False
    )


def _line(shown: ShownResult) -> Line:
    return {
        **refusal_line(shown),
        "outcome": shown.result.outcome.value,
        "external_id": shown.external_id,
    }


@router.post("/{bulk_change_id}/{action}")
async def steer_bulk_change(
    request: Request, bulk_change_id: UUID, action: JobAction, scope: Manager
) -> Body:
    """Pause, resume or cancel: what was changed stays changed."""
    return change_body(await steer(request, scope, JobKind.BULK_CHANGE, bulk_change_id, action))
