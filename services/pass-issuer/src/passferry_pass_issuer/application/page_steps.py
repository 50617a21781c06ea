"""What rollouts and redraws have in common: jobs that draw many passes again, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from passferry_pass_issuer.application.job_ports import JobResults, Jobs, Step
from passferry_pass_issuer.application.job_reports import report_progress
from passferry_pass_issuer.application.ports import PassChange, Transaction
from passferry_pass_issuer.application.render_revisions import PassKey
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.jobs import (
    Job,
    JobState,
    Outcome,
    Refusal,
    RowResult,
    ended,
)
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.wallet_pass import WalletPass

#: As many as a batch of events: those of live changes wait no longer for the same rows.
PAGE_PASSES = 100
NO_PASS = UUID(int=0)


class LockedPasses(Protocol):
    async def lock(
        self, transaction: Transaction, keys: Sequence[PassKey]
    ) -> dict[PassKey, WalletPass]: ...


class ShowablePasses(Protocol):
    async def store_showable(
        self, transaction: Transaction, changes: Sequence[PassChange]
    ) -> list[WalletPass | ContentRejected]: ...


async def supersede(jobs: Jobs, work: Work, older: Job) -> None:
    """A newer job takes its place: what it did is out of date."""
    superseded = ended(older, JobState.CANCELLED, work.now, failure_code="superseded")
    report_progress(work, superseded)
    await jobs.update(work.transaction, superseded)
    await jobs.put_due(work.transaction, older.workspace_id, older.job_id, work.now)


def refused_pass(number: int, pass_id: UUID, refusal: Refusal) -> RowResult:
    return RowResult(number=number, outcome=Outcome.REFUSED, pass_id=pass_id, refusal=refusal)


def drawn_pass(
    number: int, change: PassChange, after: WalletPass | ContentRejected
) -> bool | RowResult:
    """Whether it has a new revision now, or why not."""
    if isinstance(after, ContentRejected):
        fault = Refusal(field=after.field, code=after.code, detail=after.detail)
        return refused_pass(number, change.before.pass_id, fault)
    return after.revision > change.before.revision


async def page_step(
    store: JobResults,
    work: Work,
    job: Job,
    results: Sequence[bool | RowResult],
    *,
    place: str,
    accepted: int,
) -> Step:
    """After a page was drawn; what was refused is kept."""
    refused = [each for each in results if isinstance(each, RowResult)]
    if refused:
        await store.insert(work.transaction, job.workspace_id, job.job_id, refused)
    return Step(
        changed=sum(each is True for each in results),
        unchanged=sum(each is False for each in results),
        refused=len(refused),
        place=place,
        page_rows=_widened(job.page_rows),
        accepted=accepted,
    )


def _widened(page_rows: int | None) -> int | None:
    """Back to whole pages, step by step, after a page that failed."""
    return None if page_rows is None or 2 * page_rows >= PAGE_PASSES else 2 * page_rows
