"""What a lost card was used counts on the card in its place, however late it is heard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from passferry_pass_issuer.application.do_duties import Key
from passferry_pass_issuer.application.life_ports import Replacement, Replacements
from passferry_pass_issuer.application.ports import PassChange, Passes, RevisionWriter
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.status_changes import REPLACED
from passferry_pass_issuer.domain.wallet_pass import WalletPass, changed
from passferry_runtime.ids import uuid7

#: No redemption is heard later: topics keep seven days.
HEARD_WITHIN = timedelta(days=8)
#: Of each workspace in one look.
PER_WORKSPACE = 50


@dataclass(frozen=True, kw_only=True)
class CarryUses:
    """Redemptions and the ledger's answer to a transfer have no order between them: the upkeep
    brings over what the old card was used beyond what the new one was given."""

    passes: Passes
    replacements: Replacements
    revisions: RevisionWriter

    async def waiting(
        self, work: Work, named: Sequence[UUID], *, passing_over: Sequence[UUID]
    ) -> list[Key]:
        return await self.replacements.used_since(
            work.transaction,
            named,
            settled_after=work.now - HEARD_WITHIN,
            limit=PER_WORKSPACE,
            passing_over=passing_over,
        )

    async def __call__(self, work: Work, keys: Sequence[Key]) -> int:
        """Raises `ContentRejected` where the new card cannot be drawn: the upkeep tries again."""
        for workspace_id, pass_id in keys:
            # In the order of who reissues: the pass, then what is known of its replacement.
            old = await self._locked(work, workspace_id, pass_id)
            known = await self.replacements.of(work.transaction, workspace_id, pass_id)
            if old is not None and known is not None and old.uses > known.carried_uses:
                await self._carry(work, old, known)
        return len(keys)

    async def _carry(self, work: Work, old: WalletPass, known: Replacement) -> None:
        new = await self._locked(work, known.workspace_id, known.new_pass_id)
        carried = replace(known, carried_uses=old.uses)
        await self.replacements.save(work.transaction, carried)
        if new is None:
            return
        used_at = [at for at in (old.last_used_at, new.last_used_at) if at is not None]
        # One that was lost itself hands them on to the next.
        after = changed(
            new,
            uses=new.uses + old.uses - known.carried_uses,
            last_used_at=max(used_at, default=None),
        )
        cause = {"event_type": "pass.redeemed", "event_id": str(uuid7()), "reason": REPLACED}
        change = PassChange(before=new, after=after, causes=(cause,), caused_at=work.now)
        [stored] = await self.revisions.store_showable(work.transaction, [change])
        if isinstance(stored, ContentRejected):
            raise stored

    async def _locked(self, work: Work, workspace_id: UUID, pass_id: UUID) -> WalletPass | None:
        return await self.passes.find(work.transaction, workspace_id, str(pass_id), for_update=True)
