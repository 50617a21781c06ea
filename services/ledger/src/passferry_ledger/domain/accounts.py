"""Accounts, programs and entries as others see them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from passferry_contracts.types import MAX_AMOUNT_MINOR


@dataclass(frozen=True, slots=True, kw_only=True)
class PassAddress:
    """A pass of a workspace, by exactly one of its names."""

    workspace_id: UUID
    pass_id: UUID | None = None
    external_id: str | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What was announced of a program; amounts in minor units, absent limits do not bind."""

    workspace_id: UUID
    program_id: UUID
    protocol: str
    unit: str
    unit_scale: int
    floor_minor: int
    max_entry_minor: int | None
    max_balance_minor: int | None
    max_per_day_minor: int | None
    rules: dict[str, Any]
    thresholds: list[dict[str, Any]]
    status: str
    revision: int
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    workspace_id: UUID
    pass_id: UUID
    external_id: str
    program_id: UUID
    unit: str
    unit_scale: int
    is_kept_upstream: bool
    opening_balance_minor: int
    opened_at: datetime
    #: What the pass's barcode holds.
    code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """`forget` also drops the external id and the code, which may be personal."""

    workspace_id: UUID
    pass_id: UUID
    reason: str
    closed_at: datetime
    forget: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountView:
    workspace_id: UUID
    account_id: int
    pass_id: UUID
    external_id: str | None
    program_id: UUID
    protocol: str
    unit: str
    unit_scale: int
    is_kept_upstream: bool
    balance_minor: int
    held_minor: int
    #: Points that cannot be spent before their time, and points whose time is over.
    pending_minor: int
    lapsed_minor: int
    floor_minor: int
    version: int
    status: str
    closed_reason: str | None
    tier: str | None = None
    tier_until: datetime | None = None

    @property
    def available_minor(self) -> int:
        """What could be spent now; nothing of a closed account."""
        if self.status != "open":
            return 0
        return spendable_minor(
            balance=self.balance_minor,
            held=self.held_minor,
            pending=self.pending_minor,
            lapsed=self.lapsed_minor,
            floor=self.floor_minor,
        )


def spendable_minor(*, balance: int, held: int, pending: int, lapsed: int, floor: int) -> int:
    """Holds rest on lapsed points first: what is held does not lapse.

    The spread between a balance and its floor may not fit 64 bits; what fits is enough to say."""
    return min(max(balance - pending - max(held, lapsed) - floor, 0), MAX_AMOUNT_MINOR)
