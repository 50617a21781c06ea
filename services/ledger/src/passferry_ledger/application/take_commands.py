"""Commands that come by Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from passferry_contracts.events import ledger as events
from passferry_ledger.application.apply_commands import ApplyCommands
from passferry_ledger.application.ports import AnswerTo, Submission, Workspaces
from passferry_ledger.domain.commands import Command, EntryKind, said_of
from passferry_ledger.domain.outcomes import NOT_KNOWN_YET, REFUSALS
from passferry_runtime.errors import RetryLater

CommandEvent = (
    events.LoadCommand
    | events.EarnCommand
    | events.PurchaseCommand
    | events.RedeemCommand
    | events.RedeemEverythingCommand
    | events.AdjustCommand
    | events.TransferCommand
    | events.HoldCommand
    | events.CaptureCommand
    | events.ReleaseCommand
    | events.ReverseCommand
    | events.ExpireCommand
    | events.CloseCommand
    | events.CheckInCommand
    | events.UseCommand
)

_KINDS: dict[str, EntryKind] = {
    events.LoadCommand.event_type: EntryKind.LOAD,
    events.EarnCommand.event_type: EntryKind.EARN,
    events.PurchaseCommand.event_type: EntryKind.EARN,
    events.RedeemCommand.event_type: EntryKind.REDEEM,
    events.RedeemEverythingCommand.event_type: EntryKind.REDEEM,
    events.AdjustCommand.event_type: EntryKind.ADJUST,
    events.TransferCommand.event_type: EntryKind.TRANSFER,
    events.HoldCommand.event_type: EntryKind.HOLD,
    events.CaptureCommand.event_type: EntryKind.CAPTURE,
    events.ReleaseCommand.event_type: EntryKind.RELEASE,
    events.ReverseCommand.event_type: EntryKind.REVERSE,
    events.ExpireCommand.event_type: EntryKind.EXPIRE,
    events.CloseCommand.event_type: EntryKind.CLOSE,
    events.CheckInCommand.event_type: EntryKind.CHECK_IN,
    events.UseCommand.event_type: EntryKind.USE,
}
_COMMON = frozenset({"workspace_id", "idempotency_key"})


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
            if outcome.code in NOT_KNOWN_YET:
                waits[place] = RetryLater(outcome.code, REFUSALS[outcome.code])
        return waits


def submission_of(order: OrderedCommand) -> Submission:
    data = order.data
    kind = _KINDS[data.event_type]
    said = {name: getattr(data, name) for name in type(data).model_fields if name not in _COMMON}
    if isinstance(data, events.RedeemEverythingCommand):
        said["everything"] = True
    command = Command(
        workspace_id=data.workspace_id,
        kind=kind,
        idempotency_key=data.idempotency_key,
        recorded_by=f"kafka:{order.source}"[:200],
        **said_of(kind, said),
    )
    answer_to = AnswerTo(event_id=order.event_id[:200], event_type=data.event_type)
    return Submission(command=command, answer_to=answer_to, traceparent=order.traceparent)
