"""Applying commands, whichever way they came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from passferry_ledger.application.ports import (
    MAX_BATCH_COMMANDS,
    LedgerStore,
    Mode,
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
    #: A transaction keeps its accounts locked until all its commands are written, so that a longer
    #: one makes everybody else wait longer.
    max_batch: int = MAX_BATCH_COMMANDS

    async def __call__(self, submissions: Sequence[Submission]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for start in range(0, len(submissions), self.max_batch):
            outcomes.extend(await self.together(submissions[start : start + self.max_batch]))
        return outcomes

    async def together(
        self, submissions: Sequence[Submission], mode: Mode = Mode.EACH
    ) -> list[Outcome]:
        """In one transaction: at most MAX_BATCH_COMMANDS."""
        named = {submission.command.workspace_id for submission in submissions}
        suspended = {name for name in named if self.workspaces.is_suspended(name)}
        if mode is Mode.EACH:
            return await self.ledger.apply(submissions, suspended=suspended)
        return await self.ledger.apply(submissions, suspended=suspended, mode=mode)
