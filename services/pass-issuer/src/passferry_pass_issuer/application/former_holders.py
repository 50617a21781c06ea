"""What a pass says of people who had it before: known from when it changed hands, gone with them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from passferry_contracts.registry import PASS_UPDATED
from passferry_pass_issuer.application.do_duties import Key
from passferry_pass_issuer.application.life_ports import HolderRecords
from passferry_pass_issuer.application.pass_events import pass_updated
from passferry_pass_issuer.application.ports import (
    Catalogue,
    Holders,
    PassChange,
    RevisionWriter,
    Transaction,
)
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.erased_names import ERASED_CODE
from passferry_pass_issuer.domain.former_values import fields_about
from passferry_pass_issuer.domain.refusals import Unreadable
from passferry_pass_issuer.domain.status_changes import ERASED
from passferry_pass_issuer.domain.value_expression import Scalar
from passferry_pass_issuer.domain.wallet_pass import WalletPass, changed
from passferry_runtime.errors import Conflict
from passferry_runtime.ids import uuid7
from passferry_runtime.logging import get_logger

log = get_logger(__name__)

#: Of each workspace in one look.
LATE_PER_WORKSPACE = 50


class FormerHolders(Protocol):
    """Passes that people had before, or that were made of theirs. What such a pass says of them
    is kept as keyed hashes."""

    async def keep(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        holder_id: UUID,
        pass_id: UUID,
        *,
        own_values: Mapping[str, Scalar],
        now: datetime,
    ) -> None: ...

    async def copy(
        self, transaction: Transaction, workspace_id: UUID, old_pass_id: UUID, new_pass_id: UUID
    ) -> None:
        """The new pass has the values of the old one."""

    async def still_said(
        self, transaction: Transaction, holder_id: UUID, passes: Sequence[WalletPass]
    ) -> dict[UUID, frozenset[str]]:
        """By pass id: fields that say what they said of the holder when it changed hands."""

    async def put_off(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        holder_id: UUID,
        pass_ids: Collection[UUID],
        *,
        now: datetime,
    ) -> None:
        """The holder was erased, and these passes still say what they said."""

    async def waiting(
        self,
        transaction: Transaction,
        workspace_ids: Collection[UUID],
        *,
        now: datetime,
        limit: int,
        passing_over: Sequence[UUID],
    ) -> list[tuple[UUID, UUID]]:
        """(workspace_id, pass_id) of those put off, at most `limit` of each workspace: those that
        nobody looked at for the longest. That this is a look is kept."""

    async def wait_for(
        self, transaction: Transaction, workspace_id: UUID, pass_id: UUID
    ) -> list[UUID]:
        """The erased people for whom the pass was put off."""

    async def forget(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        holder_id: UUID,
        pass_ids: Collection[UUID],
    ) -> None: ...


async def check_holder_stays(work: Work, holders: HolderRecords, row: WalletPass) -> None:
    """The upkeep may be on its way to a pass whose holder was erased: nobody takes it over."""
    holder = await holders.stub(work.transaction, row.workspace_id, str(row.holder_id))
    if holder is not None and holder.erased_at is not None:
        raise Conflict(ERASED_CODE, "its holder was erased, and it ends with them: issue another")


@dataclass(frozen=True, kw_only=True)
class KeepFormerHolder:
    former: FormerHolders
    holders: Holders
    catalogue: Catalogue

    async def __call__(
        self, work: Work, old: WalletPass, new: WalletPass, *, given: Collection[str]
    ) -> None:
        """`new` is the same pass or its follower, stored already and of another holder; `given`
        are the fields that were said anew for it."""
        key = old.workspace_id, old.holder_id
        # Whose data does not open is known by nothing.
        facts = (await self.holders.facts(work.transaction, [key])).get(key)
        version = new.workspace_id, new.template_id, new.template_version
        template = (await self.catalogue.templates(work.transaction, [version]))[version]
        # Without its code a pass is none: that stays, whatever it is made of.
        kept = {*given, *template.content.code_field_names()}
        carried = {name: said for name, said in new.field_values.items() if name not in kept}
        about = fields_about(facts, carried) if facts is not None else frozenset()
        await self.former.keep(
            work.transaction,
            *key,
            new.pass_id,
            own_values={name: carried[name] for name in about},
            now=work.now,
        )


@dataclass(frozen=True, kw_only=True)
class LeaveFormerPasses:
    """The passes go on as somebody else's, and say nothing more of the person who was erased."""

    former: FormerHolders
    revisions: RevisionWriter

    async def __call__(
        self, work: Work, workspace_id: UUID, holder_id: UUID, passes: Sequence[WalletPass]
    ) -> dict[UUID, Unreadable]:
        """`passes` that they have or had; what they have is erased elsewhere. One that does not open
        is put off."""
        late = await self._leave(
            work, holder_id, [row for row in passes if row.holder_id != holder_id]
        )
        if late:
            await self.former.put_off(
                work.transaction, workspace_id, holder_id, sorted(late), now=work.now
            )
        ids = [row.pass_id for row in passes if row.pass_id not in late]
        await self.former.forget(work.transaction, workspace_id, holder_id, ids)
        return late

    async def _leave(
        self, work: Work, holder_id: UUID, rows: Sequence[WalletPass]
    ) -> dict[UUID, Unreadable]:
        if not rows:
            return {}
        said = await self.former.still_said(work.transaction, holder_id, rows)
        cleared = [row for row in rows if said.get(row.pass_id) and row.forgotten_at is None]
        event_ids = {row.pass_id: str(uuid7()) for row in rows}
        changes = [
            PassChange(
                before=row,
                after=changed(row, field_values=_without(row, said[row.pass_id])),
                causes=(
                    {
                        "event_type": "pass.updated",
                        "event_id": event_ids[row.pass_id],
                        "reason": ERASED,
                    },
                ),
                caused_at=work.now,
            )
            for row in cleared
        ]
        stored = await self.revisions.store_showable(work.transaction, changes)
        after = {row.pass_id: row for row in stored if isinstance(row, WalletPass)}
        late = {
            change.before.pass_id: refusal
            for change, refusal in zip(changes, stored, strict=True)
            if isinstance(refusal, Unreadable)
        }
        for row in rows:
            if row.pass_id in late:
                continue
            fields = said.get(row.pass_id, frozenset()) if row.pass_id in after else frozenset()
            if row in cleared and row.pass_id not in after:
                # It would show nothing to anybody then; a person has to look at it.
                log.warning(
                    "former_holder_still_shown",
                    workspace_id=str(row.workspace_id),
                    pass_id=str(row.pass_id),
                )
            told = pass_updated(
                after.get(row.pass_id, row),
                changed_fields=sorted(fields),
                changed_at=work.now,
                erased_holder_id=holder_id,
            )
            work.transaction.emit(PASS_UPDATED, told, event_id=event_ids[row.pass_id])
            await work.audit(
                row.workspace_id,
                "pass.former_holder_erased",
                row.pass_id,
                after={"changed_fields": sorted(fields)},
            )
        return late


