"""The append-only audit of who changed what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from passferry_runtime.postgres import Transaction

INSERT = """
INSERT INTO audit_log (workspace_id, actor, action, target, before, after)
VALUES ($1, $2, $3, $4, $5::jsonb, $6::jsonb)
"""


async def record(
    transaction: Transaction,
    *,
    workspace_id: UUID,
    actor: str,
    action: str,
    target: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """One row in the same transaction as the change. Give no secrets and no personal data."""
    await transaction.execute(
        INSERT, workspace_id, actor, action, target, _json(before), _json(after)
    )


def _json(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(value, default=str, sort_keys=True)
