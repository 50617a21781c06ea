"""What commands say by HTTP: the body of each action, who may order it, and the command it makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, cast
from uuid import UUID

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StrictBool,
    StringConstraints,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from passferry_contracts.fields import (
    Code,
    ExternalId,
    Instant,
    Name,
    NonZeroMinor,
    PositiveMinor,
    ShortText,
    Unit,
    one_of_fields,
)
from passferry_contracts.types import Role
from passferry_ledger.domain.accounts import PassAddress
from passferry_ledger.domain.commands import Command, EntryKind, reference_of, said_of

_ADDRESSING = frozenset({"action", "pass_id", "external_id", "code", "idempotency_key"})
_AMOUNT_OR_PURCHASE = ("amount_minor", "purchase_minor")
_RECEIVER = ("to_pass_id", "to_external_id")
_ENTRY = ("entry_id", "entry_reference")
PASS_NAMES = ("pass_id", "external_id", "code")


def _only_text(value: object) -> object:
    """A number could be seconds or milliseconds; it is neither."""
    if not isinstance(value, str) or value.strip().lstrip("+-").replace(".", "", 1).isdigit():
        raise PydanticCustomError("time_text", "a time is text, such as 2026-05-14T07:31:05Z")
    return value


Time = Annotated[Instant, BeforeValidator(_only_text)]
#: What the header could say, too: a key is the same key whichever way it comes.
BulkKey = Annotated[
    str, StringConstraints(max_length=255, pattern=r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$")
]


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
    occurred_at: Time | None = None


class AmountBody(CommandBody):
    amount_minor: PositiveMinor


class AdjustBody(CommandBody):
    amount_minor: NonZeroMinor


class OptionalAmountBody(CommandBody):
    amount_minor: PositiveMinor | None = None


class EarnBody(CommandBody):
    """An amount, or a purchase that the program's rule turns into one."""

    model_config = ConfigDict(json_schema_extra=one_of_fields(exactly=(_AMOUNT_OR_PURCHASE,)))

    amount_minor: PositiveMinor | None = None
    purchase_minor: PositiveMinor | None = None
    purchase_unit: Unit | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        _check_one_of(self, _AMOUNT_OR_PURCHASE)
        _check_purchase(self.purchase_minor, self.purchase_unit)
        return self


class RedeemBody(CommandBody):
    """An amount, or `everything`: all that is available."""

    amount_minor: PositiveMinor | None = None
    everything: StrictBool = False

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        _check_one_of(self, ("amount_minor", "everything"))
        return self


class TransferBody(CommandBody):
    """Without an amount: all that is available."""

    model_config = ConfigDict(json_schema_extra=one_of_fields(exactly=(_RECEIVER,)))

    amount_minor: PositiveMinor | None = None
    to_pass_id: UUID | None = None
    to_external_id: ExternalId | None = None

    @model_validator(mode="after")
    def _names_the_receiver(self) -> Self:
        _check_one_of(self, _RECEIVER)
        return self


class HoldBody(AmountBody):
    #: At most 31 days ahead; absent: as the program's rules say.
    hold_until: Time | None = None


class CaptureBody(OptionalAmountBody):
    """Without an amount: all that is left of the hold."""

    hold_id: UUID
    #: Leave the rest of the hold open instead of releasing it.
    keep_rest: StrictBool = False


class ReleaseBody(CommandBody):
    hold_id: UUID


class ReverseBody(OptionalAmountBody):
    """Without an amount: all that is left of the entry."""

    model_config = ConfigDict(json_schema_extra=one_of_fields(exactly=(_ENTRY,)))

    entry_id: UUID | None = None
    entry_reference: ShortText | None = None

    @model_validator(mode="after")
    def _names_the_entry(self) -> Self:
        _check_one_of(self, _ENTRY)
        return self


class UseBody(CommandBody):
    """What the protocol does with it: an amount to spend, a purchase to earn by, or neither."""

    model_config = ConfigDict(
        json_schema_extra=one_of_fields(not_both=(("amount_minor", "purchase_minor"),))
    )

    amount_minor: PositiveMinor | None = None
    purchase_minor: PositiveMinor | None = None
    purchase_unit: Unit | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if self.amount_minor is not None and self.purchase_minor is not None:
            raise _fault("purchase_minor", "give at most one of amount_minor and purchase_minor")
        _check_purchase(self.purchase_minor, self.purchase_unit)
        return self


def _check_one_of(body: CommandBody, names: tuple[str, ...]) -> None:
    given = [name for name in names if getattr(body, name) not in (None, False)]
    if len(given) != 1:
        raise _fault((given or names)[-1 if given else 0], f"give exactly one of {_list(names)}")


def _check_purchase(purchase_minor: int | None, purchase_unit: str | None) -> None:
    if purchase_unit is not None and purchase_minor is None:
        raise _fault("purchase_unit", "goes with purchase_minor")


