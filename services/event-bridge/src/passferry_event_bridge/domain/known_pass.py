"""What the events so far say of a pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

#: Beyond it, more devices of one pass are not counted.
MAX_DEVICES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One event: `fields` are its payload's, with UUIDs and aware times."""

    event_id: str
    event_type: str
    workspace_id: UUID
    pass_id: UUID
    #: When it happened, in UTC.
    occurred_at: datetime
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownPass:
    workspace_id: UUID
    pass_id: UUID
    holder_id: UUID | None
    program_id: UUID
    unit: str
    unit_scale: int
    balance_minor: int
    ledger_version: int
    revision: int
    status: str
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    tier: str | None = None
    devices: frozenset[str] = frozenset()
    platforms: frozenset[str] = frozenset()

    @property
    def user_id(self) -> str:
        """Whom the sink knows; once the holder was erased, only the pass."""
        return str(self.holder_id) if self.holder_id else f"pass_{self.pass_id}"


def created(fact: Fact) -> KnownPass:
    """From `pass.created`."""
    fields = fact.fields
    return KnownPass(
        workspace_id=fact.workspace_id,
        pass_id=fact.pass_id,
        holder_id=fields["holder_id"],
        program_id=fields["program_id"],
        unit=fields["unit"],
        unit_scale=fields["unit_scale"],
        balance_minor=fields["opening_balance_minor"],
        ledger_version=0,
        revision=fields["revision"],
        status="active",
        expires_at=fields["expires_at"],
    )


def after(known: KnownPass, fact: Fact) -> KnownPass:
    """The pass after `fact`; an event that came before is not let back in."""
    match fact.event_type:
        case "pass.balance_changed":
            return _after_balance(known, fact)
        case "pass.redeemed":
            return _after_redemption(known, fact)
        case "device.registered" | "device.unregistered":
            return _after_device(known, fact)
        case "pass.installed" | "pass.uninstalled":
            return _after_installation(known, fact)
        case "pass.updated" | "pass.voided" | "pass.expired" | "pass.deleted" | "pass.erased":
            return _after_update(known, fact)
    return known


def _after_balance(known: KnownPass, fact: Fact) -> KnownPass:
    fields = fact.fields
    if fields["version"] <= known.ledger_version:
        return known
    tiers = [each["name"] for each in fields["crossings"] if each["kind"] == "tier_changed"]
    return replace(
        known,
        balance_minor=fields["new_balance_minor"],
        ledger_version=fields["version"],
        tier=tiers[-1] if tiers else known.tier,
    )


def _after_redemption(known: KnownPass, fact: Fact) -> KnownPass:
    # Of the same version as its balance change, and on another topic: either may come first.
    is_current = fact.fields["version"] >= known.ledger_version
    return replace(
        known,
        balance_minor=fact.fields["remaining_minor"] if is_current else known.balance_minor,
        last_used_at=max(known.last_used_at or fact.occurred_at, fact.occurred_at),
    )


def _after_update(known: KnownPass, fact: Fact) -> KnownPass:
    erased = fact.event_type == "pass.erased"
    holder_id = None if erased else known.holder_id
    if fact.fields["revision"] < known.revision:
        return replace(known, holder_id=holder_id)
    return replace(
        known,
        # A pass that changed hands is somebody else's from then on; an erased one is nobody's.
        holder_id=holder_id and (fact.fields.get("holder_id") or holder_id),
        revision=fact.fields["revision"],
        status=str(fact.fields["status"]),
        expires_at=fact.fields.get("expires_at") or known.expires_at,
    )


def _after_device(known: KnownPass, fact: Fact) -> KnownPass:
    device = frozenset({fact.fields["device_library_identifier"]})
    if fact.event_type == "device.registered":
        if len(known.devices) >= MAX_DEVICES:
            return known
        return replace(known, devices=known.devices | device)
    return replace(known, devices=known.devices - device)


def _after_installation(known: KnownPass, fact: Fact) -> KnownPass:
    platform = frozenset({str(fact.fields["platform"])})
    if fact.event_type == "pass.installed":
        return replace(known, platforms=known.platforms | platform)
    return replace(known, platforms=known.platforms - platform)
