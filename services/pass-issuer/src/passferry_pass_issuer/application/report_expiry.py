"""Tells of certificates that are about to end, once for each threshold, and ends what is over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from passferry_contracts.events.directory import OperationReported
from passferry_contracts.registry import OPERATIONS_EVENTS
from passferry_pass_issuer.application.administer_workspaces import Workspaces
from passferry_pass_issuer.application.credential_ports import (
    ExpiryStore,
    IdentityStore,
    SigningRequestStore,
)
from passferry_pass_issuer.application.ports import Transaction, Transactions
from passferry_pass_issuer.application.workspace_pages import workspace_pages
from passferry_pass_issuer.domain.credential_expiry import (
    THRESHOLDS_DAYS,
    ExpiryNotice,
    notice_due,
)
from passferry_pass_issuer.domain.credentials import SigningIdentityRecord
from passferry_runtime.clock import Clock

#: Identities that are shown by name; the others show in the health check.
MAX_SHOWN = 100
#: What has more time than this is shown by nobody.
SHOWN_WITHIN = timedelta(days=90)
MAX_MESSAGE = 200

ShowDaysLeft = Callable[[Sequence[tuple[SigningIdentityRecord, float]]], None]


class ExpiringStore(ExpiryStore, IdentityStore, SigningRequestStore, Protocol):
    """What a round reads and ends."""


@dataclass(frozen=True, kw_only=True)
class ReportExpiry:
    """One round over all workspaces, a page at a time."""

    transactions: Transactions
    workspaces: Workspaces
    store: ExpiringStore
    clock: Clock
    #: The first to end, with the days that are left.
    show: ShowDaysLeft

    async def __call__(self) -> int:
        """How many notices were told."""
        told = 0
        ending: list[SigningIdentityRecord] = []
        async for ids in workspace_pages(self.transactions, self.workspaces):
            async with self.transactions.transaction(ids) as transaction:
                found, now_told = await self._page(transaction, ids)
            told += now_told
            ending = sorted([*ending, *found], key=lambda each: each.not_after)[:MAX_SHOWN]
        now = self.clock.now()
        self.show([(each, (each.not_after - now) / timedelta(days=1)) for each in ending])
        return told

    async def _page(
        self, transaction: Transaction, ids: Sequence[UUID]
    ) -> tuple[list[SigningIdentityRecord], int]:
        now = self.clock.now()
        await self.store.drop_retired(transaction, ids, now)
        await self.store.drop_expired_requests(transaction, ids, now)
        expiring = await self.store.expiring(transaction, ids, now + SHOWN_WITHIN)
        told = 0
        for identity, settled in expiring:
            notice = notice_due(identity, settled, now)
            if notice is not None and await self.store.settle(transaction, notice, now):
                self._tell(transaction, notice)
                told += 1
        return [identity for identity, _ in expiring], told

    def _tell(self, transaction: Transaction, notice: ExpiryNotice) -> None:
        identity = notice.identity
        transaction.emit(
            OPERATIONS_EVENTS,
            OperationReported(
                workspace_id=identity.workspace_id,
                operation_id=identity.signing_identity_id,
                kind=notice.kind,
                severity=notice.severity,
                message=notice.message[:MAX_MESSAGE],
                details={
                    "signing_identity_id": str(identity.signing_identity_id),
                    "pass_type_identifier": identity.pass_type_identifier,
                    "team_identifier": identity.team_identifier,
                    "fingerprint_sha256": identity.fingerprint_sha256,
                    "not_after": identity.not_after.isoformat().replace("+00:00", "Z"),
                    "days_left": notice.days_left,
                    "threshold_days": notice.threshold_days,
                    "thresholds_days": list(THRESHOLDS_DAYS),
                },
                reported_at=self.clock.now(),
            ),
        )
