"""Changes of issued passes through the API: fields, voiding, expiry, deletion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from passferry_contracts.registry import LINK_CHANGED, PASS_UPDATED
from passferry_contracts.types import PassStatus
from passferry_pass_issuer.application.life_ports import EndedPasses
from passferry_pass_issuer.application.pass_events import (
    link_changed,
    pass_status_changed,
    pass_updated,
)
from passferry_pass_issuer.application.ports import (
    PassChange,
    Passes,
    RevisionWriter,
)
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.issuing import check_field_values
from passferry_pass_issuer.domain.status_changes import REQUESTED, may_become
from passferry_pass_issuer.domain.wallet_pass import WalletPass, changed
from passferry_runtime.errors import Conflict, NotFound
from passferry_runtime.ids import uuid7

_EVENT_TYPES = {
    PassStatus.VOIDED: "pass.voided",
    PassStatus.EXPIRED: "pass.expired",
    PassStatus.DELETED: "pass.deleted",
}


async def _locked(passes: Passes, work: Work, workspace_id: UUID, reference: str) -> WalletPass:
    found = await passes.find(work.transaction, workspace_id, reference, for_update=True)
    if found is None:
        raise NotFound("pass_not_found", "there is no such pass")
    return found


def _change(work: Work, before: WalletPass, after: WalletPass, event_type: str) -> PassChange:
    cause = {
        "event_type": event_type,
        "event_id": str(uuid7()),
        "reason": after.status_reason if after.status is not before.status else None,
    }
    return PassChange(before=before, after=after, causes=(cause,), caused_at=work.now)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldsChange:
    """Given values take the place of the old ones; null removes one. `expires_at` is changed
    only when `sets_expiry`."""

    field_values: Mapping[str, object]
    sets_expiry: bool = False
    expires_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class ChangeFields:
    passes: Passes
    revisions: RevisionWriter

    async def __call__(
        self, work: Work, workspace_id: UUID, reference: str, change: FieldsChange
    ) -> WalletPass:
        before = await _locked(self.passes, work, workspace_id, reference)
        if not before.is_usable:
            raise Conflict(f"pass_{before.status}", "a pass that ended does not change any more")
        given = check_field_values(change.field_values)
        merged = {
            name: value
            for name, value in {**before.field_values, **given}.items()
            if value is not None
        }
        after = changed(
            before,
            field_values=check_field_values(merged),
            expires_at=change.expires_at if change.sets_expiry else before.expires_at,
        )
        names = {name for name in given if before.field_values.get(name) != merged.get(name)}
        if after.expires_at != before.expires_at:
            names.add("expires_at")
        if not names:
            return before
        asked = _change(work, before, after, "pass.updated")
        [stored] = await self.revisions.store_changed(work.transaction, [asked])
        work.transaction.emit(
            PASS_UPDATED,
            pass_updated(stored, changed_fields=sorted(names), changed_at=work.now),
            event_id=asked.causes[0]["event_id"],
        )
        await work.audit(
            workspace_id,
            "pass.updated",
            before.pass_id,
            before={"revision": before.revision},
            after={"revision": stored.revision, "changed_fields": sorted(names)},
        )
        return stored


@dataclass(frozen=True, kw_only=True)
class EndPass:
    """Voids, expires or deletes a pass; doing so twice is doing so once.

    A deleted pass shows that it is void; its records follow when phones had time to fetch that.
    """

    passes: Passes
    revisions: RevisionWriter
    ended: EndedPasses
    forget_after: timedelta

    async def __call__(
        self,
        work: Work,
        workspace_id: UUID,
        reference: str,
        status: PassStatus,
        *,
        reason: str = REQUESTED,
    ) -> WalletPass:
        before = await _locked(self.passes, work, workspace_id, reference)
        if before.status is status:
            return before
        if not may_become(before.status, status):
            raise Conflict(f"pass_{before.status}", f"a {before.status} pass cannot be {status}")
        key = workspace_id, before.pass_id
        if await self.ended.moving(work.transaction, [key]):
            # The ledger would refuse to move what a closed account holds, and it would be lost.
            raise Conflict("reissue_moving", "its balance is being moved; try again shortly")
        after = changed(before, status=status, status_reason=reason)
        asked = _change(work, before, after, _EVENT_TYPES[status])
        [drawn] = await self.revisions.store_showable(work.transaction, [asked])
        is_drawn = isinstance(drawn, WalletPass)
        stored = drawn if isinstance(drawn, WalletPass) else changed(after, updated_at=work.now)
        if not is_drawn:
            # What cannot be shown ends all the same: it may be in a thief's hands.
            await self.ended.end_undrawn(work.transaction, [stored])
        work.transaction.emit(
            PASS_UPDATED,
            pass_status_changed(stored, changed_at=work.now),
            event_id=asked.causes[0]["event_id"],
        )
        if status is PassStatus.DELETED:
            await self._revoke_link(work, stored)
            # Nobody has to fetch a last revision that there is not.
            wait = self.forget_after if is_drawn else timedelta()
            await self.ended.retire(work.transaction, [key], due_at=work.now + wait)
        await work.audit(
            workspace_id,
            _EVENT_TYPES[status],
            before.pass_id,
            before={"status": before.status.value, "revision": before.revision},
            after={"status": status.value, "revision": stored.revision, "reason": reason},
        )
        return stored

    async def _revoke_link(self, work: Work, wallet_pass: WalletPass) -> None:
        links = await self.passes.revoke_links(
            work.transaction, wallet_pass.workspace_id, wallet_pass.pass_id
        )
        for link in links:
            told = link_changed(wallet_pass, link, is_revoked=True, changed_at=work.now)
            work.transaction.emit(LINK_CHANGED, told)
