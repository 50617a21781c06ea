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
    Name,
    NonZeroMinor,
    PositiveMinor,
    ShortText,
    Unit,
    Version,
    one_of_fields,
)

_PASS = ("pass_id", "external_id")


class LedgerOrder(Event):
    """What every command says beside the pass it is about and its amounts."""

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


class LedgerCommand(LedgerOrder):
    """About the pass by its id, or by the external id it was issued under."""

    model_config = ConfigDict(json_schema_extra=one_of_fields(_PASS))

    pass_id: UUID | None = None
    external_id: ExternalId | None = None

    @model_validator(mode="after")
    def _is_addressed(self) -> Self:
        if self.pass_id is None and self.external_id is None:
            raise ValueError("name the pass by pass_id or external_id")
        return self

    def partition_key(self) -> str:
        return str(self.pass_id or self.external_id)


class ScanCommand(LedgerOrder):
    """About the pass by what its barcode holds, too: what a till knows of it."""

    model_config = ConfigDict(json_schema_extra=one_of_fields(("pass_id", "external_id", "code")))

    pass_id: UUID | None = None
    external_id: ExternalId | None = None
    code: Name | None = None

    @model_validator(mode="after")
    def _is_addressed(self) -> Self:
        if self.pass_id is None and self.external_id is None and self.code is None:
            raise ValueError("name the pass by pass_id, external_id or code")
        return self

    def partition_key(self) -> str:
        return str(self.pass_id or self.external_id or self.code)


class LoadCommand(LedgerCommand):
    """Money paid onto the pass."""

    event_type: ClassVar[str] = "ledger.load"
    amount_minor: PositiveMinor


class EarnCommand(LedgerCommand):
    event_type: ClassVar[str] = "ledger.earn"
    amount_minor: PositiveMinor


class PurchaseCommand(LedgerCommand):
    """Earn what the program's rule gives for a purchase, in minor units of `purchase_unit`."""

    event_type: ClassVar[str] = "ledger.purchase"
    purchase_minor: PositiveMinor
    purchase_unit: Unit | None = None


class RedeemCommand(LedgerCommand):
    event_type: ClassVar[str] = "ledger.redeem"
    amount_minor: PositiveMinor


class RedeemEverythingCommand(LedgerCommand):
    """Redeem all that is available: a coupon is marked as used."""

    event_type: ClassVar[str] = "ledger.redeem_everything"


class AdjustCommand(LedgerCommand):
    """A correction by hand: any sign but zero."""

    event_type: ClassVar[str] = "ledger.adjust"
    amount_minor: NonZeroMinor


class TransferCommand(LedgerCommand):
    """From this pass to another of the workspace, of the same unit: so much, or, without an
    amount, all that is available."""

    model_config = ConfigDict(
        json_schema_extra=one_of_fields(_PASS, exactly=(("to_pass_id", "to_external_id"),))
    )
    event_type: ClassVar[str] = "ledger.transfer"
    amount_minor: PositiveMinor | None = None
    to_pass_id: UUID | None = None
    to_external_id: ExternalId | None = None

    @model_validator(mode="after")
    def _names_the_receiver(self) -> Self:
        if (self.to_pass_id is None) == (self.to_external_id is None):
            raise ValueError("give exactly one of to_pass_id and to_external_id")
        return self


class HoldCommand(LedgerCommand):
    """Set an amount aside until it is captured or released."""

    event_type: ClassVar[str] = "ledger.hold"
    amount_minor: PositiveMinor
    #: At most 31 days ahead; absent: as the program's rules say.
    hold_until: Instant | None = None


class CaptureCommand(LedgerCommand):
    """Spend what was held: all that is left of it, or `amount_minor`."""

    event_type: ClassVar[str] = "ledger.capture"
    hold_id: UUID
    amount_minor: PositiveMinor | None = None
    #: Leave the rest of the hold open instead of releasing it.
    keep_rest: bool = False


class ReleaseCommand(LedgerCommand):
    event_type: ClassVar[str] = "ledger.release"
    hold_id: UUID


class ReverseCommand(LedgerCommand):
    """Take an entry back: all that is left of it, or `amount_minor`."""

    model_config = ConfigDict(
        json_schema_extra=one_of_fields(_PASS, exactly=(("entry_id", "entry_reference"),))
    )
    event_type: ClassVar[str] = "ledger.reverse"
    entry_id: UUID | None = None
    entry_reference: ShortText | None = None
    amount_minor: PositiveMinor | None = None

    @model_validator(mode="after")
    def _names_the_entry(self) -> Self:
        if (self.entry_id is None) == (self.entry_reference is None):
            raise ValueError("give exactly one of entry_id and entry_reference")
        return self


class ExpireCommand(LedgerCommand):
    """Let points lapse: those whose time is over, or `amount_minor` before their time."""

    event_type: ClassVar[str] = "ledger.expire"
    amount_minor: PositiveMinor | None = None


class CloseCommand(LedgerCommand):
    """Nothing can be spent any more; the balance stays as it is."""

    event_type: ClassVar[str] = "ledger.close"


class CheckInCommand(ScanCommand):
    """Let the holder of a ticket in."""

    event_type: ClassVar[str] = "ledger.check_in"


class UseCommand(ScanCommand):
    """A till scanned the pass: the program's protocol says what that does."""

    model_config = ConfigDict(
        json_schema_extra=one_of_fields(
            ("pass_id", "external_id", "code"), not_both=(("amount_minor", "purchase_minor"),)
        )
    )
    event_type: ClassVar[str] = "ledger.use"
    amount_minor: PositiveMinor | None = None
    purchase_minor: PositiveMinor | None = None
    purchase_unit: Unit | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if self.amount_minor is not None and self.purchase_minor is not None:
            raise ValueError("give at most one of amount_minor and purchase_minor")
        return self


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
    available_minor: AmountMinor | None = None
    #: Of an applied command: what it was recorded as, and what it changed.
    kind: Code | None = None
    change_minor: AmountMinor | None = None
    #: Of hold, capture and release.
    hold_id: UUID | None = None
    #: The same command was seen before and this is its remembered outcome.
    replayed: bool = False
    completed_at: Instant

    def partition_key(self) -> str:
        return str(self.pass_id or self.external_id or self.idempotency_key)

    def sequence(self) -> int | None:
        return self.version
