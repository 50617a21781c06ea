"""What happens without anybody ordering it: passes expire, ended ones are taken back, what was put
off is done, and what need not be remembered is forgotten."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from passferry_contracts.registry import LINK_CHANGED, PASS_RENDERED
from passferry_contracts.types import PassStatus
from passferry_pass_issuer.application.administer_workspaces import Workspaces
from passferry_pass_issuer.application.draw_holder_passes import DrawHolderPasses
from passferry_pass_issuer.application.life_ports import (
    Claims,
    EndedPasses,
    Messages,
    PassesOfHolders,
    PassKey,
    RememberedAnswers,
)
from passferry_pass_issuer.application.ports import PassChange, RevisionWriter, Transactions
from passferry_pass_issuer.application.render_revisions import RevisionStore, tell_status
from passferry_pass_issuer.application.work import Work, Workbench
from passferry_pass_issuer.domain.status_changes import TIME_IS_OVER, may_become
from passferry_pass_issuer.domain.wallet_pass import WalletPass
from passferry_pass_issuer.metrics import TIME_DUTIES, TIME_DUTY_FAILURES
from passferry_runtime.ids import uuid7
from passferry_runtime.logging import get_logger

log = get_logger(__name__)

ACTOR = "issuer:scheduler"
PAGE_WORKSPACES = 200
MAX_WORKSPACES = 20_000
#: Of each workspace in one transaction: a large one does not keep the others waiting.
PER_WORKSPACE = 50
#: Of all of them: they are drawn and signed together.
BATCH = 256
#: Tombstones of one transaction, which has room for more.
MAX_RECORDS = 5_000
#: Looks at one page of workspaces in one round; the next round goes on.
MAX_LOOKS = 100
CLAIMS_KEPT = timedelta(days=7)
MESSAGES_KEPT = timedelta(days=30)

#: Does some of what is due in these workspaces; how much was done, and whether more may be due.
Duty = Callable[[Work, Sequence[UUID]], Awaitable[tuple[int, bool]]]


@dataclass(frozen=True, kw_only=True)
class KeepTime:
    """`__call__` is one round; one replica at a time does them."""

    workbench: Workbench
    workspaces: Workspaces
    transactions: Transactions
    store: RevisionStore
    revisions: RevisionWriter
    ended: EndedPasses
    holder_pages: PassesOfHolders
    draw: DrawHolderPasses
    claims: Claims
    messages: Messages
    answers: RememberedAnswers

    async def __call__(self) -> None:
        duties: dict[str, Duty] = {
            "expire": self._expire,
            "holder_pages": self._holder_pages,
            "retire": self._retire,
            "forget": self._forget,
        }
        async for named in self._pages():
            for name, duty in duties.items():
                await self._do(name, duty, named)

    async def _do(self, name: str, duty: Duty, named: Sequence[UUID]) -> None:
        """One duty that fails keeps no other from being done, nor what a workspace cannot do
        the others."""
        try:
            for _ in range(MAX_LOOKS):
                async with self.workbench.open(named, actor=ACTOR) as work:
                    done, has_more = await duty(work, named)
                TIME_DUTIES.labels(duty=name).inc(done)
                if not has_more:
                    return
        except Exception as error:
            if len(named) > 1:
                for each in named:
                    await self._do(name, duty, [each])
                return
            TIME_DUTY_FAILURES.labels(duty=name).inc()
            log.warning(
                "time_duty_failed",
                duty=name,
                workspace_id=str(named[0]),
                error=type(error).__name__,
            )

    async def _pages(self) -> AsyncIterator[list[UUID]]:
        after: UUID | None = None
        for _ in range(MAX_WORKSPACES // PAGE_WORKSPACES):
            async with self.transactions.transaction([]) as transaction:
                ids = await self.workspaces.ids(transaction, after=after, limit=PAGE_WORKSPACES)
            if not ids:
                return
            yield ids
            after = ids[-1]

    async def _expire(self, work: Work, named: Sequence[UUID]) -> tuple[int, bool]:
        keys = await self.ended.expired(work.transaction, named, now=work.now, limit=PER_WORKSPACE)
        if not keys:
            return 0, False
        locked = await self.store.lock(work.transaction, keys[:BATCH])
        # Between the look and the lock one may have got more time, a follower, or another end.
        moving = await self.ended.moving(work.transaction, locked)
        over = [row for key, row in locked.items() if _is_over(row, work) and key not in moving]
        changes = [_expiry(work, row) for row in over]
        stored = await self.revisions.store_showable(work.transaction, changes)
        undrawn = [
            replace(change.after, updated_at=work.now)
            for change, row in zip(changes, stored, strict=True)
            if not isinstance(row, WalletPass)
        ]
        # What cannot be shown ends all the same; a wallet knows the date by itself.
        await self.ended.end_undrawn(work.transaction, undrawn)
        for change, row in zip(changes, stored, strict=True):
            ended = row if isinstance(row, WalletPass) else change.after
            event_id = change.causes[0]["event_id"]
            tell_status(
                work.transaction, change.before, ended, changed_at=work.now, event_id=event_id
            )
            await _audit_expiry(work, change.before, ended)
        return len(changes), _has_more(keys)

    async def _holder_pages(self, work: Work, named: Sequence[UUID]) -> tuple[int, bool]:
        pages = await self.holder_pages.waiting(work.transaction, named, limit=1)
        for page in pages:
            await self.draw.step(work, page)
        return len(pages), bool(pages)

    async def _retire(self, work: Work, named: Sequence[UUID]) -> tuple[int, bool]:
        """Every compacted topic that tells of these passes gets a tombstone for each record."""
        keys = await self.ended.due(
            work.transaction,
            named,
            now=work.now,
            limit=PER_WORKSPACE,
            max_records=MAX_RECORDS,
        )
        if not keys:
            return 0, False
        keys = keys[:BATCH]
        # Under lock, so that nothing is told of them between here and their tombstones.
        await self.store.lock(work.transaction, keys)
        links = await self.ended.forget(work.transaction, keys, now=work.now)
        for workspace_id, pass_id in keys:
            work.transaction.emit_tombstone(PASS_RENDERED, str(pass_id), workspace_id)
        for workspace_id, link_id in links:
            work.transaction.emit_tombstone(LINK_CHANGED, str(link_id), workspace_id)
        # So many at most were taken, so there may be more.
        return len(keys), True

    async def _forget(self, work: Work, named: Sequence[UUID]) -> tuple[int, bool]:
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
        forgotten = len(old), messages, answers
        return sum(forgotten), max(forgotten) >= PER_WORKSPACE


def _is_over(row: WalletPass, work: Work) -> bool:
    is_late = row.expires_at is not None and row.expires_at <= work.now
    return is_late and row.is_usable and may_become(row.status, PassStatus.EXPIRED)


def _expiry(work: Work, row: WalletPass) -> PassChange:
    after = replace(row, status=PassStatus.EXPIRED, status_reason=TIME_IS_OVER)
    cause = {"event_type": "pass.expired", "event_id": str(uuid7()), "reason": TIME_IS_OVER}
    return PassChange(before=row, after=after, causes=(cause,), caused_at=work.now)


async def _audit_expiry(work: Work, before: WalletPass, after: WalletPass) -> None:
    await work.audit(
        before.workspace_id,
        "pass.expired",
        before.pass_id,
        before={"status": before.status.value, "revision": before.revision},
        after={"status": after.status.value, "revision": after.revision, "reason": TIME_IS_OVER},
    )


def _has_more(found: Sequence[PassKey]) -> bool:
    return len(found) >= PER_WORKSPACE
