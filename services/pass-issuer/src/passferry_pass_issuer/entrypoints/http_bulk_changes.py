"""Files of changes: passes to update or void, and messages to put on them."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from passferry_pass_issuer.application.accept_bulk import BulkRequest
from passferry_pass_issuer.application.job_ports import ShownResult
from passferry_pass_issuer.domain.bulk_changes import ChangeAction
from passferry_pass_issuer.domain.jobs import MAX_PER_SECOND, JobKind
from passferry_pass_issuer.entrypoints.bulk_files import FILE_SCHEMA, MAX_FILE_BYTES
from passferry_pass_issuer.entrypoints.http_file_jobs import (
    Format,
    Manager,
    Viewer,
    add_routes,
    take,
)
from passferry_pass_issuer.entrypoints.job_answers import (
    FileFormat,
    change_body,
    download,
    file_responses,
    read_job,
)
from passferry_pass_issuer.entrypoints.result_lines import CHANGE_COLUMNS, Line, refusal_line
from passferry_runtime.http import long_body
from passferry_runtime.idempotency import parse_idempotency_key

router = APIRouter(prefix="/api/v1/workspaces/{workspace_id}/bulk-changes", tags=["bulk"])

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
    return await take(request, scope, wanted)


@router.get("/{job_id}/results", responses=file_responses("All rows, in their order."))
async def download_change_results(
    request: Request, job_id: UUID, scope: Viewer, file_format: Format = FileFormat.CSV
) -> Response:
    """What came of each row so far, with the pass."""
    job = await read_job(request, scope, JobKind.BULK_CHANGE, job_id)
    return download(
        request, job, file_format, CHANGE_COLUMNS, _line, name="results", only_refused=False
    )


def _line(shown: ShownResult) -> Line:
    return {
        **refusal_line(shown),
        "outcome": shown.result.outcome.value,
        "external_id": shown.external_id,
    }


add_routes(router, JobKind.BULK_CHANGE, change_body)
