"""Admits what upstream systems say of passes whose balance they keep themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol
from uuid import UUID

from passferry_contracts.events.balances import PassBalanceChanged, PassRedeemed
from passferry_contracts.events.inbound import (
    InboundBalanceChanged,
    InboundEvent,
    InboundPassCreated,
    InboundPassUpdated,
    InboundPassVoided,
    InboundRedeemed,
)
from passferry_contracts.registry import PASS_BALANCE_CHANGED, PASS_REDEEMED
from passferry_contracts.types import BalanceOwner, PassStatus
from passferry_pass_issuer.application.issue_passes import IssueResult
from passferry_pass_issuer.application.ports import PassChange, Transaction
from passferry_pass_issuer.application.render_revisions import (
    RenderRevisions,
    RevisionStore,
    tell_status,
)
from passferry_pass_issuer.application.work import Work, Workbench
from passferry_pass_issuer.domain.issuing import HolderRequest, IssueOutcome, IssueRequest
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.revision import used_up
from passferry_pass_issuer.domain.wallet_pass import WalletPass
from passferry_pass_issuer.metrics import INBOUND_EVENTS
from passferry_runtime.errors import Rejected, RetryLater
from passferry_runtime.ids import derived_id

#: The workspace has them or will have them soon; anything else about a request stays wrong.
_NOT_YET = frozenset({"program_unknown", "program_without_template", "template_not_published"})


class WorkspaceDirectory(Protocol):
    def is_known(self, workspace_id: UUID) -> bool: ...

    def is_suspended(self, workspace_id: UUID) -> bool: ...

    def workspace_of_business(self, business_id: str) -> UUID | None: ...


class Issue(Protocol):
    async def __call__(
        self, work: Work, workspace_id: UUID, requests: Sequence[IssueRequest]
    ) -> list[IssueResult]: ...


@dataclass(frozen=True, slots=True)
class GivenInbound:
    event_id: str
    data: InboundEvent


@dataclass(frozen=True, kw_only=True)
class AdmitInbound:
    """Checks workspace and ownership, orders by the upstream's version, republishes."""

    workbench: Workbench
    directory: WorkspaceDirectory
    store: RevisionStore
    revisions: RenderRevisions
    issue: Issue

    async def __call__(self, events: Sequence[GivenInbound]) -> list[RetryLater | Rejected | None]:
        """One outcome per event; each is a transaction, so that one refused stops no other."""
        return [await self._admit(event) for event in events]

    async def _admit(self, event: GivenInbound) -> RetryLater | Rejected | None:
        outcome: RetryLater | Rejected | None = None
        result = "admitted"
        try:
            workspace_id = self._workspace_of(event.data)
            actor = f"event:{event.data.event_type}"
            async with self.workbench.open([workspace_id], actor=actor) as work:
                if isinstance(event.data, InboundPassCreated):
                    await self._create(work, workspace_id, event.data)
                elif not await self._change(work, workspace_id, event):
                    result = "outdated"
        except (RetryLater, Rejected) as verdict:
            outcome = verdict
            result = "waiting" if isinstance(verdict, RetryLater) else "refused"
        INBOUND_EVENTS.labels(event_type=event.data.event_type, result=result).inc()
        return outcome

    def _workspace_of(self, data: InboundEvent) -> UUID:
        by_business = (
            self.directory.workspace_of_business(data.business_id)
            if data.business_id is not None
            else None
        )
        workspace_id = data.workspace_id or by_business
        if workspace_id is None or not self.directory.is_known(workspace_id):
            raise RetryLater("workspace_unknown", "no such workspace yet")
        if data.business_id is not None and by_business != workspace_id:
            raise Rejected("foreign_workspace", "business_id belongs to another workspace")
        if self.directory.is_suspended(workspace_id):
            raise Rejected("workspace_suspended", "the workspace is suspended")
        return workspace_id

    async def _create(self, work: Work, workspace_id: UUID, data: InboundPassCreated) -> None:
        request = IssueRequest(
            program_id=data.program_id,
            external_id=data.external_id,
            holder=HolderRequest(
                external_id=data.holder.external_id,
                full_name=data.holder.full_name,
                email=data.holder.email,
                locale=data.holder.locale,
            ),
            opening_balance_minor=data.balance_minor,
            field_values=data.fields,
            code=data.code,
            expires_at=data.expires_at,
            upstream_version=data.version,
        )
        try:
            [result] = await self.issue(work, workspace_id, [request])
        except ContentRejected as refusal:
            raise Rejected(refusal.code, str(refusal)) from refusal
        if result.outcome is IssueOutcome.REFUSED and result.refusal is not None:
            verdict = RetryLater if result.refusal.code in _NOT_YET else Rejected
            raise verdict(result.refusal.code, str(result.refusal))

    async def _change(self, work: Work, workspace_id: UUID, event: GivenInbound) -> bool:
        """False when a newer version was admitted before."""
        before = await self._locked(work.transaction, workspace_id, event.data)
        after = _after(before, event.data)
        if after is None:
            return False
        change = PassChange(
            before=before,
            after=after,
            causes=(
                {"event_type": event.data.event_type, "event_id": event.event_id, "reason": None},
            ),
            caused_at=work.now,
        )
        try:
            [stored] = await self.revisions.store_changed(work.transaction, [change])
        except ContentRejected as refusal:
            raise Rejected(refusal.code, str(refusal)) from refusal
        _republish(work.transaction, before, stored, event, work.now)
        tell_status(work.transaction, before, stored, changed_at=work.now)
        return True

    async def _locked(
        self, transaction: Transaction, workspace_id: UUID, data: InboundEvent
    ) -> WalletPass:
        pass_id = data.pass_id
        if pass_id is None and data.external_id is not None:
            key = workspace_id, data.external_id
            pass_id = (await self.store.ids_of(transaction, [key])).get(key)
        found = (
            (await self.store.lock(transaction, [(workspace_id, pass_id)]))
            if pass_id is not None
            else {}
        )
        if pass_id is None or (workspace_id, pass_id) not in found:
            raise RetryLater("pass_unknown", "no such pass yet")
        wallet_pass = found[workspace_id, pass_id]
        if wallet_pass.balance_owner is not BalanceOwner.UPSTREAM:
            raise Rejected("balance_kept_here", "the balance of this pass is kept by our ledger")
        return wallet_pass


