"""`pass.created` and `pass.updated`: what a pass is. The pass-issuer decides it."""

from __future__ import annotations

from datetime import date
from typing import ClassVar
from uuid import UUID

from pydantic import Field

from passferry_contracts.event import PassEvent
from passferry_contracts.fields import (
    AmountMinor,
    Code,
    ExternalId,
    Instant,
    ShortText,
    Unit,
    Version,
)
from passferry_contracts.types import BalanceOwner, PassStatus, Protocol


class PassCreated(PassEvent):
    """A pass was issued. Opens its account, with the opening balance, where we keep the balance."""

    event_type: ClassVar[str] = "pass.created"

    program_id: UUID
    protocol: Protocol
    template_id: UUID
    template_version: Version
    holder_id: UUID
    external_id: ExternalId
    #: What the barcode holds, and what a till scans.
    code: ShortText
    balance_owner: BalanceOwner
    unit: Unit
    #: Decimal places of the unit: 2 for EUR, 0 for points.
    unit_scale: int = Field(default=0, ge=0, le=6)
    opening_balance_minor: AmountMinor
    recipient_name: ShortText | None = None
    revision: Version
    created_at: Instant
    expires_at: Instant | None = None

    def sequence(self) -> int:
        return self.revision


class _PassChange(PassEvent):
    external_id: ExternalId
    program_id: UUID
    revision: Version
    status: PassStatus
    reason: Code | None = None
    changed_at: Instant

    def sequence(self) -> int:
        return self.revision


class PassUpdated(_PassChange):
    """What the pass shows changed, but not its status."""

    event_type: ClassVar[str] = "pass.updated"
    changed_fields: list[ShortText] = Field(default_factory=list, max_length=64)
    expires_at: Instant | None = None
    #: Whose it is now, when it changed hands.
    holder_id: UUID | None = None
    #: Who had it before and was erased now: drop whatever is personal of them. The pass goes on.
    erased_holder_id: UUID | None = None


class PassVoided(_PassChange):
    """The pass can be used no more; `reason` says why, such as `exhausted` or `requested`."""

    event_type: ClassVar[str] = "pass.voided"


class PassExpired(_PassChange):
    event_type: ClassVar[str] = "pass.expired"


class PassDeleted(_PassChange):
    event_type: ClassVar[str] = "pass.deleted"


class PassErased(_PassChange):
    """The holder asked to be forgotten: drop whatever is personal."""

    event_type: ClassVar[str] = "pass.erased"


class PassBirthday(_PassChange):
    event_type: ClassVar[str] = "pass.birthday"
    birthday: date
    bonus_minor: AmountMinor = 0
