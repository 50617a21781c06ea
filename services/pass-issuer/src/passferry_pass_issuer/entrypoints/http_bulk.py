"""Files of passes to issue: taken in as a stream, issued in the background."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from passferry_contracts.types import Role
from passferry_pass_issuer.application.accept_bulk import (
    MAX_ROWS,
    BulkRequest,
    Opened,
    Row,
    chunk_rows,
    same_file,
)
from passferry_pass_issuer.application.job_ports import ShownResult, StagedRow
from passferry_pass_issuer.domain.jobs import MAX_PER_SECOND, Job, JobAction, JobKind
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.entrypoints.bulk_rows import CSV, NDJSON, PIECE_BYTES, READERS
from passferry_pass_issuer.entrypoints.http_passes import link_url
from passferry_pass_issuer.entrypoints.http_work import (
    DEFAULT_PAGE,
    MAX_PAGE,
    Body,
    issuer_of,
    problem_of,
    working,
)
from passferry_pass_issuer.entrypoints.job_answers import (
    FileFormat,
    bulk_body,
    bulk_path,
    download,
    file_responses,
    find_job,
    job_page,
    steer,
)
from passferry_pass_issuer.entrypoints.result_lines import (
    REFUSAL_COLUMNS,
    RESULT_COLUMNS,
    Line,
    refusal_line,
)
from passferry_runtime.auth import Scope, require
from passferry_runtime.errors import FieldError, Invalid, Problem
from passferry_runtime.http import long_body
from passferry_runtime.idempotency import fingerprint, parse_idempotency_key

router = APIRouter(prefix="/api/v1/workspaces/{workspace_id}/bulk-issues", tags=["bulk"])

Viewer = Annotated[Scope, Depends(require(Role.VIEWER))]
Manager = Annotated[Scope, Depends(require(Role.MANAGER))]
Format = Annotated[FileFormat, Query(alias="format")]

MAX_FILE_BYTES = 536_870_912
#: A sender that is silent for so long, or takes so long in all, is cut off.
SILENCE_S = 60.0
UPLOAD_TIMEOUT_S = 3_600.0
DEFAULT_PER_SECOND = 1_000
#: Readable rows are staged in chunks; refused ones are stored with them, so many at most.
MAX_BATCH_ROWS = 1_000
MAX_BATCH_PIECES = 4

_FILE_SCHEMA = {
    "requestBody": {
        "required": True,
        "content": {name: {"schema": {"type": "string"}} for name in (CSV, NDJSON)},
    }
}


@dataclass(slots=True)
class _Batch:
    """Rows that are not stored yet."""

    rows: list[Row] = field(default_factory=list)
    readable: int = 0
    pieces: int = 0

    def add(self, row: Row) -> None:
        self.rows.append(row)
        self.readable += isinstance(row, StagedRow)

    def is_full(self, chunk: int) -> bool:
        return self.readable >= chunk or len(self.rows) >= MAX_BATCH_ROWS


@dataclass(slots=True)
class _Received:
    accepted: int = 0
    refused: int = 0


@router.post("", status_code=202, openapi_extra=_FILE_SCHEMA)
@long_body(MAX_FILE_BYTES)
async def bulk_issue(
    request: Request,
    scope: Manager,
    program_id: UUID,
    dry_run: Annotated[bool, Query()] = False,
    max_per_second: Annotated[int, Query(ge=1, le=MAX_PER_SECOND)] = DEFAULT_PER_SECOND,
) -> Response:
    """Issue the passes of a CSV or NDJSON file of up to a million rows, in the background."""
    media_type = _media_type(request)
    wanted = BulkRequest(
        program_id=program_id,
        is_dry_run=dry_run,
        max_per_second=max_per_second,
        job_key=parse_idempotency_key(request.headers.get("idempotency-key"), required=False),
    )
    desk, workspace_id, actor = issuer_of(request).jobs, scope.workspace_id, scope.principal.actor
    with desk.uploads:
        async with working(request, [workspace_id], actor=actor) as work:
            opened = await desk.accept.begin(work, workspace_id, wanted)
        digest = hashlib.sha256()
        pieces = _pieces(request, digest)
        if opened.earlier:
            async for _ in pieces:
                pass
            job = same_file(opened.job, _mark(wanted, media_type, digest.hexdigest()))
            return _accepted(job, is_replayed=True)
        try:
            received = await _receive(request, scope, opened, media_type, pieces)
            async with working(request, [workspace_id], actor=actor) as work:
                job = await desk.accept.close(
                    work,
                    opened.job,
                    accepted=received.accepted,
                    refused=received.refused,
                    request_sha256=_mark(wanted, media_type, digest.hexdigest()),
                )
        except BaseException:
            # Should this fail too, the worker finds that nobody sends the file any more.
            with contextlib.suppress(Exception):
                async with working(request, [workspace_id], actor=actor) as work:
                    await desk.accept.abandon(work, opened.job)
            raise
    return _accepted(job)


def _media_type(request: Request) -> str:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_plain = request.headers.get("content-encoding", "identity") == "identity"
    if media_type not in READERS or not is_plain:
        raise Problem(415, "media_type_unsupported", f"send {CSV} or {NDJSON}, not compressed")
    return media_type


def _mark(wanted: BulkRequest, media_type: str, content_sha256: str) -> str:
    return fingerprint(
        {
            "program_id": str(wanted.program_id),
            "dry_run": wanted.is_dry_run,
            "max_per_second": wanted.max_per_second,
            "media_type": media_type,
            "content_sha256": content_sha256,
        }
    )


def _accepted(job: Job, *, is_replayed: bool = False) -> Response:
    headers = {"Location": bulk_path(job)}
    if is_replayed:
        headers["Idempotency-Replayed"] = "true"
    return JSONResponse(bulk_body(job), 202, headers)


async def _pieces(request: Request, digest: hashlib._Hash) -> AsyncIterator[bytes]:
    """The body in pieces that are small, however it was sent."""
    stream = request.stream().__aiter__()
    try:
        async with asyncio.timeout(UPLOAD_TIMEOUT_S):
            while True:
                try:
                    async with asyncio.timeout(SILENCE_S):
                        data = await anext(stream)
                except StopAsyncIteration:
                    return
                for start in range(0, len(data), PIECE_BYTES):
                    piece = data[start : start + PIECE_BYTES]
                    digest.update(piece)
                    yield piece
    except TimeoutError as error:
        raise Problem(408, "body_too_slow", "the file did not arrive in time") from error
    except ClientDisconnect as error:
        raise Problem(400, "upload_incomplete", "the file did not arrive whole") from error


async def _receive(
    request: Request,
    scope: Scope,
    opened: Opened,
    media_type: str,
    pieces: AsyncIterator[bytes],
) -> _Received:
    reader = READERS[media_type](opened.program)
    chunk = chunk_rows(opened.job.max_per_second)
    received, batch = _Received(), _Batch()

    async def store() -> None:
        nonlocal batch
        full, batch = batch, _Batch()
        if not full.rows:
            return
        received.accepted += len(full.rows)
        received.refused += len(full.rows) - full.readable
        if received.accepted > MAX_ROWS:
            fault = FieldError("body", f"has over {MAX_ROWS} rows: send several files")
            raise Invalid("too_many_rows", "the file is too long", errors=[fault])
        async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
            await issuer_of(request).jobs.accept.stage(work, opened.job, full.rows)

    try:
        async for piece in pieces:
            for row in reader.feed(piece):
                batch.add(row)
                if batch.is_full(chunk):
                    await store()
            batch.pieces += 1
            if batch.pieces >= MAX_BATCH_PIECES:
                await store()
        for row in reader.end():
            batch.add(row)
            if batch.is_full(chunk):
                await store()
        await store()
    except ContentRejected as refusal:
        raise problem_of(refusal) from refusal
    if not received.accepted:
        raise Invalid("empty", "no rows", errors=[FieldError("body", "has no row to issue")])
    return received


@router.get("")
async def list_bulk_issues(
    request: Request,
    scope: Viewer,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE,
    cursor: Annotated[str | None, Query(max_length=300)] = None,
) -> Body:
    """Files of the workspace, newest first."""
    return await job_page(request, scope, JobKind.BULK_ISSUE, bulk_body, limit=limit, cursor=cursor)


@router.get("/{bulk_issue_id}")
async def read_bulk_issue(request: Request, bulk_issue_id: UUID, scope: Viewer) -> Body:
    """How far it is."""
    return bulk_body(await _found(request, scope, bulk_issue_id))


@router.get("/{bulk_issue_id}/errors", responses=file_responses("Refused rows, in their order."))
async def download_errors(
    request: Request, bulk_issue_id: UUID, scope: Viewer, file_format: Format = FileFormat.CSV
) -> Response:
    """The refused rows so far: row, field, code and what to do."""
    job = await _found(request, scope, bulk_issue_id)
    return download(
        request,
        job,
        file_format,
        REFUSAL_COLUMNS,
        refusal_line,
        name="errors",
        only_refused=True,
    )


@router.get("/{bulk_issue_id}/results", responses=file_responses("All rows, in their order."))
async def download_results(
    request: Request, bulk_issue_id: UUID, scope: Manager, file_format: Format = FileFormat.CSV
) -> Response:
    """What came of each row so far, with the pass and its link."""
    job = await _found(request, scope, bulk_issue_id)
    base_url = issuer_of(request).public_base_url

    def line_of(shown: ShownResult) -> Line:
        link = link_url(base_url, job.workspace_id, shown.link) if shown.link else None
        return {
            **refusal_line(shown),
            "outcome": _OUTCOMES[shown.result.outcome.value],
            "external_id": shown.external_id,
            "link": link,
        }

    return download(
        request, job, file_format, RESULT_COLUMNS, line_of, name="results", only_refused=False
    )


_OUTCOMES = {"changed": "created", "unchanged": "existed", "refused": "refused"}


@router.post("/{bulk_issue_id}/{action}")
async def steer_bulk_issue(
    request: Request, bulk_issue_id: UUID, action: JobAction, scope: Manager
) -> Body:
    """Pause, resume or cancel: what was issued stays issued."""
    return bulk_body(await steer(request, scope, JobKind.BULK_ISSUE, bulk_issue_id, action))


async def _found(request: Request, scope: Scope, job_id: UUID) -> Job:
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        return await find_job(request, work, scope.workspace_id, JobKind.BULK_ISSUE, job_id)
