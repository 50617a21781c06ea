"""What happens without anybody ordering it: passes expire, ended ones are taken back, what was put
off is done, and what need not be remembered is forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from passferry_contracts.registry import LINK_CHANGED, PASS_RENDERED
from passferry_pass_issuer.application.administer_workspaces import Workspaces
from passferry_pass_issuer.application.carry_uses import CarryUses
from passferry_pass_issuer.application.do_duties import DoDuty, Duty, Failures, Key
from passferry_pass_issuer.application.draw_holder_passes import DrawHolderPasses
from passferry_pass_issuer.application.end_due_passes import PER_WORKSPACE, EndDuePasses
from passferry_pass_issuer.application.erased_people import ErasedNames
from passferry_pass_issuer.application.former_holders import LeaveLatePasses
from passferry_pass_issuer.application.job_ports import Backlog
from passferry_pass_issuer.application.life_ports import (
    Claims,
    EndedPasses,
    Messages,
    PassesOfHolders,
    RememberedAnswers,
)
from passferry_pass_issuer.application.ports import Transactions
from passferry_pass_issuer.application.render_revisions import RevisionStore
from passferry_pass_issuer.application.watch_reissues import WatchReissues
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.application.workspace_pages import workspace_pages

PAGE_WORKSPACES = 200
#: In one transaction: they are drawn and signed together.
BATCH = 256
#: Tombstones of one transaction, which has room for more.
MAX_RECORDS = 5_000
CLAIMS_KEPT = timedelta(days=7)
MESSAGES_KEPT = timedelta(days=30)


@dataclass(frozen=True, kw_only=True)
class KeepTime:
    """`__call__` is one round; one replica at a time does them. True when more is due and the next may
    begin at once: not while so many events wait to be sent that those of live traffic would too."""

    do_duty: DoDuty
    backlog: Backlog
    workspaces: Workspaces
    transactions: Transactions
    store: RevisionStore
    end_due: EndDuePasses
    ended: EndedPasses
    holder_pages: PassesOfHolders
    draw: DrawHolderPasses
    leave_late: LeaveLatePasses
    carry_uses: CarryUses
    claims: Claims
    messages: Messages
    answers: RememberedAnswers
    erased_names: ErasedNames
    erasures_remembered: timedelta
    watch_reissues: WatchReissues
    failures: Failures = field(default_factory=Failures)

    async def __call__(self) -> bool:
        await self.watch_reissues()
        duties = self._duties()
        left: dict[str, list[Key]] = {duty.name: [] for duty in duties}
        is_more = False
        async for named in workspace_pages(
            self.transactions, self.workspaces, limit=PAGE_WORKSPACES
        ):
            for duty in duties:
                undone = await self.do_duty(duty, named)
                left[duty.name] += undone.failed
                is_more |= undone.is_more
        self.failures.show(left)
        return is_more and not await self.backlog.is_long()

    def rest(self) -> None:
        """Another replica does the rounds."""
        self.failures.clear()
        self.watch_reissues.clear()

    def _duties(self) -> list[Duty]:
        end = self.end_due
        return [
            # Before the rules look: a card may be used up by what the lost one was used.
            Duty(
                name="carry_uses",
                find=self.carry_uses.waiting,
                do=self.carry_uses,
                at_once=1,
            ),
            Duty(name="expire", find=end.expired, do=end.expire, at_once=BATCH),
            Duty(name="end_by_rules", find=end.ruled, do=end.end_by_rules, at_once=BATCH),
            Duty(
                name="holder_pages",
                find=self.draw.waiting,
                do=self._draw_page,
                at_once=1,
                narrow=self._draw_one,
            ),
            Duty(
                name="leave_late_passes",
                find=self.leave_late.waiting,
                do=self.leave_late,
                at_once=BATCH,
            ),
            Duty(name="retire", find=self._due, do=self._retire, at_once=BATCH),
            Duty(name="forget", find=_all_of, do=self._forget, at_once=PAGE_WORKSPACES),
        ]

    async def _draw_page(self, work: Work, keys: Sequence[Key]) -> int:
        return await self._step(work, keys[0])

    async def _draw_one(self, work: Work, keys: Sequence[Key]) -> int:
        return await self._step(work, keys[0], limit=1)

    async def _step(self, work: Work, key: Key, *, limit: int | None = None) -> int:
        page = await self.holder_pages.page(work.transaction, *key)
        if page is None:
            return 0
        await self.draw.step(work, page, limit=limit)
        return 1

    async def _due(
        self, work: Work, named: Sequence[UUID], *, passing_over: Sequence[UUID]
    ) -> list[Key]:
        return await self.ended.due(
            work.transaction,
            named,
            now=work.now,
            limit=PER_WORKSPACE,
            max_records=MAX_RECORDS,
            passing_over=passing_over,
        )

    async def _retire(self, work: Work, keys: Sequence[Key]) -> int:
        """Every compacted topic that tells of these passes gets a tombstone for each record."""
        # Under lock, so that nothing is told of them between here and their tombstones.
        await self.store.lock(work.transaction, keys)
        links = await self.ended.forget(work.transaction, keys, now=work.now)
        for workspace_id, pass_id in keys:
            work.transaction.emit_tombstone(PASS_RENDERED, str(pass_id), workspace_id)
        for workspace_id, link_id in links:
            work.transaction.emit_tombstone(LINK_CHANGED, str(link_id), workspace_id)
        return len(keys)

    async def _forget(self, work: Work, keys: Sequence[Key]) -> int:
        named = [workspace_id for workspace_id, _ in keys]
        old = await self.claims.take_old(
            work.transaction, named, before=work.now - CLAIMS_KEPT, limit=PER_WORKSPACE
        )
        for workspace_id, link_id in old:
            work.transaction.emit_tombstone(LINK_CHANGED, str(link_id), workspace_id)
        messages = await self.messages.forget_issued(
            work.transaction, named, before=work.now - MESSAGES_KEPT, limit=PER_WORKSPACE
        )
        answers = await self.answers.forget_old(
            work.transaction, named, now=work.now, limit=PER_WORKSPACE
        )
        erased = await self.erased_names.forget_old(
            work.transaction,
            named,
            before=work.now - self.erasures_remembered,
            limit=PER_WORKSPACE,
        )
        return len(old) + messages + answers + erased


async def _all_of(work: Work, named: Sequence[UUID], *, passing_over: Sequence[UUID]) -> list[Key]:
    """What is forgotten has no keys: a workspace stands for all that is old in it."""
    return [(each, each) for each in named if each not in passing_over]
