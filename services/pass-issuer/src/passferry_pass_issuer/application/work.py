"""One piece of administrative work: a transaction, who does it, and what follows its commit."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from passferry_pass_issuer.application.ports import Transaction, Transactions
from passferry_runtime.clock import Clock


class Audit(Protocol):
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
        """Append-only. `before` and `after` hold no secrets and nothing personal."""


@dataclass(kw_only=True)
class Work:
    transaction: Transaction
    #: `api_key:<id>`, or `event:<type>` for what came by Kafka.
    actor: str
    now: datetime
    audit_log: Audit
    after_commit: list[Callable[[], None]] = field(default_factory=list)

    async def audit(
        self,
        workspace_id: UUID,
        action: str,
        target: object,
        *,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        await self.audit_log.record(
            self.transaction,
            workspace_id=workspace_id,
            actor=self.actor,
            action=action,
            target=str(target),
            before=before,
            after=after,
        )


@dataclass(frozen=True, kw_only=True)
class Workbench:
    """Opens work; the edges use it, so that a use case never commits by itself."""

    transactions: Transactions
    audit_log: Audit
    clock: Clock

    @asynccontextmanager
    async def open(self, workspace_ids: Iterable[UUID], *, actor: str) -> AsyncIterator[Work]:
        async with self.transactions.transaction(workspace_ids) as transaction:
            work = self.around(transaction, actor=actor)
            yield work
        for follow_up in work.after_commit:
            follow_up()

    def around(self, transaction: Transaction, *, actor: str) -> Work:
        """Work in a transaction that someone else opened; that one runs `after_commit`."""
        return Work(
            transaction=transaction,
            actor=actor,
            now=self.clock.now(),
            audit_log=self.audit_log,
        )
