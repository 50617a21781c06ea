"""Answers of the reads."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel

from passferry_ledger.domain.accounts import AccountView, EntryView


class BalanceAnswer(BaseModel):
    pass_id: UUID
    external_id: str | None
    program_id: UUID
    unit: str
    unit_scale: int
    balance_minor: int
    available_minor: int
    version: int
    status: str
    closed_reason: str | None


class BalancesAnswer(BaseModel):
    """`next_cursor` is the `cursor` of the next page; null on the last."""

    data: list[BalanceAnswer]
    next_cursor: UUID | None


class EntryAnswer(BaseModel):
    entry_id: UUID
    kind: str
    version: int
    change_minor: int
    balance_after_minor: int
    unit: str
    reference: str | None
    reason: str | None
    merchant_id: str | None
    merchant_name: str | None
    location: str | None
    terminal: str | None
    occurred_at: datetime
    recorded_at: datetime


class EntriesAnswer(BaseModel):
    """Newest first. `next_cursor` is the `cursor` of the next page; null on the last."""

    pass_id: UUID
    data: list[EntryAnswer]
    next_cursor: str | None


def balance_answer(account: AccountView) -> BalanceAnswer:
    return BalanceAnswer(
        pass_id=account.pass_id,
        external_id=account.external_id,
        program_id=account.program_id,
        unit=account.unit,
        unit_scale=account.unit_scale,
        balance_minor=account.balance_minor,
        available_minor=account.available_minor,
        version=account.version,
        status=account.status,
        closed_reason=account.closed_reason,
    )


def entry_answer(entry: EntryView) -> EntryAnswer:
    return EntryAnswer(
        entry_id=entry.entry_id,
        kind=entry.kind,
        version=entry.version,
        change_minor=entry.change_minor,
        balance_after_minor=entry.balance_after_minor,
        unit=entry.unit,
        reference=entry.reference,
        reason=entry.reason,
        merchant_id=entry.merchant_id,
        merchant_name=entry.merchant_name,
        location=entry.location,
        terminal=entry.terminal,
        occurred_at=entry.occurred_at,
        recorded_at=entry.recorded_at,
    )
