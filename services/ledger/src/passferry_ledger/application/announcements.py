"""What the ledger tells others about an outcome."""

from __future__ import annotations

from datetime import datetime

from passferry_contracts.event import Event
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
from passferry_ledger.domain.outcomes import UNKNOWN, Outcome

Announcement = tuple[Topic, Event]


def announcements_of(
    submission: Submission, outcome: Outcome, *, now: datetime
) -> list[Announcement]:
    """Events in the order in which they are to leave. A pass not known yet makes none."""
    announced: list[Announcement] = []
    if outcome.is_applied and not outcome.is_replayed:
        announced.append((PASS_BALANCE_CHANGED, balance_changed(submission.command, outcome)))
        if submission.command.kind is EntryKind.REDEEM:
            announced.append((PASS_REDEEMED, redeemed(submission.command, outcome)))
    if submission.answer_to is not None and outcome.code != UNKNOWN:
        announced.append((LEDGER_RESULTS, completed(submission, outcome, now=now)))
    return announced


def balance_changed(command: Command, outcome: Outcome) -> PassBalanceChanged:
    return PassBalanceChanged.model_validate(
        {
            "workspace_id": command.workspace_id,
            "pass_id": outcome.pass_id,
            "external_id": outcome.external_id,
            "program_id": outcome.program_id,
            "version": outcome.version,
            "previous_balance_minor": outcome.previous_balance_minor,
            "new_balance_minor": outcome.balance_minor,
            "change_minor": command.change_minor,
            "unit": outcome.unit,
            "unit_scale": outcome.unit_scale,
            "reason": command.reason or command.kind.value,
            "entry_id": outcome.entry_id,
            "reference": command.reference,
            "exhausted": outcome.is_exhausted,
            "changed_at": outcome.recorded_at,
        }
    )


def redeemed(command: Command, outcome: Outcome) -> PassRedeemed:
    return PassRedeemed.model_validate(
        {
            "workspace_id": command.workspace_id,
            "pass_id": outcome.pass_id,
            "external_id": outcome.external_id,
            "program_id": outcome.program_id,
            "version": outcome.version,
            "redemption_id": outcome.entry_id,
            "amount_minor": command.amount_minor,
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
        replayed=outcome.is_replayed,
        completed_at=now,
    )
