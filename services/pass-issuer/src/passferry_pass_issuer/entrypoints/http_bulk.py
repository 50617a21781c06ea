"""Files of passes to issue: taken in as a stream, issued in the background."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from passferry_pass_issuer.application.accept_bulk import BulkRequest
from passferry_pass_issuer.application.job_ports import ShownResult
from passferry_pass_issuer.domain.jobs import MAX_PER_SECOND, JobKind
from passferry_pass_issuer.entrypoints.bulk_files import FILE_SCHEMA, MAX_FILE_BYTES
from passferry_pass_issuer.entrypoints.http_file_jobs import Format, Manager, add_routes, take
from passferry_pass_issuer.entrypoints.http_passes import link_url
from passferry_pass_issuer.entrypoints.http_work import issuer_of
from passferry_pass_issuer.entrypoints.job_answers import (
    DEFAULT_PER_SECOND,
    FileFormat,
    bulk_body,
    download,
    file_responses,
    read_job,
)
from passferry_pass_issuer.entrypoints.result_lines import RESULT_COLUMNS, Line, refusal_line
from passferry_runtime.http import long_body
from passferry_runtime.idempotency import parse_idempotency_key

router = APIRouter(prefix="/api/v1/workspaces/{workspace_id}/bulk-issues", tags=["bulk"])


@router.post("", status_code=202, openapi_extra=FILE_SCHEMA)
@long_body(MAX_FILE_BYTES)
async def bulk_issue(
    request: Request,
    scope: Manager,
    program_id: UUID,
    dry_run: Annotated[bool, Query()] = False,
    max_per_second: Annotated[int, Query(ge=1, le=MAX_PER_SECOND)] = DEFAULT_PER_SECOND,
) -> Response:
    """Issue the passes of a CSV or NDJSON file of up to a million rows, in the background."""
    wanted = BulkRequest(
        program_id=program_id,
        is_dry_run=dry_run,
        max_per_second=max_per_second,
        job_key=parse_idempotency_key(request.headers.get("idempotency-key"), required=False),
    )
    return await take(request, scope, wanted)


@router.get("/{job_id}/results", responses=file_responses("All rows, in their order."))
async def download_results(
    request: Request, job_id: UUID, scope: Manager, file_format: Format = FileFormat.CSV
) -> Response:
    """What came of each row so far, with the pass and its link."""
    job = await read_job(request, scope, JobKind.BULK_ISSUE, job_id)
    base_url = issuer_of(request).public_base_url

    def line_of(shown: ShownResult) -> Line:
        return {
            **refusal_line(shown),
            "outcome": _OUTCOMES[shown.result.outcome.value],
            "external_id": shown.external_id,
            "link": link_url(base_url, job.workspace_id, shown.link),
        }

    return download(
        request, job, file_format, RESULT_COLUMNS, line_of, name="results", only_refused=False
    )


_OUTCOMES = {"changed": "created", "unchanged": "existed", "refused": "refused"}

add_routes(router, JobKind.BULK_ISSUE, bulk_body)