class LockedPasses(Protocol):
    async def lock(
        self, transaction: Transaction, keys: Collection[Key]
    ) -> dict[Key, WalletPass]: ...


@dataclass(frozen=True, kw_only=True)
class LeaveLatePasses:
    """A duty of the upkeep: passes that did not open when somebody who had them was erased."""

    former: FormerHolders
    leave: LeaveFormerPasses
    locked: LockedPasses

    async def waiting(
        self, work: Work, named: Sequence[UUID], *, passing_over: Sequence[UUID]
    ) -> list[Key]:
        return await self.former.waiting(
            work.transaction,
            named,
            now=work.now,
            limit=LATE_PER_WORKSPACE,
            passing_over=passing_over,
        )

    async def __call__(self, work: Work, keys: Sequence[Key]) -> int:
        """Raises `Unreadable` while one does not open: the upkeep shows it and tries again."""
        for workspace_id, pass_id in keys:
            for holder_id in await self.former.wait_for(work.transaction, workspace_id, pass_id):
                rows = await self.locked.lock(work.transaction, [(workspace_id, pass_id)])
                late = await self.leave(work, workspace_id, holder_id, list(rows.values()))
                for refusal in late.values():
                    raise refusal
        return len(keys)


def _without(row: WalletPass, names: Collection[str]) -> dict[str, Scalar]:
    return {name: said for name, said in row.field_values.items() if name not in names}
