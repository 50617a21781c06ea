"""What passes show of their program reaches them when it changes, page by page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from passferry_pass_issuer.application.job_ports import JobResults, Jobs, Step
from passferry_pass_issuer.application.page_steps import (
    NO_PASS,
    PAGE_PASSES,
    LockedPasses,
    ShowablePasses,
    drawn_pass,
    page_step,
    refused_pass,
    supersede,
)
from passferry_pass_issuer.application.ports import PassChange, Passes, Programs, Transaction
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.jobs import (
    Job,
    JobKind,
    JobState,
    Refusal,
    RowResult,
)
from passferry_pass_issuer.domain.program import ProgramStatus
from passferry_pass_issuer.domain.wallet_pass import WalletPass
from passferry_runtime.ids import uuid7


class ProgramPasses(Protocol):
    """Active passes of a program."""

    async def count(self, transaction: Transaction, workspace_id: UUID, program_id: UUID) -> int:
        """How many there are."""

    async def page(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        program_id: UUID,
        *,
        after: UUID,
        limit: int,
    ) -> list[UUID]:
        """By pass id."""


@dataclass(frozen=True, kw_only=True)
class StartRedraw:
    jobs: Jobs
    wake: Callable[[], None]
    per_second: int

    async def __call__(self, work: Work, workspace_id: UUID, program_id: UUID) -> Job:
        """Takes the place of one that is under way: what that did is out of date. The caller has
        locked the program."""
        older = await self.jobs.open_redraw(work.transaction, workspace_id, program_id)
        if older is not None:
            await supersede(self.jobs, work, older)
        job = Job(
            workspace_id=workspace_id,
            job_id=uuid7(),
            kind=JobKind.REDRAW,
            state=JobState.WAITING,
            program_id=program_id,
            max_per_second=self.per_second,
            created_by=work.actor,
            created_at=work.now,
            updated_at=work.now,
        )
        await self.jobs.insert(work.transaction, job, due_at=work.now)
        await work.audit(
            workspace_id, "redraw.started", job.job_id, after={"program_id": program_id}
        )
        work.after_commit.append(self.wake)
        return job


@dataclass(frozen=True, kw_only=True)
class RedrawPasses:
    """Each keeps its version of the template; one whose bytes stay the same is not told."""

    results: JobResults
    of_program: ProgramPasses
    locked: LockedPasses
    revisions: ShowablePasses
    passes: Passes
    programs: Programs

    async def __call__(self, work: Work, job: Job) -> Step:
        if await self._is_suspended(work, job):
            return Step(waits_for="program_suspended")
        accepted = job.accepted
        # Also where the first look was in vain: held up, or undone for a pass at fault.
        if not accepted:
            # Who issues with what the program said before ends first, and is found then.
            await self.passes.lock_issuing(work.transaction, job.workspace_id)
            accepted = await self.of_program.count(
                work.transaction, job.workspace_id, _program_of(job)
            )
        page = await self._page(work, job, min(job.page_rows or PAGE_PASSES, job.max_per_second))
        if not page:
            return Step(is_finished=True, accepted=accepted)
        results = await self._draw(work, job, page)
        place = str(page[-1])
        return await page_step(self.results, work, job, results, place=place, accepted=accepted)

    async def narrow(self, work: Work, job: Job, refusal: Refusal) -> Step:
        """Halves the page at fault until its one bad pass is alone, and goes on behind it."""
        size = job.page_rows or PAGE_PASSES
        if size > 1:
            return Step(page_rows=size // 2)
        page = await self._page(work, job, 1)
        if not page:
            return Step(page_rows=1)
        refused = refused_pass(job.done + 1, page[0], refusal)
        await self.results.insert(work.transaction, job.workspace_id, job.job_id, [refused])
        return Step(refused=1, place=str(page[0]), page_rows=2)

    async def _is_suspended(self, work: Work, job: Job) -> bool:
        programs = await self.programs.by_ids(
            work.transaction, job.workspace_id, [_program_of(job)]
        )
        return any(each.status is ProgramStatus.SUSPENDED for each in programs.values())

    async def _page(self, work: Work, job: Job, limit: int) -> list[UUID]:
        after = UUID(job.place) if job.place else NO_PASS
        return await self.of_program.page(
            work.transaction, job.workspace_id, _program_of(job), after=after, limit=limit
        )

    async def _draw(self, work: Work, job: Job, page: list[UUID]) -> list[bool | RowResult]:
        """For each pass that is still active: whether it has a new revision now."""
        rows = await self.locked.lock(work.transaction, [(job.workspace_id, each) for each in page])
        changes = [_change(work, job, row) for row in rows.values() if row.is_usable]
        stored = await self.revisions.store_showable(work.transaction, changes)
        return [
            drawn_pass(number, change, after)
            for number, (change, after) in enumerate(
                zip(changes, stored, strict=True), job.done + 1
            )
        ]


def _program_of(job: Job) -> UUID:
    return job.program_id or NO_PASS


def _change(work: Work, job: Job, row: WalletPass) -> PassChange:
    cause = {"event_type": "program.changed", "event_id": str(job.job_id), "reason": None}
    return PassChange(before=row, after=row, causes=(cause,), caused_at=work.now)
