"""`pass.inbound`: what upstream systems say of passes whose balance they keep themselves.

The same event types as on the canonical topics, in the form an outsider can know: a workspace by
its id or by a `business_id` mapped to it, a pass by its id or by the outsider's `external_id`.
"""

from __future__ import annotations

from typing import ClassVar, Self
from uuid import UUID

from pydantic import ConfigDict, Field, model_validator

from passferry_contracts.fields import (
    AmountMinor,
    Code,
    ExternalId,
    Instant,
    JsonObject,
    Name,
    Part,
    PositiveMinor,
    ShortText,
    Version,
    one_of_fields,
)


class InboundHolder(Part):
    """The person a pass is for."""

    external_id: ExternalId | None = None
    full_name: Name | None = None
    email: ShortText | None = None
    locale: ShortText | None = None


class InboundEvent(Part):
    """Base of the inbound events; key: the upstream's own id of the pass."""

    model_config = ConfigDict(
        json_schema_extra=one_of_fields(("workspace_id", "business_id"), ("pass_id", "external_id"))
    )

    event_type: ClassVar[str]
    schema_version: ClassVar[int] = 1

    workspace_id: UUID | None = None
    business_id: ExternalId | None = None
    pass_id: UUID | None = None
    external_id: ExternalId | None = None
    #: The upstream's own version of the pass: older ones than the last accepted are ignored.
    version: Version
    occurred_at: Instant

    @model_validator(mode="after")
    def _is_addressed(self) -> Self:
        if self.workspace_id is None and self.business_id is None:
            raise ValueError("name the workspace by workspace_id or business_id")
        if self.pass_id is None and self.external_id is None:
            raise ValueError("name the pass by pass_id or external_id")
        return self

    def partition_key(self) -> str:
        return str(self.external_id or self.pass_id)

    def sequence(self) -> int | None:
        return self.version


class InboundPassCreated(InboundEvent):
    """Issue a pass whose balance the upstream keeps."""

    event_type: ClassVar[str] = "pass.created"

    program_id: UUID
    holder: InboundHolder = InboundHolder()
    balance_minor: AmountMinor = 0
    code: ShortText | None = None
    #: Values for the template's field mapping.
    fields: JsonObject = Field(default_factory=dict, max_length=64)
    expires_at: Instant | None = None


class InboundPassUpdated(InboundEvent):
    event_type: ClassVar[str] = "pass.updated"

    fields: JsonObject = Field(default_factory=dict, max_length=64)
    expires_at: Instant | None = None


class InboundPassVoided(InboundEvent):
    event_type: ClassVar[str] = "pass.voided"

    reason: Code | None = None


class InboundBalanceChanged(InboundEvent):
    event_type: ClassVar[str] = "pass.balance_changed"

    new_balance_minor: AmountMinor
    reason: Code = "upstream"
    reference: ShortText | None = None


class InboundRedeemed(InboundEvent):
    event_type: ClassVar[str] = "pass.redeemed"

    amount_minor: PositiveMinor
    remaining_minor: AmountMinor
    reference: ShortText | None = None
    merchant_id: ShortText | None = None
    merchant_name: ShortText | None = None
    location: ShortText | None = None
    terminal: ShortText | None = None
    exhausted: bool = False
