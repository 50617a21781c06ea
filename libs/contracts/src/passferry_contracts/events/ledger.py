"""`ledger.commands` and `ledger.results`: orders to the ledger by Kafka, and its answers."""

from __future__ import annotations

from typing import ClassVar, Literal, Self
from uuid import UUID

from pydantic import ConfigDict, model_validator

from passferry_contracts.event import Event
from passferry_contracts.fields import (
    AmountMinor,
    Code,
    ExternalId,
    IdempotencyKey,
    Instant,
    LongText,
    NonZeroMinor,
    PositiveMinor,
    ShortText,
    Unit,
    Version,
    one_of_fields,
)


class LedgerCommand(Event):
    """What every command says; the pass by its id, or by the external id it was issued under."""

    model_config = ConfigDict(json_schema_extra=one_of_fields(("pass_id", "external_id")))

    pass_id: UUID | None = None
    external_id: ExternalId | None = None
    idempotency_key: IdempotencyKey
    #: When given, must be the unit of the pass's program.
    unit: Unit | None = None
    #: The caller's own number for this business fact, unique in the workspace for ever.
    reference: ShortText | None = None
    reason: Code | None = None
    merchant_id: ShortText | None = None
    merchant_name: ShortText | None = None
    location: ShortText | None = None
    terminal: ShortText | None = None
    occurred_at: Instant | None = None

    @model_validator(mode="after")
    def _is_addressed(self) -> Self:
        if self.pass_id is None and self.external_id is None:
            raise ValueError("name the pass by pass_id or external_id")
        return self

    def partition_key(self) -> str:
        return str(self.pass_id or self.external_id)


class EarnCommand(LedgerCommand):
    event_type: ClassVar[str] = "ledger.earn"
    amount_minor: PositiveMinor


class RedeemCommand(LedgerCommand):
    event_type: ClassVar[str] = "ledger.redeem"
    amount_minor: PositiveMinor


class AdjustCommand(LedgerCommand):
    """A correction by hand or a refund: any sign but zero."""

    event_type: ClassVar[str] = "ledger.adjust"
    amount_minor: NonZeroMinor


class CommandCompleted(Event):
    """The outcome of a command that came by Kafka, refusals included."""

    event_type: ClassVar[str] = "ledger.command_completed"

    #: `ce_id` of the command's record.
    command_event_id: ShortText
    command_type: Code
    idempotency_key: IdempotencyKey
    pass_id: UUID | None = None
    external_id: ExternalId | None = None
    outcome: Literal["applied", "refused"]
    #: Of a refusal: insufficient_balance, pass_unknown, account_closed, key_reused …
    code: Code | None = None
    detail: LongText | None = None
    entry_id: UUID | None = None
    version: Version | None = None
    balance_minor: AmountMinor | None = None
    #: The same command was seen before and this is its remembered outcome.
    replayed: bool = False
    completed_at: Instant

    def partition_key(self) -> str:
        return str(self.pass_id or self.external_id or self.idempotency_key)

    def sequence(self) -> int | None:
        return self.version
