"""Works a file off, a chunk of its rows at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from passferry_pass_issuer.application.job_ports import JobResults, StagedRow, StagedRows, Step
from passferry_pass_issuer.application.work import Work, Workbench
from passferry_pass_issuer.domain.jobs import Job, Outcome, Refusal, RowResult


class RowWork(Protocol):
    async def blocked(self, work: Work, job: Job) -> Step | None:
        """Why nothing of the file can be done now, or any more."""

    async def __call__(
        self, work: Work, job: Job, chunk: Sequence[StagedRow]
    ) -> Sequence[RowResult] | Step:
        """One result per row, and a row that is refused stops no other; or for what they wait."""


class _TrialEnded(Exception):
    """Undoes what a dry run did."""


@dataclass(frozen=True, kw_only=True)
class ChunkSteps:
    workbench: Workbench
    rows: StagedRows
    results: JobResults
    apply: RowWork

    async def __call__(self, work: Work, job: Job) -> Step:
        blocked = await self.apply.blocked(work, job)
        if blocked is not None:
            return blocked
        chunk = await self.rows.first(work.transaction, job.workspace_id, job.job_id)
        if not chunk:
            return Step(is_finished=True)
        if job.is_dry_run:
            results = await self._try_out(work, job, chunk)
        else:
            results = await self.apply(work, job, chunk)
        if isinstance(results, Step):
            return results
        return await self._finish(work, job, chunk, results)

    async def narrow(self, work: Work, job: Job, refusal: Refusal) -> Step:
        """Halves the chunk at fault until its one bad row is alone."""
        key = job.workspace_id, job.job_id
        chunk = await self.rows.first(work.transaction, *key)
        if not chunk:
            return Step()
        if len(chunk) == 1:
            refused = RowResult(number=chunk[0].number, outcome=Outcome.REFUSED, refusal=refusal)
            return await self._finish(work, job, chunk, [refused])
        await self.rows.drop(work.transaction, *key, chunk[0].number)
        middle = len(chunk) // 2
        for half in (chunk[:middle], chunk[middle:]):
            await self.rows.stage(work.transaction, *key, half)
        return Step()

    async def _try_out(
        self, work: Work, job: Job, chunk: Sequence[StagedRow]
    ) -> Sequence[RowResult] | Step:
        """In a transaction of its own, which is undone."""
        results: Sequence[RowResult] | Step = []
        try:
            async with self.workbench.open([job.workspace_id], actor=work.actor) as trial:
                results = await self.apply(trial, job, chunk)
                raise _TrialEnded
        except _TrialEnded:
            return results

    async def _finish(
        self, work: Work, job: Job, chunk: Sequence[StagedRow], results: Sequence[RowResult]
    ) -> Step:
        key = job.workspace_id, job.job_id
        await self.results.insert(work.transaction, *key, results)
        await self.rows.drop(work.transaction, *key, chunk[0].number)
        counts = Counter(result.outcome for result in results)
        return Step(
            changed=counts[Outcome.CHANGED],
            unchanged=counts[Outcome.UNCHANGED],
            refused=counts[Outcome.REFUSED],
            is_finished=job.done + len(results) >= job.accepted,
        )
