"""Finds credentials that are missing, expired or about to expire; never a silent success."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from passferry_pass_issuer.application.administer_workspaces import Workspaces
from passferry_pass_issuer.application.credential_ports import CredentialStore
from passferry_pass_issuer.application.ports import Credentials, Transaction, Transactions
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
    credentials: Credentials

    async def of_workspace(self, workspace_id: UUID, now: datetime) -> CredentialReport:
        async with self.transactions.transaction([workspace_id]) as transaction:
            needs = await self.store.needs(transaction, [workspace_id])
            for need in needs:
                await self._open(transaction, need)
        return _report(needs, self.credentials.unreadable(workspace_id), now)

    async def _open(self, transaction: Transaction, need: CredentialNeed) -> None:
        """So that one which does not open is known, also when nothing was signed with it yet."""
        workspace_id = need.workspace_id
        if need.pass_type_identifier is not None:
            await self.credentials.signing_material(
                transaction, workspace_id, need.pass_type_identifier
            )
        if need.google_issuer_id is not None:
            await self.credentials.google_credential(
                transaction, workspace_id, need.google_issuer_id
            )

    async def of_all(self, now: datetime) -> CredentialReport:
        """Over all workspaces, a page at a time. Nothing is opened for it."""
        return _report(await self._needs_of_all(), self.credentials.unreadable(), now)

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


def _report(
    needs: list[CredentialNeed], unreadable: list[Finding], now: datetime
) -> CredentialReport:
    expiries = [need.identity_not_after for need in needs if need.identity_not_after is not None]
    return CredentialReport(
        findings=(*find_faults(needs, now), *unreadable), next_expiry=min(expiries, default=None)
    )
