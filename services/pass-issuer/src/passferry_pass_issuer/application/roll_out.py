"""A new version of a template reaches the passes that were issued before it, page by page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from passferry_contracts.types import PassStatus
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
from passferry_pass_issuer.application.ports import (
    Catalogue,
    PassChange,
    Passes,
    Transaction,
)
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.google_ids import vertical_of
from passferry_pass_issuer.domain.jobs import (
    Job,
    JobKind,
    JobState,
    Refusal,
    RowResult,
)
from passferry_pass_issuer.domain.rendering_subject import TemplateFacts
from passferry_pass_issuer.domain.wallet_pass import WalletPass, changed
from passferry_runtime.errors import Conflict
from passferry_runtime.ids import uuid7

#: `place` is the phase and the last pass of it.
ACTIVE, ENDED, LEFT_OVER = "active", "ended", "left_over"


class OutdatedPasses(Protocol):
    """Passes that were drawn with an older version of a template."""

    async def count(self, transaction: Transaction, job: Job) -> int:
        """Of those that a rollout is about."""

    async def page(
        self,
        transaction: Transaction,
        job: Job,
        *,
        active: bool | None,
        after: UUID,
        limit: int,
        without_refused: bool,
    ) -> list[UUID]:
        """By pass id, without those of suspended programs; `active` of None: whichever the rollout
        is about."""

    async def are_held_up(self, transaction: Transaction, job: Job) -> bool:
        """Whether some of those that a rollout is about are of a suspended program."""


@dataclass(frozen=True, kw_only=True)
class StartRollout:
    jobs: Jobs
    catalogue: Catalogue
    wake: Callable[[], None]
    default_per_second: int

    async def __call__(
        self,
        work: Work,
        workspace_id: UUID,
        template_id: UUID,
        *,
        includes_ended: bool = False,
        max_per_second: int | None = None,
    ) -> Job:
        """Of the newest published version; takes the place of a rollout that is under way."""
        facts = (
            await self.catalogue.newest_published(work.transaction, workspace_id, [template_id])
        ).get(template_id)
        if facts is None:
            raise Conflict("template_not_published", "publish a version of the template first")
        older = await self.jobs.open_rollout(work.transaction, workspace_id, template_id)
        if older is not None:
            await supersede(self.jobs, work, older)
        job = Job(
            workspace_id=workspace_id,
            job_id=uuid7(),
            kind=JobKind.ROLLOUT,
            state=JobState.WAITING,
            template_id=template_id,
            template_version=facts.template_version,
            includes_ended=includes_ended or (older is not None and older.includes_ended),
            max_per_second=max_per_second or self.default_per_second,
            created_by=work.actor,
            created_at=work.now,
            updated_at=work.now,
        )
        if not await self.jobs.insert(work.transaction, job, due_at=work.now):
            raise Conflict("rollout_under_way", "another rollout of the template has just begun")
        after = {"template_id": template_id, "template_version": facts.template_version}
        await work.audit(workspace_id, "rollout.started", job.job_id, after=after)
        work.after_commit.append(self.wake)
        return job


@dataclass(frozen=True, kw_only=True)
class RollOut:
    """Active passes first; a pass that has this version or a newer one by now is left alone."""

    results: JobResults
    outdated: OutdatedPasses
    locked: LockedPasses
    revisions: ShowablePasses
    passes: Passes
    catalogue: Catalogue

    async def __call__(self, work: Work, job: Job) -> Step:
        phase, after = _place_of(job)
        limit = min(job.page_rows or PAGE_PASSES, job.max_per_second)
        accepted = job.accepted
        if not accepted:
            # Also where the first look was in vain: held up, or undone for a pass at fault.
            accepted = job.done + await self.outdated.count(work.transaction, job)
        if phase == LEFT_OVER:
            # Who issues with the version before ends first; whoever comes later has the new one.
            await self.passes.lock_issuing(work.transaction, job.workspace_id)
        page = await self.outdated.page(
            work.transaction,
            job,
            active={ACTIVE: True, ENDED: False}.get(phase),
            after=after,
            limit=limit,
            without_refused=phase == LEFT_OVER,
        )
        if not page:
            return await self._next_phase(work, job, phase, accepted)
        results = await self._draw(work, job, page)
        place = f"{phase}:{page[-1]}"
        return await page_step(self.results, work, job, results, place=place, accepted=accepted)

    async def narrow(self, work: Work, job: Job, refusal: Refusal) -> Step:
        """Halves the page at fault until its one bad pass is alone, and goes on behind it."""
        size = job.page_rows or PAGE_PASSES
        if size > 1:
            return Step(page_rows=size // 2)
        phase, after = _place_of(job)
        page = await self.outdated.page(
            work.transaction,
            job,
            active={ACTIVE: True, ENDED: False}.get(phase),
            after=after,
            limit=1,
            without_refused=phase == LEFT_OVER,
        )
        if not page:
            return Step(page_rows=1)
        refused = refused_pass(job.done + 1, page[0], refusal)
        await self.results.insert(work.transaction, job.workspace_id, job.job_id, [refused])
        return Step(refused=1, place=f"{phase}:{page[0]}", page_rows=2)

    async def _next_phase(self, work: Work, job: Job, phase: str, accepted: int) -> Step:
        if phase == LEFT_OVER:
            if await self.outdated.are_held_up(work.transaction, job):
                place = f"{LEFT_OVER}:{NO_PASS}"
                return Step(waits_for="program_suspended", place=place, accepted=accepted)
            return Step(is_finished=True, accepted=accepted)
        follows = ENDED if phase == ACTIVE and job.includes_ended else LEFT_OVER
        return Step(place=f"{follows}:{NO_PASS}", accepted=accepted)

    async def _draw(self, work: Work, job: Job, page: Sequence[UUID]) -> list[bool | RowResult]:
        """For each pass that is still outdated: whether it has a new revision now."""
        workspace_id, number = job.workspace_id, job.done
        template = await self._template(work, job)
        rows = await self.locked.lock(work.transaction, [(workspace_id, each) for each in page])
        drawn_with = await self.catalogue.templates(
            work.transaction, {_version_of(row) for row in rows.values()}
        )
        results: list[bool | RowResult] = []
        changes: list[PassChange] = []
        for row in rows.values():
            if row.template_version >= template.template_version or not _is_about(job, row):
                continue
            fault = _unmovable(row, template, drawn_with.get(_version_of(row)))
            if fault is None:
                changes.append(_change(work, job, row, template))
            else:
                number += 1
                results.append(refused_pass(number, row.pass_id, fault))
        stored = await self.revisions.store_showable(work.transaction, changes)
        for change, after in zip(changes, stored, strict=True):
            number += 1
            results.append(drawn_pass(number, change, after))
        return results

    async def _template(self, work: Work, job: Job) -> TemplateFacts:
        key = job.workspace_id, job.template_id or NO_PASS, job.template_version or 0
        return (await self.catalogue.templates(work.transaction, [key]))[key]


def _place_of(job: Job) -> tuple[str, UUID]:
    phase, _, after = job.place.partition(":")
    return phase or ACTIVE, UUID(after) if after else NO_PASS


def _is_about(job: Job, row: WalletPass) -> bool:
    """A pass that was deleted is not drawn again: what is told of it may be gone already."""
    if row.status is PassStatus.DELETED:
        return False
    return row.is_usable or job.includes_ended


def _version_of(row: WalletPass) -> tuple[UUID, UUID, int]:
    return row.workspace_id, row.template_id, row.template_version


def _unmovable(
    row: WalletPass, template: TemplateFacts, drawn_with: TemplateFacts | None
) -> Refusal | None:
    """A phone knows its pass by the pass type and serial number, Google by the vertical and id
    of its object."""
    if row.pass_type_identifier != template.pass_type_identifier:
        detail = "of the new version is another: reissue the pass"
        return Refusal(field="pass_type_identifier", code="pass_type_changed", detail=detail)
    issuer_id = row.google_object_id.partition(".")[0] if row.google_object_id else None
    if issuer_id is not None and issuer_id != template.google_issuer_id:
        detail = "of the new version is another: reissue the pass"
        return Refusal(field="google_issuer_id", code="google_issuer_changed", detail=detail)
    if row.is_on_google and row.google_object_id is not None and template.content.google is None:
        return _dropped("google")
    if row.is_on_apple and row.pass_json is not None and template.content.apple is None:
        return _dropped("apple")
    before, after = drawn_with and drawn_with.content.google, template.content.google
    if before and after and vertical_of(row.protocol, before) != vertical_of(row.protocol, after):
        detail = "of the new version is another: reissue the pass"
        return Refusal(field="google.vertical", code="google_vertical_changed", detail=detail)
    return None


def _dropped(wallet: str) -> Refusal:
    """Drawn again, the copy on the phone would hear of nothing any more, not even of its end."""
    detail = "is not in the new version, and the pass is in that wallet: it stays with the old one"
    return Refusal(field=wallet, code=f"{wallet}_dropped", detail=detail)


def _change(work: Work, job: Job, row: WalletPass, template: TemplateFacts) -> PassChange:
    cause = {"event_type": "template.published", "event_id": str(job.job_id), "reason": None}
    return PassChange(
        before=row,
        after=changed(row, template_version=template.template_version),
        causes=(cause,),
        caused_at=work.now,
    )
