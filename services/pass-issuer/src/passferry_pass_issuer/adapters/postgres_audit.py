"""The audit log of the runtime, behind the use cases' port."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast
from uuid import UUID

from passferry_pass_issuer.application.ports import Transaction
from passferry_runtime import audit
from passferry_runtime.postgres import Transaction as PostgresTransaction


class PostgresAudit:
    async def record(
        self,
        transaction: Transaction,
        *,
        workspace_id: UUID,
        actor: str,
        action: str,
        target: str,
        before: Mapping[str, Any] | None,
        after: Mapping[str, Any] | None,
    ) -> None:
        await audit.record(
            # Of the port's transactions, production has this one kind.
            cast("PostgresTransaction", transaction),
            workspace_id=workspace_id,
            actor=actor,
            action=action,
            target=target,
            before=before,
            after=after,
        )
