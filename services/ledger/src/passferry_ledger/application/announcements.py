"""What the ledger tells others about an outcome."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from passferry_contracts.event import Event
from passferry_contracts.events.balances import Crossing as CrossingPart
from passferry_contracts.events.balances import PassBalanceChanged, PassRedeemed
from passferry_contracts.events.ledger import CommandCompleted
from passferry_contracts.registry import (
    LEDGER_RESULTS,
    PASS_BALANCE_CHANGED,
    PASS_REDEEMED,
    Topic,
)
from passferry_ledger.application.ports import Submission
from passferry_ledger.domain.commands import Command, EntryKind
from passferry_ledger.domain.outcomes import NOT_KNOWN_YET, Outcome
from passferry_ledger.domain.rules import Crossing

Announcement = tuple[Topic, Event]
SPENT = frozenset({EntryKind.REDEEM, EntryKind.CAPTURE, EntryKind.CHECK_IN})
MAX_CROSSINGS = 16


def announcements_of(
    submission: Submission, outcome: Outcome, *, now: datetime
) -> list[Announcement]:
    """Events in the order in which they are to leave. A pass not known yet makes none."""
    announced: list[Announcement] = []
    if outcome.is_applied and not outcome.is_replayed:
        command = submission.command
        announced.append((PASS_BALANCE_CHANGED, balance_changed(command, outcome)))
        if outcome.other is not None:
            announced.append((PASS_BALANCE_CHANGED, other_changed(command, outcome)))
        if outcome.kind in SPENT and outcome.change_minor < 0:
            announced.append((PASS_REDEEMED, redeemed(command, outcome)))
    if submission.answer_to is not None and outcome.code not in NOT_KNOWN_YET:
        announced.append((LEDGER_RESULTS, completed(submission, outcome, now=now)))
    return announced


def balance_changed(command: Command, outcome: Outcome) -> PassBalanceChanged:
    return PassBalanceChanged.model_validate(
        {
            "workspace_id": command.workspace_id,
            "pass_id": outcome.pass_id,
            # Of an erased pass, whose entries may still be reversed, the name is gone.
            "external_id": outcome.external_id or str(outcome.pass_id),
            "program_id": outcome.program_id,
            "version": outcome.version,
            "previous_balance_minor": outcome.previous_balance_minor,
            "new_balance_minor": outcome.balance_minor,
            "change_minor": outcome.change_minor,
            "unit": outcome.unit,
            "unit_scale": outcome.unit_scale,
            "reason": command.reason or outcome.kind,
            "available_minor": outcome.available_minor,
            "held_minor": outcome.held_minor,
            "tier": outcome.tier,
            "entry_id": outcome.entry_id,
            "reference": command.reference,
            "exhausted": outcome.is_exhausted,
            "crossings": _parts(outcome.crossings),
            "changed_at": outcome.recorded_at,
        }
    )


def other_changed(command: Command, outcome: Outcome) -> PassBalanceChanged:
    """The same entry from the side of the second pass."""
    other = outcome.other
    if other is None:
        raise ValueError("the entry is about one pass")
    return PassBalanceChanged.model_validate(
        {
            "workspace_id": command.workspace_id,
            "pass_id": other.pass_id,
            "external_id": other.external_id or str(other.pass_id),
            "program_id": other.program_id,
            "version": other.version,
            "previous_balance_minor": other.previous_balance_minor,
            "new_balance_minor": other.balance_minor,
            "change_minor": other.balance_minor - other.previous_balance_minor,
            "unit": outcome.unit,
            "unit_scale": outcome.unit_scale,
            "reason": command.reason or outcome.kind,
            "available_minor": other.available_minor,
            "held_minor": other.held_minor,
            "tier": other.tier,
            "entry_id": outcome.entry_id,
            "reference": command.reference,
            "crossings": _parts(other.crossings),
            "changed_at": outcome.recorded_at,
        }
    )


def redeemed(command: Command, outcome: Outcome) -> PassRedeemed:
    return PassRedeemed.model_validate(
        {
            "workspace_id": command.workspace_id,
            "pass_id": outcome.pass_id,
            "external_id": outcome.external_id or str(outcome.pass_id),
            "program_id": outcome.program_id,
            "version": outcome.version,
            "redemption_id": outcome.entry_id,
            "amount_minor": -outcome.change_minor,
            "remaining_minor": outcome.balance_minor,
            "unit": outcome.unit,
            "unit_scale": outcome.unit_scale,
            "reference": command.reference,
            "merchant_id": command.merchant_id,
            "merchant_name": command.merchant_name,
            "location": command.location,
            "terminal": command.terminal,
            "exhausted": outcome.is_exhausted,
            "redeemed_at": command.occurred_at or outcome.recorded_at,
        }
    )


def completed(submission: Submission, outcome: Outcome, *, now: datetime) -> CommandCompleted:
    command, answer_to = submission.command, submission.answer_to
    if answer_to is None:
        raise ValueError("nobody waits for a result of this command")
    return CommandCompleted(
        workspace_id=command.workspace_id,
        command_event_id=answer_to.event_id,
        command_type=answer_to.event_type,
        idempotency_key=command.idempotency_key or "",
        pass_id=outcome.pass_id or command.pass_id,
        external_id=outcome.external_id or command.external_id,
        outcome="applied" if outcome.is_applied else "refused",
        code=None if outcome.is_applied else outcome.code,
        detail=outcome.detail or None,
        entry_id=outcome.entry_id,
        version=outcome.version,
        balance_minor=outcome.balance_minor,
        available_minor=outcome.available_minor,
        kind=outcome.kind,
        change_minor=outcome.change_minor if outcome.is_applied else None,
        hold_id=outcome.hold_id,
        replayed=outcome.is_replayed,
        completed_at=now,
    )


def _parts(crossings: Sequence[Crossing]) -> list[CrossingPart]:
    return [
        CrossingPart.model_validate(
            {
                "kind": crossing.kind,
                "threshold_minor": crossing.threshold_minor,
                "name": crossing.name,
            }
        )
        for crossing in crossings[:MAX_CROSSINGS]
    ]
