"""Passes end by the clock: because their time is over, or because their template's rules say so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from passferry_contracts.types import PassStatus
from passferry_pass_issuer.application.do_duties import Key
from passferry_pass_issuer.application.life_ports import EndedPasses
from passferry_pass_issuer.application.ports import PassChange, RevisionWriter
from passferry_pass_issuer.application.render_revisions import RevisionStore, tell_status
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.end_rules import ended_by_rule
from passferry_pass_issuer.domain.status_changes import TIME_IS_OVER, may_become
from passferry_pass_issuer.domain.wallet_pass import WalletPass, changed
from passferry_runtime.ids import uuid7

#: Of each workspace in one look: a large one does not keep the others waiting.
PER_WORKSPACE = 50

#: The pass after its end, or None when nothing is due.
EndOf = Callable[[Work, WalletPass], WalletPass | None]


@dataclass(frozen=True, kw_only=True)
class EndDuePasses:
    store: RevisionStore
    revisions: RevisionWriter
    ended: EndedPasses

    async def expired(
        self, work: Work, named: Sequence[UUID], *, passing_over: Sequence[UUID]
    ) -> list[Key]:
        return await self.ended.expired(
            work.transaction, named, now=work.now, limit=PER_WORKSPACE, passing_over=passing_over
        )

    async def expire(self, work: Work, keys: Sequence[Key]) -> int:
        return await self._end(work, keys, _expired)

    async def ruled(
        self, work: Work, named: Sequence[UUID], *, passing_over: Sequence[UUID]
    ) -> list[Key]:
        return await self.ended.ended_by_rules(
            work.transaction, named, now=work.now, limit=PER_WORKSPACE, passing_over=passing_over
        )

    async def end_by_rules(self, work: Work, keys: Sequence[Key]) -> int:
        return await self._end(work, keys, _ruled)

    async def _end(self, work: Work, keys: Sequence[Key], end_of: EndOf) -> int:
        locked = await self.store.lock(work.transaction, keys)
        # Between the look and the lock one may have got more time, a follower, or another end.
        moving = await self.ended.moving(work.transaction, locked)
        changes = [
            _change(work, row, after)
            for key, row in locked.items()
            if key not in moving and (after := end_of(work, row)) is not None
        ]
        stored = await self.revisions.store_showable(work.transaction, changes)
        undrawn = [
            changed(change.after, updated_at=work.now)
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
            await _audit(work, change.before, ended)
        return len(changes)


def _expired(work: Work, row: WalletPass) -> WalletPass | None:
    is_late = row.expires_at is not None and row.expires_at <= work.now
    if not (is_late and row.is_usable and may_become(row.status, PassStatus.EXPIRED)):
        return None
    return changed(row, status=PassStatus.EXPIRED, status_reason=TIME_IS_OVER)


def _ruled(work: Work, row: WalletPass) -> WalletPass | None:
    is_over = row.ends_at is not None and row.ends_at <= work.now
    return ended_by_rule(row) if is_over and row.is_usable else None


def _change(work: Work, before: WalletPass, after: WalletPass) -> PassChange:
    cause = {
        "event_type": f"pass.{after.status}",
        "event_id": str(uuid7()),
        "reason": after.status_reason,
    }
    return PassChange(before=before, after=after, causes=(cause,), caused_at=work.now)


async def _audit(work: Work, before: WalletPass, after: WalletPass) -> None:
    await work.audit(
        before.workspace_id,
        f"pass.{after.status}",
        before.pass_id,
        before={"status": before.status.value, "revision": before.revision},
        after={
            "status": after.status.value,
            "revision": after.revision,
            "reason": after.status_reason,
        },
    )
