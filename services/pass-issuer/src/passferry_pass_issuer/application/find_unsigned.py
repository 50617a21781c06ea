"""Finds passes that wait for a signature that can be made now."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from passferry_pass_issuer.application.administer_workspaces import Workspaces
from passferry_pass_issuer.application.credential_ports import CredentialStore
from passferry_pass_issuer.application.ports import Transactions
from passferry_pass_issuer.application.render_revisions import RevisionStore
from passferry_pass_issuer.application.workspace_pages import workspace_pages
from passferry_runtime.clock import Clock


@dataclass(frozen=True, kw_only=True)
class FindUnsigned:
    """A pass can be drawn while its identity is being uploaded, by another process too: neither
    sees the other, so someone has to look again."""

    transactions: Transactions
    workspaces: Workspaces
    credentials: CredentialStore
    store: RevisionStore
    clock: Clock

    async def __call__(self) -> list[tuple[UUID, str]]:
        """Workspaces and pass types, in order."""
        found: list[tuple[UUID, str]] = []
        async for ids in workspace_pages(self.transactions, self.workspaces):
            found += await self._of_page(ids)
        return found

    async def _of_page(self, ids: list[UUID]) -> list[tuple[UUID, str]]:
        async with self.transactions.transaction(ids) as transaction:
            waiting = await self.store.unsigned_types(transaction, ids)
            needs = await self.credentials.needs(transaction, ids) if waiting else []
        now = self.clock.now()
        signable = {
            (need.workspace_id, need.pass_type_identifier)
            for need in needs
            if need.is_signable(now)
        }
        return [each for each in waiting if each in signable]
