"""Finds credentials that are missing, expired or about to expire; never a silent success."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from passferry_pass_issuer.application.administer_workspaces import Workspaces
from passferry_pass_issuer.application.credential_ports import CredentialStore
from passferry_pass_issuer.application.ports import Transactions
from passferry_pass_issuer.domain.credentials import CredentialNeed, Finding, find_faults

PAGE_WORKSPACES = 500
MAX_WORKSPACES = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialReport:
    findings: tuple[Finding, ...]
    #: The soonest expiry of an identity that is needed; None when there is none.
    next_expiry: datetime | None


@dataclass(frozen=True, kw_only=True)
class WatchCredentials:
    transactions: Transactions
    workspaces: Workspaces
    store: CredentialStore

    async def of_workspace(self, workspace_id: UUID, now: datetime) -> CredentialReport:
        async with self.transactions.transaction([workspace_id]) as transaction:
            needs = await self.store.needs(transaction, [workspace_id])
        return _report(needs, now)

    async def of_all(self, now: datetime) -> CredentialReport:
        """Over all workspaces, a page at a time."""
        return _report(await self._needs_of_all(), now)

    async def _needs_of_all(self) -> list[CredentialNeed]:
        needs: list[CredentialNeed] = []
        after: UUID | None = None
        for _ in range(MAX_WORKSPACES // PAGE_WORKSPACES):
            async with self.transactions.transaction([]) as transaction:
                ids = await self.workspaces.ids(transaction, after=after, limit=PAGE_WORKSPACES)
            if not ids:
                break
            async with self.transactions.transaction(ids) as transaction:
                needs += await self.store.needs(transaction, ids)
            after = ids[-1]
        return needs


def _report(needs: list[CredentialNeed], now: datetime) -> CredentialReport:
    expiries = [need.identity_not_after for need in needs if need.identity_not_after is not None]
    return CredentialReport(
        findings=tuple(find_faults(needs, now)), next_expiry=min(expiries, default=None)
    )
