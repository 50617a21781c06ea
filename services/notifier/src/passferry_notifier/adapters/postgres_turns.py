"""Turns of replicas: an advisory lock of Postgres for as long as Google is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from passferry_notifier.application.turns import TurnTaken
from passferry_runtime.postgres import Database
from passferry_runtime.turn import Turn

#: Each has a connection of its own, and classes are rarely written.
MAX_AT_ONCE = 8
PATIENCE_S = 20.0
PAUSE_S = 0.05


class PostgresReplicaTurns:
    def __init__(self, database: Database, *, patience_s: float = PATIENCE_S) -> None:
        self._database = database
        self._patience_s = patience_s
        self._room = asyncio.Semaphore(MAX_AT_ONCE)

    @asynccontextmanager
    async def of(self, name: str) -> AsyncIterator[None]:
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(self._patience_s) as patience:
                    await held.enter_async_context(self._room)
                    turn = Turn(self._database, name)
                    held.callback(turn.close)
                    while not await turn.is_ours():  # noqa: ASYNC110  # another process tells nobody here
                        await asyncio.sleep(PAUSE_S)
            except TimeoutError as error:
                # A database that does not answer in time is away: nobody has the turn.
                if not patience.expired():
                    raise
                raise TurnTaken from error
            yield
