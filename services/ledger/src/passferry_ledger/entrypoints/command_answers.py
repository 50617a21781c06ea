"""Applied commands, as HTTP tells them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from passferry_ledger.domain.commands import Command, EntryKind
from passferry_ledger.domain.outcomes import OtherSide, Outcome
from passferry_ledger.domain.rules import Crossing


class CrossingAnswer(BaseModel):
    """`kind` is low_balance, threshold_reached or tier_changed."""

    kind: str
    threshold_minor: int | None
    name: str | None


class OtherAnswer(BaseModel):
    """The second pass of a transfer, or of its reversal, after it."""

    pass_id: UUID
    version: int
    balance_minor: int
    available_minor: int


class CommandAnswer(BaseModel):
    """An applied command. Of a dry run, what it would have been: no entry, hence no `entry_id`."""

    entry_id: UUID | None
    pass_id: UUID
    #: What was done; of a use, what the protocol makes of it.
    kind: str
    change_minor: int
    previous_balance_minor: int
    balance_minor: int
    held_minor: int
    available_minor: int
    unit: str
    unit_scale: int
    version: int
    exhausted: bool
    reference: str | None
    hold_id: UUID | None
    reverses: UUID | None
    tier: str | None
    crossings: list[CrossingAnswer]
    other: OtherAnswer | None
    recorded_at: datetime
    dry_run: bool


def applied_answer(command: Command, outcome: Outcome, *, dry_run: bool = False) -> dict[str, Any]:
    """Built from what is remembered alone, so that a replay is the same byte for byte."""
    would_be = dry_run and not outcome.is_replayed
    is_new_hold = outcome.kind == EntryKind.HOLD
    answer = CommandAnswer.model_validate(
        {
            "entry_id": None if would_be else outcome.entry_id,
            "pass_id": outcome.pass_id,
            "kind": outcome.kind or command.kind.value,
            "change_minor": outcome.change_minor,
            "previous_balance_minor": outcome.previous_balance_minor,
            "balance_minor": outcome.balance_minor,
            "held_minor": outcome.held_minor,
            "available_minor": outcome.available_minor,
            "unit": outcome.unit,
            "unit_scale": outcome.unit_scale,
            "version": outcome.version,
            "exhausted": outcome.is_exhausted,
            "reference": command.reference,
            "hold_id": None if would_be and is_new_hold else outcome.hold_id,
            "reverses": outcome.reverses,
            "tier": outcome.tier,
            "crossings": _crossings(outcome.crossings),
            "other": _other(outcome.other),
            "recorded_at": outcome.recorded_at,
            "dry_run": dry_run,
        }
    )
    return answer.model_dump(mode="json")


def _crossings(crossings: Sequence[Crossing]) -> list[CrossingAnswer]:
    return [
        CrossingAnswer(
            kind=crossing.kind, threshold_minor=crossing.threshold_minor, name=crossing.name
        )
        for crossing in crossings
    ]


def _other(other: OtherSide | None) -> OtherAnswer | None:
    if other is None:
        return None
    return OtherAnswer(
        pass_id=other.pass_id,
        version=other.version,
        balance_minor=other.balance_minor,
        available_minor=other.available_minor,
    )
