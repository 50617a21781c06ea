"""Takes in a file as a stream, whatever its rows mean."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from fastapi import Request
from starlette.requests import ClientDisconnect

from passferry_pass_issuer.application.accept_bulk import (
    MAX_ROWS,
    BulkRequest,
    Opened,
    Row,
    chunk_rows,
    same_file,
)
from passferry_pass_issuer.application.job_ports import StagedRow
from passferry_pass_issuer.domain.jobs import Job
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.entrypoints.bulk_rows import format_of
from passferry_pass_issuer.entrypoints.http_work import issuer_of, problem_of, working
from passferry_pass_issuer.entrypoints.row_files import CSV, NDJSON, PIECE_BYTES, READERS
from passferry_runtime.auth import Scope
from passferry_runtime.errors import FieldError, Invalid, Problem
from passferry_runtime.idempotency import fingerprint

MAX_FILE_BYTES = 536_870_912
#: A sender that is silent for so long, or takes so long in all, is cut off.
SILENCE_S = 60.0
UPLOAD_TIMEOUT_S = 3_600.0
#: Readable rows are staged in chunks; refused ones are stored with them, so many at most.
MAX_BATCH_ROWS = 1_000
MAX_BATCH_PIECES = 4

FILE_SCHEMA = {
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


async def take_file(request: Request, scope: Scope, wanted: BulkRequest) -> tuple[Job, bool]:
    """The job of the file in the body, and whether the same one was taken before."""
    media_type = _media_type(request)
    desk, workspace_id, actor = issuer_of(request).jobs, scope.workspace_id, scope.principal.actor
    with desk.uploads.of(workspace_id):
        async with working(request, [workspace_id], actor=actor) as work:
            opened = await desk.accept.begin(work, workspace_id, wanted)
        digest = hashlib.sha256()
        pieces = _pieces(request, digest)
        if opened.earlier:
            async for _ in pieces:
                pass
            job = same_file(opened.job, _mark(wanted, media_type, digest.hexdigest()))
            return job, True
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
    return job, False


def _media_type(request: Request) -> str:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_plain = request.headers.get("content-encoding", "identity") == "identity"
    if media_type not in READERS or not is_plain:
        raise Problem(415, "media_type_unsupported", f"send {CSV} or {NDJSON}, not compressed")
    return media_type


def _mark(wanted: BulkRequest, media_type: str, content_sha256: str) -> str:
    return fingerprint(
        {
            "program_id": str(wanted.program_id) if wanted.program_id is not None else None,
            "action": wanted.action.value if wanted.action is not None else None,
            "dry_run": wanted.is_dry_run,
            "max_per_second": wanted.max_per_second,
            "media_type": media_type,
            "content_sha256": content_sha256,
        }
    )


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
    reader = READERS[media_type](format_of(opened.program, opened.job.action))
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
        raise Invalid("empty", "no rows", errors=[FieldError("body", "has no row")])
    return received
