"""Does background work step by step; any replica takes the next step of any job.

A step is one transaction: what it changed, its results and the job's progress commit together, so
that a process that dies loses nothing and repeats nothing. The lease keeps others from waiting for
the same row; it ends by itself after a process that died.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from passferry_pass_issuer.application.job_ports import (
    Backlog,
    Errors,
    JobResults,
    Jobs,
    JobSteps,
    StagedRows,
    Statistics,
    Step,
)
from passferry_pass_issuer.application.job_reports import report_progress
from passferry_pass_issuer.application.work import Work, Workbench
from passferry_pass_issuer.domain.jobs import Job, JobKind, JobState, ended, report_due
from passferry_pass_issuer.metrics import JOB_ROWS, JOB_STEP_FAILURES
from passferry_runtime.logging import get_logger

log = get_logger(__name__)

#: A step takes about a second; what takes longer than the timeout is undone and tried again.
STEP_TIMEOUT_S = 25.0
LEASE = timedelta(seconds=30)
LOOK_AGAIN = timedelta(seconds=30)
RETRY = timedelta(seconds=5)
PAUSED_LOOK = timedelta(days=1)
#: A file that grows a workspace tenfold has plans made anew on its way.
REFRESHED_AT = (500, 5_000, 50_000, 500_000)
DROPPED_CHUNKS = 500
DROPPED_RESULTS = 5_000
UPLOAD_INCOMPLETE = "upload_incomplete"
ABANDONED = "abandoned"
_GOING = frozenset({JobState.WAITING, JobState.RUNNING})


@dataclass(frozen=True, kw_only=True)
class RunJobs:
    """`replica_id` is of this process alone."""

    workbench: Workbench
    jobs: Jobs
    rows: StagedRows
    results: JobResults
    steps: Mapping[JobKind, JobSteps]
    is_suspended: Callable[[UUID], bool]
    backlog: Backlog
    statistics: Statistics
    errors: Errors
    replica_id: UUID
    results_kept: timedelta
    #: Set by a step after which plans should be made anew.
    has_grown: asyncio.Event = field(default_factory=asyncio.Event)

    async def once(self) -> bool:
        """One step of the job that is due the longest; False when there is nothing to do now."""
        if await self.backlog.is_long():
            return False
        now = self.workbench.clock.now()
        async with self.workbench.transactions.transaction([]) as transaction:
            claimed = await self.jobs.claim(
                transaction, leased_by=self.replica_id, now=now, until=now + LEASE
            )
        if claimed is None:
            return False
        workspace_id, job_id = claimed
        try:
            async with asyncio.timeout(STEP_TIMEOUT_S):
                await self._take_turn(workspace_id, job_id, self._next)
        except Exception as error:
            await self._after_failure(workspace_id, job_id, error)
        if self.has_grown.is_set():
            self.has_grown.clear()
            await self._refresh()
        return True

    async def _after_failure(self, workspace_id: UUID, job_id: UUID, error: Exception) -> None:
        JOB_STEP_FAILURES.inc()
        is_passing = self.errors.is_passing(error)
        log.warning(
            "job_step_failed",
            workspace_id=str(workspace_id),
            job_id=str(job_id),
            error=type(error).__name__,
            is_passing=is_passing,
            exc_info=None if is_passing else error,
        )
        act = self._put_off if is_passing else partial(self._narrow, error=error)
        try:
            await self._take_turn(workspace_id, job_id, act)
        except Exception as second:
            # The lease ends by itself.
            log.warning("job_not_put_off", job_id=str(job_id), error=type(second).__name__)

    async def _take_turn(
        self,
        workspace_id: UUID,
        job_id: UUID,
        act: Callable[[Work, Job], Awaitable[datetime | None]],
    ) -> None:
        work: Work | None = None
        async with self.workbench.transactions.transaction([workspace_id]) as transaction:
            job = await self.jobs.lock_leased(
                transaction, workspace_id, job_id, leased_by=self.replica_id
            )
            if job is not None:
                work = self.workbench.around(transaction, actor=job.created_by)
                due_at = await act(work, job)
                if due_at is not None:
                    await self.jobs.put_due(transaction, workspace_id, job_id, due_at)
        for follow_up in work.after_commit if work is not None else ():
            follow_up()

    async def _refresh(self) -> None:
        try:
            await self.statistics.refresh()
        except Exception as error:
            # Somebody else is at it, or will be.
            log.info("statistics_not_refreshed", error=type(error).__name__)

    async def _next(self, work: Work, job: Job) -> datetime | None:
        """When the job is due again; None when nothing is left of it."""
        if job.state is JobState.RECEIVING:
            # Nobody sends its file any more.
            failed = ended(job, JobState.FAILED, work.now, failure_code=UPLOAD_INCOMPLETE)
            return await self._store(work, failed, work.now)
        if job.is_ended:
            return await self._clean(work, job)
        if self._is_abandoned(job, work.now):
            failed = ended(job, JobState.FAILED, work.now, failure_code=ABANDONED)
            return await self._store(work, failed, work.now)
        if job.state not in _GOING:
            return work.now + PAUSED_LOOK
        if self.is_suspended(job.workspace_id):
            return await self._advance(work, job, Step(waits_for="workspace_suspended"))
        return await self._advance(work, job, await self.steps[job.kind](work, job))

    def _is_abandoned(self, job: Job, now: datetime) -> bool:
        """The rows of a file name people, and are not kept for longer than results are."""
        if job.kind in {JobKind.ROLLOUT, JobKind.REDRAW}:
            return False
        is_still = job.state not in _GOING or job.waits_for is not None
        return is_still and now >= job.updated_at + self.results_kept

    async def _advance(self, work: Work, job: Job, step: Step) -> datetime:
        now = work.now
        after = replace(
            job,
            state=JobState.RUNNING,
            place=job.place if step.place is None else step.place,
            page_rows=step.page_rows,
            accepted=job.accepted if step.accepted is None else step.accepted,
            changed=job.changed + step.changed,
            unchanged=job.unchanged + step.unchanged,
            refused=job.refused + step.refused,
            waits_for=step.waits_for,
            # One that is held up on its first look has not begun.
            started_at=job.started_at or (None if step.waits_for else now),
            # Of one that is held up: since when.
            updated_at=job.updated_at if job.waits_for and step.waits_for else now,
        )
        if step.failure_code is not None:
            after = ended(after, JobState.FAILED, now, failure_code=step.failure_code)
        elif step.is_finished:
            after = ended(after, JobState.DONE, now)
        work.after_commit.append(partial(_count, job.kind, step))
        if any(job.done < at <= after.done for at in REFRESHED_AT):
            work.after_commit.append(self.has_grown.set)
        if after.is_ended:
            return await self._store(work, after, now)
        if step.waits_for is not None:
            return await self._store(work, after, now + LOOK_AGAIN)
        # Counted from the beginning of the step: its own time is a part of the pause.
        pause_us = step.done * 1_000_000 // job.max_per_second
        return await self._store(work, after, now + timedelta(microseconds=pause_us))

    async def _store(self, work: Work, job: Job, due_at: datetime) -> datetime:
        if report_due(job):
            report_progress(work, job)
            job = replace(job, reported_percent=job.percent)
        await self.jobs.update(work.transaction, job)
        return due_at

    async def _put_off(self, work: Work, job: Job) -> datetime:
        return work.now + RETRY

    async def _narrow(self, work: Work, job: Job, *, error: Exception) -> datetime:
        if job.state not in _GOING:
            # Cleaning up has no rows to blame.
            return work.now + RETRY
        step = await self.steps[job.kind].narrow(work, job, self.errors.refusal(error))
        return await self._advance(work, job, step)

    async def _clean(self, work: Work, job: Job) -> datetime | None:
        """Rows go at once when the work ended; results and the job itself after their time."""
        transaction, key = work.transaction, (job.workspace_id, job.job_id)
        if await self.rows.drop_some(transaction, *key, limit=DROPPED_CHUNKS):
            return work.now
        kept_until = (job.finished_at or job.updated_at) + self.results_kept
        if work.now < kept_until:
            return kept_until
        if await self.results.drop_some(transaction, *key, limit=DROPPED_RESULTS):
            return work.now
        await self.jobs.remove(transaction, *key)
        return None


def _count(kind: JobKind, step: Step) -> None:
    for outcome, rows in (
        ("changed", step.changed),
        ("unchanged", step.unchanged),
        ("refused", step.refused),
    ):
        JOB_ROWS.labels(kind=kind.value, outcome=outcome).inc(rows)
