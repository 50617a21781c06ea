"""Bodies of the reads, in and out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from passferry_contracts.fields import ExternalId
from passferry_ledger.application.read_balances import MAX_NAMES, Balances
from passferry_ledger.application.read_holdings import Lots
from passferry_ledger.domain.accounts import AccountView
from passferry_ledger.domain.views import (
    BalanceAt,
    Decision,
    EntryFacts,
    EntryRecord,
    EntryView,
    HoldView,
    LotView,
    PostingView,
)


class Answer(BaseModel):
    """Read off an object that has the same attributes."""

    model_config = ConfigDict(from_attributes=True)


class BalanceAnswer(Answer):
    """`available_minor` is what could be spent now: without what is held, pending or lapsed, and
    down to the floor."""

    pass_id: UUID
    external_id: str | None
    program_id: UUID
    unit: str
    unit_scale: int
    balance_minor: int
    held_minor: int
    #: Points whose time has not come, and points whose time is over.
    pending_minor: int
    lapsed_minor: int
    available_minor: int
    tier: str | None
    tier_until: datetime | None
    version: int
    status: str
    closed_reason: str | None


class BalanceAtAnswer(BaseModel):
    """The balance as it was; version 0 before the first entry."""

    pass_id: UUID
    external_id: str | None
    program_id: UUID
    unit: str
    unit_scale: int
    at: datetime
    balance_minor: int
    held_minor: int
    version: int


class BalancesAnswer(BaseModel):
    """`next_cursor` is the `cursor` of the next page; null on the last. With a filter, a page may
    have few items and yet not be the last."""

    data: list[BalanceAnswer]
    next_cursor: str | None


class BalancesQuery(BaseModel):
    """At most 1,000 names together."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pass_ids: Annotated[list[UUID], Field(max_length=MAX_NAMES)] = []
    external_ids: Annotated[list[ExternalId], Field(max_length=MAX_NAMES)] = []

    @model_validator(mode="after")
    def _some_and_not_too_many(self) -> BalancesQuery:
        if not 1 <= len(self.pass_ids) + len(self.external_ids) <= MAX_NAMES:
            raise ValueError(f"name 1 to {MAX_NAMES} passes")
        return self


class BalancesQueryAnswer(BaseModel):
    """`data` in the order of the names, each pass once; what is not in it is in one of the rest."""

    data: list[BalanceAnswer]
    #: Passes whose balance an upstream system keeps.
    kept_upstream: list[UUID]
    unknown_pass_ids: list[UUID]
    unknown_external_ids: list[str]


class EntryBody(Answer):
    entry_id: UUID
    kind: str
    reference: str | None
    reason: str | None
    merchant_id: str | None
    merchant_name: str | None
    location: str | None
    terminal: str | None
    purchase_minor: int | None
    purchase_unit: str | None
    #: Who gave the command.
    recorded_by: str
    #: Reversals: the entry that was taken back.
    reverses: UUID | None
    #: Holds, captures and releases: the hold.
    hold_id: UUID | None
    #: What reversals have taken back of it until now.
    reversed_minor: int
    occurred_at: datetime
    recorded_at: datetime


class EntryAnswer(EntryBody):
    """An entry from the side of one pass."""

    version: int
    change_minor: int
    held_change_minor: int
    balance_after_minor: int
    held_after_minor: int
    unit: str
    unit_scale: int


class EntriesAnswer(BaseModel):
    """`next_cursor` is the `cursor` of the next page; null on the last. With `kind`, a page may
    have few items and yet not be the last."""

    pass_id: UUID
    data: list[EntryAnswer]
    next_cursor: str | None


class LotChangeAnswer(Answer):
    lot_id: UUID
    starts_at: datetime | None
    expires_at: datetime | None
    change_minor: int


class PassPostingAnswer(Answer):
    pass_id: UUID
    program_id: UUID
    version: int
    change_minor: int
    held_change_minor: int
    balance_after_minor: int
    held_after_minor: int
    unit: str
    unit_scale: int


class CounterPostingAnswer(Answer):
    """The other side of the program: issuance, redeemed, adjustments or expired."""

    account: str
    program_id: UUID
    change_minor: int
    unit: str
    unit_scale: int


class EntryRecordAnswer(EntryBody):
    """An entry with all its postings: `change_minor` of `passes` and `counters` sum to zero. A
    transfer has two passes, the giver first."""

    passes: list[PassPostingAnswer]
    counters: list[CounterPostingAnswer]


class EntryRecordsAnswer(BaseModel):
    """`next_cursor` is the `cursor` of the next page; null on the last. With a filter, a page may
    have few items and yet not be the last."""

    data: list[EntryRecordAnswer]
    next_cursor: str | None


class PassPostingDetail(PassPostingAnswer):
    """`lots`: which points with dates were put in or taken out; the rest was undated."""

    lots: list[LotChangeAnswer]


class EntryDetail(EntryBody):
    """An entry with all its postings and what it did to points with dates."""

    passes: list[PassPostingDetail]
    counters: list[CounterPostingAnswer]


