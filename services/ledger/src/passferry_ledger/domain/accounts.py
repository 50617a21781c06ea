"""Accounts, programs and entries as others see them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class PassAddress:
    """A pass of a workspace, by exactly one of its two names."""

    workspace_id: UUID
    pass_id: UUID | None = None
    external_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The rules of one program; amounts in minor units, absent limits do not bind."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """`forget` also drops the external id, which may be a personal one."""

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
    unit: str
    unit_scale: int
    is_kept_upstream: bool
    balance_minor: int
    floor_minor: int
    version: int
    status: str
    closed_reason: str | None

    @property
    def available_minor(self) -> int:
        """What could be spent now; nothing of a closed account."""
        if self.status != "open":
            return 0
        return max(self.balance_minor - self.floor_minor, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryView:
    """One entry from the side of the pass: its signed change and the balance after it."""

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
