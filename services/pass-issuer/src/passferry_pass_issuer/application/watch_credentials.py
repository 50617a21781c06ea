"""Finds credentials that are missing, expired or about to expire; never a silent success."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from passferry_pass_issuer.application.administer_workspaces import Workspaces
from passferry_pass_issuer.application.credential_ports import CredentialStore
from passferry_pass_issuer.application.ports import Credentials, Transaction, Transactions
from passferry_pass_issuer.application.workspace_pages import workspace_pages
from passferry_pass_issuer.domain.credentials import CredentialNeed, Finding, find_faults


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
        async for ids in workspace_pages(self.transactions, self.workspaces):
            async with self.transactions.transaction(ids) as transaction:
                needs += await self.store.needs(transaction, ids)
        return needs


def _report(
    needs: list[CredentialNeed], unreadable: list[Finding], now: datetime
) -> CredentialReport:
    expiries = [need.identity_not_after for need in needs if need.identity_not_after is not None]
    return CredentialReport(
        findings=(*find_faults(needs, now), *unreadable), next_expiry=min(expiries, default=None)
    )