class HoldAnswer(Answer):
    """`state` is open, captured, released or expired."""

    hold_id: UUID
    state: str
    amount_minor: int
    captured_minor: int
    released_minor: int
    #: What may still be captured.
    left_minor: int
    expires_at: datetime
    reference: str | None
    recorded_by: str
    recorded_at: datetime


class HoldsAnswer(BaseModel):
    """Newest first. With `state`, a page may have few items and yet not be the last."""

    pass_id: UUID
    held_minor: int
    unit: str
    unit_scale: int
    data: list[HoldAnswer]
    next_cursor: str | None


class LotAnswer(Answer):
    """Points that share their dates; null: since ever, for ever."""

    lot_id: UUID
    starts_at: datetime | None
    expires_at: datetime | None
    remaining_minor: int
    is_pending: bool
    is_lapsed: bool


class NextExpiryAnswer(Answer):
    at: datetime
    amount_minor: int


class LotsAnswer(BaseModel):
    """Soonest to lapse first. `undated_minor` is what is in no lot; by a rolling rule it lapses at
    `undated_expires_at`. `next_expiry` is what lapses next of all of it."""

    pass_id: UUID
    balance_minor: int
    unit: str
    unit_scale: int
    undated_minor: int
    undated_expires_at: datetime | None
    next_expiry: NextExpiryAnswer | None
    data: list[LotAnswer]
    next_cursor: str | None


class DecisionAnswer(Answer):
    """One command. `code` is applied, or why it was refused; the balances are as of then."""

    idempotency_key: str
    command: str | None
    kind: str | None
    code: str
    pass_id: UUID | None
    entry_id: UUID | None
    version: int
    balance_minor: int
    available_minor: int
    held_minor: int
    recorded_by: str
    recorded_at: datetime


class AuditAnswer(BaseModel):
    """Newest first. With a filter, a page may have few items and yet not be the last."""

    data: list[DecisionAnswer]
    next_cursor: str | None


def balance_answer(account: AccountView) -> BalanceAnswer:
    return BalanceAnswer.model_validate(account)


def balance_at_answer(account: AccountView, balance: BalanceAt) -> BalanceAtAnswer:
    return BalanceAtAnswer(
        pass_id=account.pass_id,
        external_id=account.external_id,
        program_id=account.program_id,
        unit=account.unit,
        unit_scale=account.unit_scale,
        at=balance.at,
        balance_minor=balance.balance_minor,
        held_minor=balance.held_minor,
        version=balance.version,
    )


def balances_query_answer(balances: Balances) -> BalancesQueryAnswer:
    return BalancesQueryAnswer(
        data=[balance_answer(account) for account in balances.found],
        kept_upstream=balances.kept_upstream,
        unknown_pass_ids=balances.unknown_pass_ids,
        unknown_external_ids=balances.unknown_external_ids,
    )


def entry_answer(entry: EntryView) -> EntryAnswer:
    return EntryAnswer.model_validate(entry)


def entry_record_answer(record: EntryRecord) -> EntryRecordAnswer:
    passes, counters = _sides(record)
    return EntryRecordAnswer(
        **_body(record),
        passes=[PassPostingAnswer.model_validate(posting) for posting in passes],
        counters=[CounterPostingAnswer.model_validate(posting) for posting in counters],
    )


def entry_detail(record: EntryRecord) -> EntryDetail:
    passes, counters = _sides(record)
    return EntryDetail(
        **_body(record),
        passes=[PassPostingDetail.model_validate(posting) for posting in passes],
        counters=[CounterPostingAnswer.model_validate(posting) for posting in counters],
    )


def _body(facts: EntryFacts) -> dict[str, Any]:
    return EntryBody.model_validate(facts).model_dump()


def _sides(record: EntryRecord) -> tuple[Sequence[PostingView], Sequence[PostingView]]:
    passes = [posting for posting in record.postings if posting.version is not None]
    return passes, [posting for posting in record.postings if posting.version is None]


def holds_answer(
    account: AccountView, holds: Sequence[HoldView], next_cursor: str | None
) -> HoldsAnswer:
    return HoldsAnswer(
        pass_id=account.pass_id,
        held_minor=account.held_minor,
        unit=account.unit,
        unit_scale=account.unit_scale,
        data=[HoldAnswer.model_validate(hold) for hold in holds],
        next_cursor=next_cursor,
    )


def lots_answer(lots: Lots, next_cursor: str | None) -> LotsAnswer:
    account, summary = lots.account, lots.summary
    expiry = summary.next_expiry
    return LotsAnswer(
        pass_id=account.pass_id,
        balance_minor=account.balance_minor,
        unit=account.unit,
        unit_scale=account.unit_scale,
        undated_minor=summary.undated_minor,
        undated_expires_at=summary.undated_expires_at,
        next_expiry=None if expiry is None else NextExpiryAnswer.model_validate(expiry),
        data=[_lot_answer(lot) for lot in lots.page.items],
        next_cursor=next_cursor,
    )


def _lot_answer(lot: LotView) -> LotAnswer:
    return LotAnswer.model_validate(lot)


def decision_answer(decision: Decision) -> DecisionAnswer:
    return DecisionAnswer.model_validate(decision)