def _after(before: WalletPass, data: InboundEvent) -> WalletPass | None:
    """The pass with the event's change; versions compare per event type."""
    match data:
        case InboundBalanceChanged():
            if data.version <= before.upstream_version:
                return None
            return replace(
                before, balance_minor=data.new_balance_minor, upstream_version=data.version
            )
        case InboundRedeemed():
            if data.version <= before.redeemed_version:
                return None
            redeemed = replace(before, redeemed_version=data.version)
            return used_up(redeemed) if data.exhausted else redeemed
        case InboundPassUpdated():
            if data.version < before.upstream_version or not before.is_usable:
                return None
            values = {**before.field_values, **data.fields}
            kept = {name: value for name, value in values.items() if value is not None}
            return replace(
                before,
                field_values=kept,
                expires_at=data.expires_at or before.expires_at,
                upstream_version=data.version,
            )
        case InboundPassVoided():
            if not before.is_usable:
                return None
            return replace(
                before,
                status=PassStatus.VOIDED,
                status_reason=data.reason or "requested",
                upstream_version=max(data.version, before.upstream_version),
            )
        case _:
            return None


def _republish(
    transaction: Transaction,
    before: WalletPass,
    stored: WalletPass,
    event: GivenInbound,
    now: datetime,
) -> None:
    """On the canonical topics, where each pass has one producer."""
    data = event.data
    if isinstance(data, InboundBalanceChanged):
        transaction.emit(
            PASS_BALANCE_CHANGED,
            PassBalanceChanged(
                workspace_id=stored.workspace_id,
                pass_id=stored.pass_id,
                external_id=stored.external_id,
                program_id=stored.program_id,
                version=data.version,
                previous_balance_minor=before.balance_minor,
                new_balance_minor=stored.balance_minor,
                change_minor=stored.balance_minor - before.balance_minor,
                unit=stored.unit,
                unit_scale=stored.unit_scale,
                reason=data.reason,
                reference=data.reference,
                changed_at=now,
            ),
            event_id=event.event_id,
        )
    elif isinstance(data, InboundRedeemed):
        transaction.emit(
            PASS_REDEEMED,
            PassRedeemed(
                workspace_id=stored.workspace_id,
                pass_id=stored.pass_id,
                external_id=stored.external_id,
                program_id=stored.program_id,
                version=data.version,
                redemption_id=derived_id("upstream-redemption", event.event_id),
                amount_minor=data.amount_minor,
                remaining_minor=data.remaining_minor,
                unit=stored.unit,
                unit_scale=stored.unit_scale,
                reference=data.reference,
                merchant_id=data.merchant_id,
                merchant_name=data.merchant_name,
                location=data.location,
                terminal=data.terminal,
                exhausted=data.exhausted,
                redeemed_at=now,
            ),
            event_id=event.event_id,
        )
