"""`delivery.completed`, `message.requested` and `message.issued`."""

from __future__ import annotations

from typing import ClassVar, Self
from uuid import UUID

from pydantic import ConfigDict, Field, model_validator

from passferry_contracts.event import Event, PassEvent
from passferry_contracts.fields import (
    Code,
    DeviceLibraryIdentifier,
    Instant,
    LongText,
    Sha256Hex,
    ShortText,
    Version,
    one_of_fields,
)
from passferry_contracts.types import Channel, DeliveryOutcome


class DeliveryCompleted(PassEvent):
    """What became of bringing one revision (or message) of a pass to one target."""

    event_type: ClassVar[str] = "delivery.completed"

    delivery_id: UUID
    channel: Channel
    #: balance_update, redemption_notification, expiry_reminder, general_update or message
    notification_type: Code
    revision: Version | None = None
    message_id: ShortText | None = None
    #: Of an Apple device.
    device_library_identifier: DeviceLibraryIdentifier | None = None
    push_token_sha256: Sha256Hex | None = None
    google_object_id: ShortText | None = None
    outcome: DeliveryOutcome
    #: Of anything but delivered, such as unregistered, bad_device_token, credential_rejected.
    reason: Code | None = None
    #: APNs says the token is gone since then: registrations not renewed after it must go.
    token_gone_at: Instant | None = None
    attempts: int = Field(ge=0, le=10_000)
    caused_at: Instant | None = None
    completed_at: Instant

    def sequence(self) -> int | None:
        return self.revision


class MessageRequested(PassEvent):
    """Put this message on this pass."""

    event_type: ClassVar[str] = "message.requested"

    message_id: ShortText
    header: ShortText | None = None
    body: LongText
    requested_by: ShortText
    requested_at: Instant


class MessageIssued(Event):
    """A message for one pass, or for every holder of a class; told once, never state."""

    model_config = ConfigDict(json_schema_extra=one_of_fields(("pass_id", "template_id")))

    event_type: ClassVar[str] = "message.issued"

    message_id: ShortText
    pass_id: UUID | None = None
    template_id: UUID | None = None
    header: ShortText | None = None
    body: LongText
    notify: bool = True
    #: Of a message for one pass: false for one that Google Wallet never hears of.
    has_google_part: bool | None = None
    campaign_id: UUID | None = None
    issued_at: Instant

    @model_validator(mode="after")
    def _has_a_target(self) -> Self:
        if self.pass_id is None and self.template_id is None:
            raise ValueError("a message needs a pass_id or a template_id")
        return self

    def partition_key(self) -> str:
        return str(self.pass_id or self.template_id)
