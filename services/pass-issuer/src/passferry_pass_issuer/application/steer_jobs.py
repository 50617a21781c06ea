"""Pauses, resumes and cancels background work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from uuid import UUID

from passferry_pass_issuer.application.job_ports import Jobs
from passferry_pass_issuer.application.job_reports import report_progress
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.jobs import Job, JobAction, JobKind, steered
from passferry_runtime.errors import Conflict, NotFound


@dataclass(frozen=True, kw_only=True)
class SteerJob:
    jobs: Jobs
    wake: Callable[[], None]

    async def __call__(
        self, work: Work, workspace_id: UUID, kind: JobKind, job_id: UUID, action: JobAction
    ) -> Job:
        """Doing so twice is doing so once. What a step did already stays done."""
        job = await self.jobs.find(work.transaction, workspace_id, job_id, for_update=True)
        if job is None or job.kind is not kind:
            raise NotFound("job_not_found", "there is no such job")
        after = steered(job, action, work.now)
        if after is None:
            raise Conflict(f"job_{job.state}", f"a {job.state} job cannot {action.value}")
        if after is job:
            return job
        if after.is_ended:
            report_progress(work, after)
            after = replace(after, reported_percent=after.percent)
        await self.jobs.update(work.transaction, after)
        await self.jobs.put_due(work.transaction, workspace_id, job_id, work.now)
        await work.audit(
            workspace_id,
            f"{kind}.{after.state}",
            job_id,
            before={"state": job.state.value},
            after={"state": after.state.value, "done": after.done},
        )
        work.after_commit.append(self.wake)
        return after
