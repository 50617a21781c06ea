"""Bodies of the HTTP API, in and out."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict

from passferry_contracts.fields import (
    AmountMinor,
    Code,
    Instant,
    PositiveMinor,
    ShortText,
    Unit,
)
from passferry_ledger.domain.accounts import AccountView, EntryView
from passferry_ledger.domain.commands import Command
from passferry_ledger.domain.outcomes import Outcome


def _not_zero(value: int) -> int:
    if value == 0:
        raise ValueError("an adjustment changes the balance: anything but zero")
    return value


class CommandBody(BaseModel):
    """What all commands may say. Amounts are integers in the smallest part of the unit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: When given, must be the unit of the pass.
    unit: Unit | None = None
    #: Your own number for this business fact; an entry with it is written once, for ever.
    reference: ShortText | None = None
    reason: Code | None = None
    merchant_id: ShortText | None = None
    merchant_name: ShortText | None = None
    location: ShortText | None = None
    terminal: ShortText | None = None
    occurred_at: Instant | None = None


class EarnBody(CommandBody):
    amount_minor: PositiveMinor


class RedeemBody(CommandBody):
    amount_minor: PositiveMinor


class AdjustBody(CommandBody):
    amount_minor: Annotated[AmountMinor, AfterValidator(_not_zero)]


class CommandAnswer(BaseModel):
    """An applied command."""

    entry_id: UUID
    pass_id: UUID
    kind: str
    change_minor: int
    previous_balance_minor: int
    balance_minor: int
    available_minor: int
    unit: str
    unit_scale: int
    version: int
    exhausted: bool
    reference: str | None
    recorded_at: datetime


class RefusalAnswer(BaseModel):
    """A refused command, as `application/problem+json`."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    pass_id: UUID | None = None
    balance_minor: int | None = None
    available_minor: int | None = None
    unit: str | None = None
    version: int | None = None


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


def applied_answer(command: Command, outcome: Outcome) -> dict[str, Any]:
    """Built from what is remembered alone, so that a replay is the same byte for byte."""
    answer = CommandAnswer.model_validate(
        {
            "entry_id": outcome.entry_id,
            "pass_id": outcome.pass_id,
            "kind": outcome.kind or command.kind.value,
            "change_minor": outcome.change_minor,
            "previous_balance_minor": outcome.previous_balance_minor,
            "balance_minor": outcome.balance_minor,
            "available_minor": outcome.available_minor,
            "unit": outcome.unit,
            "unit_scale": outcome.unit_scale,
            "version": outcome.version,
            "exhausted": outcome.is_exhausted,
            "reference": command.reference,
            "recorded_at": outcome.recorded_at,
        }
    )
    return answer.model_dump(mode="json")


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
