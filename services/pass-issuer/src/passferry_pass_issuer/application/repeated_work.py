"""Pieces of a command's work, each done again where others were in the way of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from passferry_pass_issuer.application.job_ports import Errors
from passferry_pass_issuer.application.work import Work, Workbench
from passferry_runtime.logging import get_logger

log = get_logger(__name__)

#: Of one transaction; the service goes on meanwhile.
MAX_TRIES = 8
RETRY_PAUSE_S = 0.5

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class RepeatedWork:
    workbench: Workbench
    errors: Errors
    actor: str
    pause_s: float = RETRY_PAUSE_S

    async def __call__(self, workspace_id: UUID, do: Callable[[Work], Awaitable[Result]]) -> Result:
        """In a transaction of its own. What `do` returns counts only once that has committed."""
        tries = 0
        while True:
            tries += 1
            try:
                async with self.workbench.open([workspace_id], actor=self.actor) as work:
                    done = await do(work)
            except Exception as error:
                if tries >= MAX_TRIES or not self.errors.is_passing(error):
                    raise
                log.warning(
                    "command_tried_again",
                    actor=self.actor,
                    workspace_id=str(workspace_id),
                    error=type(error).__name__,
                )
                await asyncio.sleep(self.pause_s * tries)
            else:
                return done
