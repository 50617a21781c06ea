"""Applying commands, whichever way they came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from passferry_ledger.application.ports import (
    MAX_BATCH_COMMANDS,
    LedgerStore,
    Submission,
    Workspaces,
)
from passferry_ledger.domain.outcomes import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyCommands:
    """One outcome per submission, in their order. Effects and events commit together.

    Raises `RetryLater` when the store cannot be reached: then some outcomes may be decided, and
    asking again under the same keys tells them.
    """

    ledger: LedgerStore
    workspaces: Workspaces

    async def __call__(self, submissions: Sequence[Submission]) -> list[Outcome]:
        named = {submission.command.workspace_id for submission in submissions}
        suspended = {name for name in named if self.workspaces.is_suspended(name)}
        outcomes: list[Outcome] = []
        for start in range(0, len(submissions), MAX_BATCH_COMMANDS):
            batch = submissions[start : start + MAX_BATCH_COMMANDS]
            outcomes.extend(await self.ledger.apply(batch, suspended=suspended))
        return outcomes
