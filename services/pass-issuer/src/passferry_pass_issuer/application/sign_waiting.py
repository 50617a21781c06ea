"""Signs what waited for an identity."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from passferry_pass_issuer.application.life_ports import NO_PASS
from passferry_pass_issuer.application.ports import PassChange, Transactions
from passferry_pass_issuer.application.render_revisions import RenderRevisions, RevisionStore
from passferry_pass_issuer.domain.wallet_pass import WalletPass
from passferry_runtime.clock import Clock

SIGNING_PAGE = 128


@dataclass(frozen=True, kw_only=True)
class SignWaiting:
    """Page by page."""

    transactions: Transactions
    store: RevisionStore
    revisions: RenderRevisions
    clock: Clock

    async def __call__(self, workspace_id: UUID, pass_type_identifier: str) -> int:
        """How many passes were signed."""
        signed, after = 0, NO_PASS
        while True:
            async with self.transactions.transaction([workspace_id]) as transaction:
                page = await self.store.unsigned(
                    transaction,
                    workspace_id,
                    pass_type_identifier,
                    after=after,
                    limit=SIGNING_PAGE,
                )
                locked = await self.store.lock(
                    transaction, [(workspace_id, pass_id) for pass_id in page]
                )
                changes = [
                    PassChange(before=row, after=row, causes=row.causes, caused_at=row.caused_at)
                    for row in locked.values()
                ]
                stored = await self.revisions.store_showable(transaction, changes)
                material = await self.revisions.credentials.signing_material(
                    transaction, workspace_id, pass_type_identifier
                )
            signed_now = sum(
                isinstance(row, WalletPass) and row.signed_revision == row.revision
                for row in stored
            )
            signed += signed_now
            # Others than these may be what the identity can sign.
            is_gone = material is None or material.not_after <= self.clock.now()
            if len(page) < SIGNING_PAGE or is_gone:
                return signed
            after = page[-1]