def _list(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _fault(field: str, message: str) -> ValidationError:
    """A fault between fields, told as one of them."""
    fault = InitErrorDetails(
        type=PydanticCustomError("fields_disagree", message),
        loc=(field,),
        input=None,
    )
    return ValidationError.from_exception_data("command", [fault])


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """`name` is the last part of its path, and `action` of a bulk."""

    name: str
    kind: EntryKind
    body: type[CommandBody]
    summary: str
    role: Role = Role.MEMBER


ACTIONS: dict[str, Action] = {
    action.name: action
    for action in (
        Action(
            name="load",
            kind=EntryKind.LOAD,
            body=AmountBody,
            summary="Money paid onto the pass.",
        ),
        Action(
            name="earn",
            kind=EntryKind.EARN,
            body=EarnBody,
            summary="Give the pass an amount, or what the program's rule gives for a purchase.",
        ),
        Action(
            name="redeem",
            kind=EntryKind.REDEEM,
            body=RedeemBody,
            summary="Spend an amount, or everything: so a coupon is marked as used.",
        ),
        Action(
            name="adjust",
            kind=EntryKind.ADJUST,
            body=AdjustBody,
            summary="Correct the balance by hand: any sign but zero.",
            role=Role.MANAGER,
        ),
        Action(
            name="transfer",
            kind=EntryKind.TRANSFER,
            body=TransferBody,
            summary="To another pass of the workspace with the same unit; points keep their dates.",
        ),
        Action(
            name="hold",
            kind=EntryKind.HOLD,
            body=HoldBody,
            summary="Set an amount aside, to be captured or released.",
        ),
        Action(
            name="capture",
            kind=EntryKind.CAPTURE,
            body=CaptureBody,
            summary="Spend what was held, in whole or in part.",
        ),
        Action(
            name="release",
            kind=EntryKind.RELEASE,
            body=ReleaseBody,
            summary="Free what is left of a hold.",
        ),
        Action(
            name="reverse",
            kind=EntryKind.REVERSE,
            body=ReverseBody,
            summary="Take an earlier entry of this pass back, in whole or in part.",
        ),
        Action(
            name="expire",
            kind=EntryKind.EXPIRE,
            body=OptionalAmountBody,
            summary="Let lapsed points go; with an amount, points that have not lapsed yet, too.",
            role=Role.MANAGER,
        ),
        Action(
            name="close",
            kind=EntryKind.CLOSE,
            body=CommandBody,
            summary="Nothing can be spent any more; the balance stays as it is.",
            role=Role.MANAGER,
        ),
        Action(
            name="check-in",
            kind=EntryKind.CHECK_IN,
            body=CommandBody,
            summary="Let the holder of a ticket in.",
        ),
        Action(
            name="use",
            kind=EntryKind.USE,
            body=UseBody,
            summary="Do what the program's protocol does when the pass is shown.",
        ),
    )
}


class BulkItem(CommandBody):
    """Names its pass by exactly one of `pass_id`, `external_id` and `code`."""

    pass_id: UUID | None = None
    external_id: ExternalId | None = None
    code: Name | None = None
    #: May be left out beside a reference, which is then the key: `ref:{reference}`.
    idempotency_key: BulkKey | None = None

    @model_validator(mode="after")
    def _names_one_pass(self) -> Self:
        _check_one_of(self, PASS_NAMES)
        return self

    @property
    def key(self) -> str | None:
        reference = reference_of(self.reference)
        if self.idempotency_key is None and reference is not None:
            return f"ref:{reference}"
        return self.idempotency_key

    def address(self, workspace_id: UUID) -> PassAddress:
        return PassAddress(
            workspace_id=workspace_id,
            pass_id=self.pass_id,
            external_id=self.external_id,
            code=self.code,
        )


def _bulk_item(action: Action) -> type[BulkItem]:
    fields: dict[str, Any] = {"action": (Literal[action.name], ...)}
    bases = cast("tuple[type[BulkItem], ...]", (BulkItem, action.body))
    name = f"Bulk{action.kind.value.title().replace('_', '')}"
    return create_model(name, __base__=bases, __doc__=action.summary, **fields)


#: The items of a bulk, by their action.
BULK_ITEMS: dict[str, type[BulkItem]] = {
    name: _bulk_item(action) for name, action in ACTIONS.items()
}


def command_of(
    kind: EntryKind,
    body: CommandBody,
    address: PassAddress,
    *,
    key: str | None,
    recorded_by: str,
    by_manager: bool,
) -> Command:
    said = {
        name: getattr(body, name) for name in type(body).model_fields if name not in _ADDRESSING
    }
    return Command(
        workspace_id=address.workspace_id,
        kind=kind,
        pass_id=address.pass_id,
        external_id=address.external_id,
        code=address.code,
        idempotency_key=key,
        recorded_by=recorded_by[:200],
        by_manager=by_manager,
        **said_of(kind, said),
    )
