"""The runtime's turn, whose failures are a reason to try again."""

from __future__ import annotations

from passferry_ledger.adapters.postgres_availability import passing_when_unavailable
from passferry_runtime.postgres import Database
from passferry_runtime.turn import Turn


class PostgresTurn:
    def __init__(self, database: Database, name: str) -> None:
        self._turn = Turn(database, name)

    async def is_ours(self) -> bool:
        with passing_when_unavailable():
            return await self._turn.is_ours()

    def close(self) -> None:
        self._turn.close()
