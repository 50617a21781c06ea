"""Issues the rows of a file, a chunk at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from passferry_pass_issuer.application.issue_passes import IssueResult
from passferry_pass_issuer.application.job_ports import JobResults, StagedRow, StagedRows, Step
from passferry_pass_issuer.application.ports import Programs
from passferry_pass_issuer.application.work import Work, Workbench
from passferry_pass_issuer.domain.issuing import IssueOutcome, IssueRequest
from passferry_pass_issuer.domain.jobs import Job, Outcome, Refusal, RowResult
from passferry_pass_issuer.domain.program import ProgramStatus
from passferry_pass_issuer.metrics import PASSES_ISSUED

_OUTCOMES = {
    IssueOutcome.CREATED: Outcome.CHANGED,
    IssueOutcome.EXISTED: Outcome.UNCHANGED,
    IssueOutcome.REFUSED: Outcome.REFUSED,
}


class Issue(Protocol):
    async def __call__(
        self, work: Work, workspace_id: UUID, requests: Sequence[IssueRequest]
    ) -> list[IssueResult]: ...


class _TrialEnded(Exception):
    """Undoes what a dry run did."""


@dataclass(frozen=True, kw_only=True)
class IssueInBulk:
    workbench: Workbench
    rows: StagedRows
    results: JobResults
    programs: Programs
    issue: Issue

    async def __call__(self, work: Work, job: Job) -> Step:
        blocked = await self._blocked(work, job)
        if blocked is not None:
            return blocked
        chunk = await self.rows.first(work.transaction, job.workspace_id, job.job_id)
        if not chunk:
            return Step(is_finished=True)
        requests = [row.request for row in chunk]
        if job.is_dry_run:
            issued = await self._try_out(work, job, requests)
        else:
            issued = await self.issue(work, job.workspace_id, requests)
            work.after_commit.append(lambda: _count(issued))
        results = [
            _result(row.number, each, is_dry_run=job.is_dry_run)
            for row, each in zip(chunk, issued, strict=True)
        ]
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

    async def _blocked(self, work: Work, job: Job) -> Step | None:
        """The kill switch of a program holds its file up; a retired program ends it."""
        program_id = job.program_id
        found = await self.programs.by_ids(
            work.transaction, job.workspace_id, [program_id] if program_id else []
        )
        program = found.get(program_id) if program_id else None
        if program is None or program.status is ProgramStatus.RETIRED:
            return Step(failure_code="program_retired")
        if program.status is not ProgramStatus.ACTIVE:
            return Step(waits_for="program_suspended")
        return None

    async def _try_out(
        self, work: Work, job: Job, requests: Sequence[IssueRequest]
    ) -> list[IssueResult]:
        """Issues in a transaction of its own, which is undone."""
        issued: list[IssueResult] = []
        try:
            async with self.workbench.open([job.workspace_id], actor=work.actor) as trial:
                issued = await self.issue(trial, job.workspace_id, requests)
                raise _TrialEnded
        except _TrialEnded:
            return issued

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


def _result(number: int, issued: IssueResult, *, is_dry_run: bool) -> RowResult:
    refusal, wallet_pass = issued.refusal, issued.wallet_pass
    # What a dry run made is gone again, and so is its id.
    is_there = wallet_pass is not None and not (
        is_dry_run and issued.outcome is IssueOutcome.CREATED
    )
    return RowResult(
        number=number,
        outcome=_OUTCOMES[issued.outcome],
        pass_id=wallet_pass.pass_id if wallet_pass is not None and is_there else None,
        refusal=Refusal(field=refusal.field, code=refusal.code, detail=refusal.detail)
        if refusal is not None
        else None,
    )


def _count(issued: Sequence[IssueResult]) -> None:
    for result in issued:
        PASSES_ISSUED.labels(outcome=result.outcome.value).inc()
