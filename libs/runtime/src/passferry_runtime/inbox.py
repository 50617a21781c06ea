"""The inbox: which events a consumer has handled, kept with their effects."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from passferry_runtime.postgres import Transaction

CLAIM = """
INSERT INTO processed_events (workspace_id, consumer, event_key)
SELECT workspace_id, $1, event_key
FROM unnest($2::uuid[], $3::text[]) AS given(workspace_id, event_key)
ORDER BY workspace_id, event_key
ON CONFLICT DO NOTHING
RETURNING workspace_id, event_key
"""

FORGET = "DELETE FROM processed_events WHERE workspace_id = ANY($1::uuid[]) AND processed_at < $2"


async def claim_events(
    transaction: Transaction, *, consumer: str, events: Sequence[tuple[UUID, str]]
) -> set[tuple[UUID, str]]:
    """Mark `events` (workspace, event key) as handled; returns those that were not before.

    The mark commits with the effects, so an event that comes again finds it.
    """
    rows = await transaction.fetch(
        CLAIM, consumer, [workspace for workspace, _ in events], [key for _, key in events]
    )
    return {(row["workspace_id"], row["event_key"]) for row in rows}
