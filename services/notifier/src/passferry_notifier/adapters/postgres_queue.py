"""What deliveries and messages have alike as queues in Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from passferry_contracts.events.deliveries import DeliveryCompleted
from passferry_contracts.registry import DELIVERY_COMPLETED
from passferry_contracts.types import DeliveryOutcome
from passferry_notifier.application.ports import Completion
from passferry_notifier.domain.deliveries import Action, Delivery
from passferry_runtime.ids import derived_id
from passferry_runtime.postgres import Database, Transaction
from passferry_runtime.tracing import span

REMEMBER_WORKSPACES = """
INSERT INTO active_workspace (workspace_id) SELECT unnest($1::uuid[]) ORDER BY 1
ON CONFLICT DO NOTHING
"""

ACTIVE_WORKSPACES = "SELECT workspace_id FROM active_workspace ORDER BY 1"

RENEW = """
UPDATE {table} AS held SET next_attempt_at = $3
FROM unnest($1::uuid[], $2::uuid[]) AS given(workspace_id, delivery_id)
WHERE held.workspace_id = given.workspace_id AND held.delivery_id = given.delivery_id
    AND held.state = 'pending'
"""

RESCHEDULE = """
UPDATE {table} SET next_attempt_at = $2
WHERE workspace_id = $1 AND state = 'pending' AND reason IS NOT NULL AND next_attempt_at > $2
"""

PRUNE = """
DELETE FROM {table} AS ended USING (
    SELECT workspace_id, delivery_id FROM {table}
    WHERE workspace_id = ANY($1::uuid[]) AND state <> 'pending' AND completed_at < $2 LIMIT $3
) AS old
WHERE ended.workspace_id = old.workspace_id AND ended.delivery_id = old.delivery_id
"""


class PostgresQueue:
    """All of a `DeliveryQueue` but how an outcome is stored."""

    def __init__(self, database: Database, table: Literal["delivery", "google_message"]) -> None:
        self._database = database
        self._renew = RENEW.format(table=table)
        self._reschedule = RESCHEDULE.format(table=table)
        self._prune = PRUNE.format(table=table)

    async def active_workspaces(self) -> list[UUID]:
        async with self._database.transaction(()) as tx:
            rows = await tx.fetch(ACTIVE_WORKSPACES)
        return [row["workspace_id"] for row in rows]

    async def renew(self, deliveries: Sequence[Delivery], *, lease_until: datetime) -> None:
        async with self._database.transaction({each.workspace_id for each in deliveries}) as tx:
            await tx.execute(
                self._renew,
                [each.workspace_id for each in deliveries],
                [each.delivery_id for each in deliveries],
                lease_until,
            )

    async def reschedule(self, workspace_id: UUID, *, now: datetime) -> None:
        async with self._database.transaction({workspace_id}) as tx:
            await tx.execute(self._reschedule, workspace_id, now)

    async def prune(self, workspaces: Sequence[UUID], *, before: datetime, limit: int) -> int:
        async with self._database.transaction(workspaces) as tx:
            status = await tx.execute(self._prune, list(workspaces), before, limit)
        return int(status.rsplit(" ", 1)[-1])


def completion_columns(completions: Sequence[Completion]) -> tuple[list[Any], ...]:
    """Workspace, delivery, state, is silent, attempts, reason, next attempt: one array of each."""
    return (
        [each.delivery.workspace_id for each in completions],
        [each.delivery.delivery_id for each in completions],
        [each.state for each in completions],
        [each.verdict.action is Action.DELIVERED_SILENT for each in completions],
        [each.attempts for each in completions],
        [each.verdict.reason for each in completions],
        [each.next_attempt_at for each in completions],
    )


def tell_completed(
    tx: Transaction, completion: Completion, now: datetime, **subject: str | int | datetime | None
) -> None:
    """`subject`: what the event says of the revision and its target, or of the message."""
    delivery, verdict = completion.delivery, completion.verdict
    event = DeliveryCompleted.model_validate(
        {
            "workspace_id": delivery.workspace_id,
            "pass_id": delivery.pass_id,
            "delivery_id": delivery.delivery_id,
            "channel": delivery.channel,
            "notification_type": delivery.notification_type,
            "outcome": _outcome(completion),
            "reason": verdict.reason,
            "attempts": completion.attempts,
            "caused_at": delivery.caused_at,
            "completed_at": now,
            **subject,
        }
    )
    # A record that comes again is told of with the same id.
    event_id = str(derived_id("delivery.completed", str(delivery.delivery_id)))
    with span("complete delivery", parent=delivery.traceparent):
        tx.emit(DELIVERY_COMPLETED, event, event_id=event_id)


def _outcome(completion: Completion) -> DeliveryOutcome:
    is_silent = completion.verdict.action is Action.DELIVERED_SILENT
    return DeliveryOutcome.DELIVERED_SILENT if is_silent else _OUTCOMES[completion.state]


_OUTCOMES = {
    "delivered": DeliveryOutcome.DELIVERED,
    "dropped": DeliveryOutcome.DROPPED,
    "failed": DeliveryOutcome.FAILED,
}
