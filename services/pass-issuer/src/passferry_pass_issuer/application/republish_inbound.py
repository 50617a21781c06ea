"""Tells what an upstream said once more, on the topics where each pass has one producer."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from passferry_contracts.events.balances import PassBalanceChanged, PassRedeemed
from passferry_contracts.events.inbound import (
    InboundBalanceChanged,
    InboundEvent,
    InboundPassUpdated,
    InboundRedeemed,
)
from passferry_contracts.registry import PASS_BALANCE_CHANGED, PASS_REDEEMED, PASS_UPDATED
from passferry_pass_issuer.application.pass_events import pass_updated
from passferry_pass_issuer.application.ports import Transaction
from passferry_pass_issuer.domain.upstream import changed_fields
from passferry_pass_issuer.domain.wallet_pass import WalletPass
from passferry_runtime.ids import derived_id


def canonical_id(wallet_pass: WalletPass, data: InboundEvent) -> str:
    """Of the republished event. Two upstreams may give one id to two events, so it is made of
    what tells events of our passes apart."""
    return str(_derived(wallet_pass, data.event_type, data.version))


def _derived(wallet_pass: WalletPass, kind: str, version: int) -> UUID:
    return derived_id(
        "inbound", str(wallet_pass.workspace_id), str(wallet_pass.pass_id), kind, str(version)
    )


def republish(
    transaction: Transaction,
    before: WalletPass,
    after: WalletPass,
    stored: WalletPass,
    data: InboundEvent,
    now: datetime,
) -> None:
    """`before` and `after` are the pass around this event; `stored` is what the whole batch made
    of it."""
    event_id = canonical_id(stored, data)
    match data:
        case InboundBalanceChanged():
            told = _balance_changed(before, after, data, now)
            transaction.emit(PASS_BALANCE_CHANGED, told, event_id=event_id)
        case InboundRedeemed():
            transaction.emit(PASS_REDEEMED, _redeemed(after, data, now), event_id=event_id)
        case InboundPassUpdated():
            names = changed_fields(before, after)
            if names:
                updated = pass_updated(stored, changed_fields=names, changed_at=now)
                transaction.emit(PASS_UPDATED, updated, event_id=event_id)


def _balance_changed(
    before: WalletPass, after: WalletPass, data: InboundBalanceChanged, now: datetime
) -> PassBalanceChanged:
    return PassBalanceChanged(
        workspace_id=after.workspace_id,
        pass_id=after.pass_id,
        external_id=after.external_id,
        program_id=after.program_id,
        version=data.version,
        previous_balance_minor=before.balance_minor,
        new_balance_minor=after.balance_minor,
        change_minor=after.balance_minor - before.balance_minor,
        unit=after.unit,
        unit_scale=after.unit_scale,
        reason=data.reason,
        reference=data.reference,
        changed_at=now,
    )


def _redeemed(after: WalletPass, data: InboundRedeemed, now: datetime) -> PassRedeemed:
    return PassRedeemed(
        workspace_id=after.workspace_id,
        pass_id=after.pass_id,
        external_id=after.external_id,
        program_id=after.program_id,
        version=data.version,
        redemption_id=_derived(after, "redemption", data.version),
        amount_minor=data.amount_minor,
        remaining_minor=data.remaining_minor,
        unit=after.unit,
        unit_scale=after.unit_scale,
        reference=data.reference,
        merchant_id=data.merchant_id,
        merchant_name=data.merchant_name,
        location=data.location,
        terminal=data.terminal,
        exhausted=data.exhausted,
        redeemed_at=now,
    )
