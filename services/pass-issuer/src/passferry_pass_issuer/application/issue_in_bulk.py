"""Issues rows of a file."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from passferry_pass_issuer.application.issue_passes import IssueResult
from passferry_pass_issuer.application.job_ports import StagedRow, Step
from passferry_pass_issuer.application.ports import Programs
from passferry_pass_issuer.application.work import Work
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
        self,
        work: Work,
        workspace_id: UUID,
        requests: Sequence[IssueRequest],
        *,
        asked_at: datetime | None = None,
    ) -> list[IssueResult]: ...


@dataclass(frozen=True, kw_only=True)
class IssueInBulk:
    programs: Programs
    issue: Issue

    async def blocked(self, work: Work, job: Job) -> Step | None:
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

    async def __call__(
        self, work: Work, job: Job, chunk: Sequence[StagedRow]
    ) -> Sequence[RowResult]:
        requests = [row.request for row in chunk if isinstance(row.request, IssueRequest)]
        # A file may have waited for long: who was erased meanwhile is not in it any more.
        issued = await self.issue(work, job.workspace_id, requests, asked_at=job.created_at)
        work.after_commit.append(lambda: _count(issued))
        gone = set[UUID]()
        if job.is_dry_run:
            # What a dry run made is gone again, and so is its id, also for a row that repeats it.
            gone = {
                each.wallet_pass.pass_id
                for each in issued
                if each.wallet_pass is not None and each.outcome is IssueOutcome.CREATED
            }
        return [
            _result(row.number, each, gone=gone) for row, each in zip(chunk, issued, strict=True)
        ]


def _result(number: int, issued: IssueResult, *, gone: Collection[UUID]) -> RowResult:
    refusal, wallet_pass = issued.refusal, issued.wallet_pass
    is_there = wallet_pass is not None and wallet_pass.pass_id not in gone
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
