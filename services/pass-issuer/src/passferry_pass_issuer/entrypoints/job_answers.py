"""How background work is shown, and the addresses under which it is steered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from enum import StrEnum
from typing import Any
from uuid import UUID

from fastapi import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from passferry_pass_issuer.application.job_ports import ShownResult
from passferry_pass_issuer.domain.jobs import Job, JobAction, JobKind
from passferry_pass_issuer.entrypoints.http_work import (
    Body,
    aged_cursor,
    instant,
    issuer_of,
    page_of,
    working,
)
from passferry_pass_issuer.entrypoints.result_lines import CsvLines, JsonLines, Line, Lines
from passferry_runtime.auth import Scope
from passferry_runtime.errors import NotFound

RESULTS_AT_ONCE = 1_000
DEFAULT_PER_SECOND = 1_000


class FileFormat(StrEnum):
    CSV = "csv"
    NDJSON = "ndjson"


def _progress(job: Job) -> Body:
    return {
        "state": job.state.value,
        "accepted": job.accepted,
        "done": job.done,
        "refused": job.refused,
        "percent": job.percent,
        "max_per_second": job.max_per_second,
        "rate_per_second": job.rate_per_second(),
        "waits_for": job.waits_for,
        "failure_code": job.failure_code,
        "created_at": instant(job.created_at),
        "started_at": instant(job.started_at),
        "finished_at": instant(job.finished_at),
        "updated_at": instant(job.updated_at),
    }


def bulk_path(job: Job) -> str:
    kind = "bulk-issues" if job.kind is JobKind.BULK_ISSUE else "bulk-changes"
    return f"/api/v1/workspaces/{job.workspace_id}/{kind}/{job.job_id}"


def bulk_body(job: Job) -> Body:
    return {
        "bulk_issue_id": str(job.job_id),
        "program_id": str(job.program_id),
        "created": job.changed,
        "existed": job.unchanged,
        **_file_body(job),
    }


def change_body(job: Job) -> Body:
    return {
        "bulk_change_id": str(job.job_id),
        "action": job.action.value if job.action is not None else None,
        "changed": job.changed,
        "unchanged": job.unchanged,
        **_file_body(job),
    }


def _file_body(job: Job) -> Body:
    path = bulk_path(job)
    return {
        "dry_run": job.is_dry_run,
        **_progress(job),
        "self": path,
        "errors": f"{path}/errors",
        "results": f"{path}/results",
    }


def accepted(job: Job, *, is_replayed: bool) -> Response:
    headers = {"Location": bulk_path(job)}
    if is_replayed:
        headers["Idempotency-Replayed"] = "true"
    shown = bulk_body if job.kind is JobKind.BULK_ISSUE else change_body
    return JSONResponse(shown(job), 202, headers)


def rollout_body(job: Job) -> Body:
    return {
        "rollout_id": str(job.job_id),
        "template_id": str(job.template_id),
        "template_version": job.template_version,
        "include_ended": job.includes_ended,
        "changed": job.changed,
        "unchanged": job.unchanged,
        **_progress(job),
    }


def redraw_body(job: Job) -> Body:
    return {
        "redraw_id": str(job.job_id),
        "program_id": str(job.program_id),
        "changed": job.changed,
        "unchanged": job.unchanged,
        **_progress(job),
    }


async def read_job(request: Request, scope: Scope, kind: JobKind, job_id: UUID) -> Job:
    """Raises `NotFound`: of another workspace it is as unknown as if there were none."""
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        found = await issuer_of(request).jobs.jobs.find(
            work.transaction, scope.workspace_id, job_id, for_update=False
        )
    if found is None or found.kind is not kind:
        raise NotFound("job_not_found", "there is no such job")
    return found


async def job_page(
    request: Request,
    scope: Scope,
    kind: JobKind,
    shown: Callable[[Job], Body],
    *,
    limit: int,
    cursor: str | None,
    subject_id: UUID | None = None,
) -> Body:
    before = aged_cursor(cursor)
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        found = await issuer_of(request).jobs.jobs.page(
            work.transaction,
            scope.workspace_id,
            kind,
            subject_id=subject_id,
            before=before,
            limit=limit,
        )
    last = [found[-1].created_at.isoformat(), str(found[-1].job_id)] if found else None
    return page_of([shown(job) for job in found], limit, last)


async def steer(
    request: Request, scope: Scope, kind: JobKind, job_id: UUID, action: JobAction
) -> Job:
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        return await issuer_of(request).jobs.steer(work, scope.workspace_id, kind, job_id, action)


def download(
    request: Request,
    job: Job,
    file_format: FileFormat,
    columns: tuple[str, ...],
    line_of: Callable[[ShownResult], Line],
    *,
    name: str,
    only_refused: bool,
) -> StreamingResponse:
    """Sends while it reads, one page in memory. What is cut short has no last line."""
    lines: Lines = CsvLines(columns) if file_format is FileFormat.CSV else JsonLines(columns)
    headers = {
        "Content-Disposition": f'attachment; filename="{name}-{job.job_id}.{file_format}"',
        "Cache-Control": "no-store",
    }

    async def body() -> AsyncIterator[bytes]:
        yield lines.head()
        after: int | None = 0
        while after is not None:
            page = await _results(request, job, after, only_refused=only_refused)
            yield lines.part([line_of(each) for each in page])
            after = page[-1].result.number if len(page) == RESULTS_AT_ONCE else None
        yield lines.tail()

    return StreamingResponse(body(), media_type=lines.media_type, headers=headers)


async def _results(
    request: Request, job: Job, after: int, *, only_refused: bool
) -> list[ShownResult]:
    async with working(request, [job.workspace_id], actor="download") as work:
        return await issuer_of(request).jobs.results.page(
            work.transaction,
            job.workspace_id,
            job.job_id,
            after=after,
            limit=RESULTS_AT_ONCE,
            only_refused=only_refused,
        )


def file_responses(description: str) -> dict[int | str, dict[str, Any]]:
    return {
        200: {
            "description": description,
            "content": {
                media_type: {"schema": {"type": "string"}}
                for media_type in ("text/csv", "application/x-ndjson")
            },
        }
    }
