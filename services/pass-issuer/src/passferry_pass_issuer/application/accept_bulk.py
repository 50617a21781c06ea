"""Takes a file of passes to issue or to change: rows are staged as they come, and wait."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from passferry_contracts.types import Protocol as PassProtocol
from passferry_pass_issuer.application.job_ports import JobResults, Jobs, StagedRow, StagedRows
from passferry_pass_issuer.application.job_reports import report_progress
from passferry_pass_issuer.application.ports import Programs
from passferry_pass_issuer.application.run_jobs import UPLOAD_INCOMPLETE
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.bulk_changes import ChangeAction
from passferry_pass_issuer.domain.issuing import IssueRequest, check_program_open
from passferry_pass_issuer.domain.jobs import (
    Job,
    JobKind,
    JobState,
    Outcome,
    Refusal,
    RowResult,
    ended,
)
from passferry_pass_issuer.domain.program import Program
from passferry_runtime.errors import Conflict, Invalid
from passferry_runtime.ids import uuid7

MAX_ROWS = 1_000_000
#: Of one workspace, whose rows wait in the database.
MAX_OPEN_FILES = 10
#: A chunk is issued in one transaction, in which nobody else can issue in the workspace.
MAX_CHUNK_ROWS = 100
MIN_CHUNK_ROWS = 10
#: A file that stops coming in is given up after this long.
SILENCE = timedelta(minutes=10)

#: A row that could be read, or why not.
Row = StagedRow | RowResult


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkRequest:
    """A program, whose passes are issued; or an action, on passes that are there."""

    program_id: UUID | None
    action: ChangeAction | None = None
    is_dry_run: bool
    max_per_second: int
    job_key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """`earlier` is the job of the same key: the file is only compared with it."""

    job: Job
    program: Program | None
    earlier: bool = False


def chunk_rows(max_per_second: int) -> int:
    """About a second's worth, so that the pace is even."""
    return min(max(max_per_second, MIN_CHUNK_ROWS), MAX_CHUNK_ROWS)


@dataclass(frozen=True, kw_only=True)
class AcceptBulk:
    jobs: Jobs
    rows: StagedRows
    results: JobResults
    programs: Programs
    #: Tells the worker of this process that there is something to do.
    wake: Callable[[], None]

    async def begin(self, work: Work, workspace_id: UUID, request: BulkRequest) -> Opened:
        kind = JobKind.BULK_ISSUE if request.action is None else JobKind.BULK_CHANGE
        program = await self._program(work, workspace_id, request)
        earlier = await self._earlier(work, workspace_id, kind, request.job_key)
        if earlier is not None:
            return Opened(job=earlier, program=program, earlier=True)
        if await self.jobs.count_open_files(work.transaction, workspace_id) >= MAX_OPEN_FILES:
            detail = f"{MAX_OPEN_FILES} files are waiting or running: let one end, or cancel it"
            raise Conflict("too_many_files", detail)
        job = Job(
            workspace_id=workspace_id,
            job_id=uuid7(),
            kind=kind,
            state=JobState.RECEIVING,
            job_key=request.job_key,
            program_id=request.program_id if program is not None else None,
            action=request.action,
            is_dry_run=request.is_dry_run,
            max_per_second=request.max_per_second,
            created_by=work.actor,
            created_at=work.now,
            updated_at=work.now,
        )
        if not await self.jobs.insert(work.transaction, job, due_at=work.now + SILENCE):
            raise Conflict("bulk_under_way", "the same file is coming in on another connection")
        return Opened(job=job, program=program)

    async def _program(
        self, work: Work, workspace_id: UUID, request: BulkRequest
    ) -> Program | None:
        if request.action is not None or request.program_id is None:
            return None
        found = await self.programs.by_ids(work.transaction, workspace_id, [request.program_id])
        return check_program_open(found.get(request.program_id))

    async def _earlier(
        self, work: Work, workspace_id: UUID, kind: JobKind, job_key: str | None
    ) -> Job | None:
        if job_key is None:
            return None
        found = await self.jobs.by_key(work.transaction, workspace_id, kind, job_key)
        if found is not None and found.state is JobState.RECEIVING:
            raise Conflict(
                "bulk_under_way", "the file of this Idempotency-Key is coming in already"
            )
        return found

    async def stage(self, work: Work, job: Job, rows: Sequence[Row]) -> None:
        """Some rows of the file; at most a chunk of them can be issued."""
        await self._receiving(work, job)
        key = job.workspace_id, job.job_id
        readable = [row for row in rows if isinstance(row, StagedRow)]
        if readable:
            await self.rows.stage(work.transaction, *key, readable)
        refused = [row for row in rows if isinstance(row, RowResult)]
        if refused:
            await self.results.insert(work.transaction, *key, refused)
        await self.jobs.put_due(work.transaction, *key, work.now + SILENCE)

    async def close(
        self, work: Work, job: Job, *, accepted: int, refused: int, request_sha256: str
    ) -> Job:
        """The whole file is here."""
        await self._receiving(work, job)
        closed = replace(
            job,
            state=JobState.WAITING,
            accepted=accepted,
            refused=refused,
            request_sha256=request_sha256,
            updated_at=work.now,
        )
        if accepted == refused:
            closed = ended(closed, JobState.DONE, work.now)
            report_progress(work, closed)
        await self.jobs.update(work.transaction, closed)
        await self.jobs.put_due(work.transaction, job.workspace_id, job.job_id, work.now)
        after: dict[str, Any] = {"rows": accepted, "dry_run": job.is_dry_run}
        if job.action is not None:
            after["action"] = job.action.value
        if job.program_id is not None:
            after["program_id"] = job.program_id
        await work.audit(job.workspace_id, f"{job.kind}.accepted", job.job_id, after=after)
        work.after_commit.append(self.wake)
        return closed

    async def abandon(self, work: Work, job: Job) -> None:
        """The file did not come in whole, or is none: nothing of it is issued."""
        found = await self.jobs.find(
            work.transaction, job.workspace_id, job.job_id, for_update=True
        )
        if found is None or found.state is not JobState.RECEIVING:
            return
        failed = ended(found, JobState.FAILED, work.now, failure_code=UPLOAD_INCOMPLETE)
        await self.jobs.update(work.transaction, failed)
        await self.jobs.put_due(work.transaction, job.workspace_id, job.job_id, work.now)
        work.after_commit.append(self.wake)

    async def _receiving(self, work: Work, job: Job) -> None:
        found = await self.jobs.find(
            work.transaction, job.workspace_id, job.job_id, for_update=True
        )
        if found is None or found.state is not JobState.RECEIVING:
            raise Conflict("bulk_ended", "it was cancelled, or its file came in too slowly")


def check_repeatable(program: Program, number: int, request: IssueRequest) -> RowResult | None:
    """Without something to know it by, the same row would make another pass each time."""
    holder = request.holder
    is_member = program.protocol is PassProtocol.MEMBERSHIP and (
        holder.external_id is not None or holder.email is not None
    )
    if request.external_id is not None or is_member:
        return None
    detail = (
        "is needed, so that the same file can be sent again; or, of a member, one of the holder"
    )
    refusal = Refusal(field="external_id", code="external_id_required", detail=detail)
    return RowResult(number=number, outcome=Outcome.REFUSED, refusal=refusal)


def same_file(earlier: Job, request_sha256: str) -> Job:
    """Raises `Invalid` when the key was of another file or other wishes."""
    if earlier.request_sha256 != request_sha256:
        raise Invalid("idempotency_key_reused", "this Idempotency-Key was already used")
    return earlier
