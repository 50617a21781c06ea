"""One at a time of those who change the same thing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Turn:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class Turns:
    """Holds nothing of what nobody waits for."""

    def __init__(self) -> None:
        self._turns: dict[Hashable, _Turn] = {}

    @asynccontextmanager
    async def of(self, key: Hashable) -> AsyncIterator[bool]:
        """Gives whether somebody else was at it."""
        turn = self._turns.setdefault(key, _Turn())
        is_taken = turn.users > 0
        turn.users += 1
        try:
            async with turn.lock:
                yield is_taken
        finally:
            turn.users -= 1
            if not turn.users:
                del self._turns[key]
