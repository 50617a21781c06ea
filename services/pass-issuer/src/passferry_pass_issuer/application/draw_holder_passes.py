"""What happened to a person shows on their passes: drawn again, or erased, page by page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from passferry_contracts.registry import LINK_CHANGED, PASS_UPDATED
from passferry_contracts.types import PassStatus
from passferry_pass_issuer.application.erased_people import ErasedNames
from passferry_pass_issuer.application.former_holders import LeaveFormerPasses
from passferry_pass_issuer.application.life_ports import (
    NO_PASS,
    EndedPasses,
    HolderPage,
    PassesOfHolders,
    PassKey,
    RememberedAnswers,
)
from passferry_pass_issuer.application.pass_events import (
    link_changed,
    pass_erased,
    pass_updated,
)
from passferry_pass_issuer.application.ports import PassChange, RevisionWriter
from passferry_pass_issuer.application.render_revisions import RevisionStore
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.erased_names import pass_names
from passferry_pass_issuer.domain.status_changes import ERASED
from passferry_pass_issuer.domain.wallet_pass import WalletPass, changed
from passferry_runtime.ids import uuid7

PAGE_PASSES = 100
#: Of the passes that one transaction erases: each is an event, and a transaction has room for more.
MAX_LINKS = 5_000
#: The ledger answers within a second, or an hour when records are parked; later it does not.
MOVES_WITHIN = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class DrawHolderPasses:
    """The first page is done with the change itself; what is left, by the upkeep.

    The page is locked before any pass, by everybody, so that nobody waits in a circle.
    """

    passes: PassesOfHolders
    ended: EndedPasses
    answers: RememberedAnswers
    erased_names: ErasedNames
    leave: LeaveFormerPasses
    store: RevisionStore
    revisions: RevisionWriter
    #: How long phones have to fetch the last revision.
    forget_after: timedelta

    async def start(
        self, work: Work, workspace_id: UUID, holder_id: UUID, *, is_erasure: bool
    ) -> None:
        page = HolderPage(
            workspace_id=workspace_id, holder_id=holder_id, after=NO_PASS, is_erasure=is_erasure
        )
        await self.passes.put_off(work.transaction, page, now=work.now)
        await self.step(work, page)

    async def step(self, work: Work, page: HolderPage, *, limit: int | None = None) -> None:
        """One page, of at most `limit` passes. What is held up comes last, behind all the others."""
        limit = PAGE_PASSES if limit is None else limit
        ids = await self.passes.ids(
            work.transaction,
            page.workspace_id,
            page.holder_id,
            after=page.after,
            limit=limit,
            is_erasure=page.is_erasure,
        )
        found = [(page.workspace_id, pass_id) for pass_id in ids]
        keys = found
        if page.is_erasure and found:
            keys = _within_links(found, await self.ended.count_links(work.transaction, found))
        rows = list((await self.store.lock(work.transaction, keys)).values()) if keys else []
        held = set[UUID]()
        if page.is_erasure:
            held = await self._leaving(work, page)
            rows = [row for row in rows if row.pass_id not in held]
            # One that changed hands, also meanwhile, is not theirs to be deleted.
            mine = [row for row in rows if row.holder_id == page.holder_id]
            await self._remember(work, page, mine)
            await self._erase(work, mine)
            await self.leave(work, page.workspace_id, page.holder_id, rows)
            await self.answers.forget_subjects(
                work.transaction, page.workspace_id, [row.pass_id for row in rows]
            )
        else:
            await self._draw(work, rows)
        is_last = len(keys) == len(found) < limit
        if not is_last:
            rest = replace(page, after=keys[-1][1], held_up=0)
            await self.passes.put_off(work.transaction, rest, now=work.now)
        elif held:
            # From there once more: what is erased by now is not found again.
            before = UUID(int=min(held).int - 1)
            rest = replace(page, after=before, held_up=len(held))
            await self.passes.put_off(work.transaction, rest, now=work.now)
        else:
            await self.passes.finish(work.transaction, page)

    async def is_all_erased(self, work: Work, workspace_id: UUID, holder_id: UUID) -> bool:
        return await self.passes.is_all_erased(work.transaction, workspace_id, holder_id)

    async def waiting(
        self, work: Work, named: Sequence[UUID], *, passing_over: Sequence[UUID]
    ) -> list[tuple[UUID, UUID]]:
        """(workspace_id, holder_id) of the oldest page of each workspace that can go on now."""
        return await self.passes.waiting(
            work.transaction,
            named,
            moves_since=work.now - MOVES_WITHIN,
            limit=1,
            passing_over=passing_over,
        )

    async def _leaving(self, work: Work, page: HolderPage) -> set[UUID]:
        """What their passes hold is on its way to somebody else, who would never get it from an
        account that is closed."""
        return await self.passes.leaving(
            work.transaction,
            page.workspace_id,
            page.holder_id,
            moves_since=work.now - MOVES_WITHIN,
        )

    async def _draw(self, work: Work, rows: Sequence[WalletPass]) -> None:
        changes = [_change(work, row, row, "pass.updated", "holder") for row in rows]
        stored = await self.revisions.store_showable(work.transaction, changes)
        for change, row in zip(changes, stored, strict=True):
            # A pass that does not show what changed, or cannot, stays as it is.
            if isinstance(row, WalletPass) and row.revision > change.before.revision:
                work.transaction.emit(
                    PASS_UPDATED,
                    pass_updated(row, changed_fields=["holder"], changed_at=work.now),
                    event_id=change.causes[0]["event_id"],
                )

    async def _remember(self, work: Work, page: HolderPage, rows: Sequence[WalletPass]) -> None:
        names = [
            name
            for row in rows
            for name in pass_names(
                program_id=row.program_id, external_id=row.external_id, code=row.code
            )
        ]
        await self.erased_names.remember(work.transaction, page.workspace_id, page.holder_id, names)

    async def _erase(self, work: Work, rows: Sequence[WalletPass]) -> None:
        if not rows:
            return
        changes = [_change(work, row, _nameless(row), "pass.erased", ERASED) for row in rows]
        stored = await self.revisions.store_showable(work.transaction, changes)
        erased, at_once = list[WalletPass](), list[WalletPass]()
        for change, row in zip(changes, stored, strict=True):
            if isinstance(row, WalletPass) and change.before.forgotten_at is None:
                erased.append(row)
            else:
                # Nothing to show to anybody, or nothing that could be shown without the person.
                at_once.append(changed(change.after, revision=change.before.revision))
        await self.ended.erase(work.transaction, [*erased, *at_once])
        event_ids = {each.before.pass_id: each.causes[0]["event_id"] for each in changes}
        for row in [*erased, *at_once]:
            told = pass_erased(row, changed_at=work.now)
            work.transaction.emit(PASS_UPDATED, told, event_id=event_ids[row.pass_id])
        await self._revoke_links(work, [*erased, *at_once])
        await self.ended.retire(
            work.transaction, _keys(erased), due_at=work.now + self.forget_after
        )
        await self.ended.retire(work.transaction, _keys(at_once), due_at=work.now)

    async def _revoke_links(self, work: Work, rows: Sequence[WalletPass]) -> None:
        by_id = {row.pass_id: row for row in rows}
        for link in await self.ended.revoke_links(work.transaction, _keys(rows)):
            told = link_changed(by_id[link.pass_id], link, is_revoked=True, changed_at=work.now)
            work.transaction.emit(LINK_CHANGED, told)


def _within_links(keys: Sequence[PassKey], links: Mapping[PassKey, int]) -> list[PassKey]:
    """As many of the first as have `MAX_LINKS` links together; at least one."""
    taken, count = list[PassKey](), 0
    for key in keys:
        count += links.get(key, 0)
        if taken and count > MAX_LINKS:
            break
        taken.append(key)
    return taken


def _nameless(row: WalletPass) -> WalletPass:
    """The pass without the person. The caller's own id of it and its code may name one too."""
    return changed(
        row,
        status=PassStatus.DELETED,
        status_reason=ERASED,
        external_id=str(row.pass_id),
        code=f"erased-{row.pass_id.hex}",
        field_values={},
        latest_message=None,
    )


def _change(
    work: Work, before: WalletPass, after: WalletPass, event_type: str, reason: str
) -> PassChange:
    cause = {"event_type": event_type, "event_id": str(uuid7()), "reason": reason}
    return PassChange(before=before, after=after, causes=(cause,), caused_at=work.now)


def _keys(rows: Sequence[WalletPass]) -> list[tuple[UUID, UUID]]:
    return [(row.workspace_id, row.pass_id) for row in rows]
