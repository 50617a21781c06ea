"""Commands that come by Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from passferry_contracts.events.ledger import AdjustCommand, EarnCommand, RedeemCommand
from passferry_ledger.application.apply_commands import ApplyCommands
from passferry_ledger.application.ports import AnswerTo, Submission, Workspaces
from passferry_ledger.domain.commands import Command, EntryKind
from passferry_ledger.domain.outcomes import REFUSALS, UNKNOWN
from passferry_runtime.errors import RetryLater

CommandEvent = EarnCommand | RedeemCommand | AdjustCommand

_KINDS: dict[str, EntryKind] = {
    EarnCommand.event_type: EntryKind.EARN,
    RedeemCommand.event_type: EntryKind.REDEEM,
    AdjustCommand.event_type: EntryKind.ADJUST,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderedCommand:
    """A command's event with what its envelope says."""

    data: CommandEvent
    event_id: str
    source: str
    traceparent: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeCommands:
    """None where a command was decided (its answer is on ledger.results), else why it must wait."""

    apply: ApplyCommands
    workspaces: Workspaces

    async def __call__(self, orders: Sequence[OrderedCommand]) -> list[RetryLater | None]:
        waits: list[RetryLater | None] = [
            None
            if self.workspaces.is_known(order.data.workspace_id)
            else RetryLater("workspace_unknown", str(order.data.workspace_id))
            for order in orders
        ]
        ready = [place for place, wait in enumerate(waits) if wait is None]
        outcomes = await self.apply([submission_of(orders[place]) for place in ready])
        for place, outcome in zip(ready, outcomes, strict=True):
            if outcome.code == UNKNOWN:
                waits[place] = RetryLater(UNKNOWN, REFUSALS[UNKNOWN])
        return waits


def submission_of(order: OrderedCommand) -> Submission:
    data = order.data
    command = Command(
        workspace_id=data.workspace_id,
        kind=_KINDS[data.event_type],
        amount_minor=data.amount_minor,
        pass_id=data.pass_id,
        external_id=data.external_id,
        idempotency_key=data.idempotency_key,
        unit=data.unit,
        reference=data.reference,
        reason=data.reason,
        merchant_id=data.merchant_id,
        merchant_name=data.merchant_name,
        location=data.location,
        terminal=data.terminal,
        occurred_at=data.occurred_at,
        recorded_by=f"kafka:{order.source}"[:200],
    )
    answer_to = AnswerTo(event_id=order.event_id[:200], event_type=data.event_type)
    return Submission(command=command, answer_to=answer_to, traceparent=order.traceparent)
