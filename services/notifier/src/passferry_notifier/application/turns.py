"""One at a time of those who change the same thing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from passferry_notifier.domain.deliveries import Action, Verdict

#: For those of this process; among replicas as long once more.
PATIENCE_S = 20.0

#: Somebody else is writing the class.
CLASS_TAKEN = Verdict(action=Action.POSTPONED, reason="class_taken", retry_after_s=2.0)


class TurnTaken(Exception):
    """Others have been at it for so long that there is better to do than to wait."""


class ReplicaTurns(Protocol):
    def of(self, name: str) -> AbstractAsyncContextManager[None]:
        """One replica at a time; raises `TurnTaken`."""
        ...


@dataclass(slots=True)
class _Turn:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class Turns:
    """Holds nothing of what nobody waits for. Without `replicas`, this is the only process."""

    def __init__(
        self, replicas: ReplicaTurns | None = None, *, patience_s: float = PATIENCE_S
    ) -> None:
        self._turns: dict[Hashable, _Turn] = {}
        self._replicas = replicas
        self._patience_s = patience_s

    @asynccontextmanager
    async def of(self, key: Hashable) -> AsyncIterator[bool]:
        """In this process. Gives whether somebody else was at it; raises `TurnTaken`."""
        turn = self._turns.setdefault(key, _Turn())
        is_taken = turn.users > 0
        turn.users += 1
        try:
            await self._wait(turn.lock)
            try:
                yield is_taken
            finally:
                turn.lock.release()
        finally:
            turn.users -= 1
            if not turn.users:
                del self._turns[key]

    async def _wait(self, lock: asyncio.Lock) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                await lock.acquire()
        except TimeoutError as error:
            raise TurnTaken from error

    def of_object(self, workspace_id: UUID, name: str) -> AbstractAsyncContextManager[bool]:
        """One replica hears all of a pass."""
        return self.of((workspace_id, name))

    @asynccontextmanager
    async def of_class(self, workspace_id: UUID, class_id: str) -> AsyncIterator[None]:
        """Also among replicas: one may bring a version while another sends a message."""
        async with self.of((workspace_id, class_id)):
            if self._replicas is None:
                yield
                return
            async with self._replicas.of(f"class:{workspace_id}:{class_id}"):
                yield
