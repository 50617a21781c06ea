"""`pass.balance_changed` and `pass.redeemed`: what the ledger decided."""

from __future__ import annotations

from typing import ClassVar, Literal
from uuid import UUID

from pydantic import Field

from passferry_contracts.event import PassEvent
from passferry_contracts.fields import (
    AmountMinor,
    Code,
    ExternalId,
    Instant,
    Part,
    PositiveMinor,
    ShortText,
    Unit,
    Version,
)


class Crossing(Part):
    """A threshold that this change crossed, told once per crossing."""

    kind: Literal["low_balance", "tier_changed", "threshold_reached"]
    threshold_minor: AmountMinor | None = None
    name: ShortText | None = None


class PassBalanceChanged(PassEvent):
    """A balance moved. `version` counts the account's changes from 1, without gaps."""

    event_type: ClassVar[str] = "pass.balance_changed"

    external_id: ExternalId
    program_id: UUID
    version: Version
    previous_balance_minor: AmountMinor
    new_balance_minor: AmountMinor
    change_minor: AmountMinor
    unit: Unit
    unit_scale: int = Field(default=0, ge=0, le=6)
    #: Why: what the command gave as its reason, else its kind: opening, load, earn, redeem,
    #: adjust, transfer, hold, capture, release, reverse, expire, close, check_in, review …
    reason: Code
    #: What could be spent now: less than the balance while something is held, pending or lapsed.
    available_minor: AmountMinor | None = None
    held_minor: AmountMinor | None = None
    #: The tier after the change; absent without one.
    tier: ShortText | None = None
    entry_id: UUID | None = None
    reference: ShortText | None = None
    #: The protocol makes this use final: nothing is left to spend, and the issuer voids the pass.
    exhausted: bool = False
    crossings: list[Crossing] = Field(default_factory=list, max_length=16)
    #: When the change was committed; carried on to the ring.
    changed_at: Instant

    def sequence(self) -> int:
        return self.version


class PassRedeemed(PassEvent):
    """Something was spent or used. Belongs to the balance change of the same `version`."""

    event_type: ClassVar[str] = "pass.redeemed"

    external_id: ExternalId
    program_id: UUID
    version: Version
    redemption_id: UUID
    amount_minor: PositiveMinor
    remaining_minor: AmountMinor
    unit: Unit
    unit_scale: int = Field(default=0, ge=0, le=6)
    reference: ShortText | None = None
    merchant_id: ShortText | None = None
    merchant_name: ShortText | None = None
    location: ShortText | None = None
    terminal: ShortText | None = None
    exhausted: bool = False
    redeemed_at: Instant

    def sequence(self) -> int:
        return self.version


class PointsExpiring(PassEvent):
    """Some of a pass's points will expire soon."""

    event_type: ClassVar[str] = "points.expiring"

    external_id: ExternalId
    program_id: UUID
    version: Version
    amount_minor: PositiveMinor
    unit: Unit
    expires_at: Instant

    def sequence(self) -> int:
        return self.version
