"""Sealing entries some time after they were written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from passferry_runtime.errors import RetryLater
from passferry_runtime.logging import get_logger

log = get_logger(__name__)

#: Of one workspace in one round, so that none keeps the others waiting.
MAX_SEALS_PER_ROUND = 20


class SealStore(Protocol):
    def due(self, *, delay: timedelta) -> AsyncIterator[list[UUID]]:
        """Workspaces that have entries to seal, some at a time."""
        ...

    async def seal_next(self, workspace_id: UUID, *, delay: timedelta) -> int:
        """How many entries were sealed; 0 when there are none, or somebody else seals them."""
        ...


class SealEntries:
    """`run` does a round every `interval_s` until `stop`; entries rest for `delay_s` before."""

    def __init__(self, *, seals: SealStore, interval_s: float, delay_s: float) -> None:
        self._seals = seals
        self._interval_s = interval_s
        self._delay = timedelta(seconds=delay_s)
        self._stopping = asyncio.Event()
        self._is_behind = False

    async def run(self) -> None:
        while not self._stopping.is_set():
            try:
                await self.once()
            except RetryLater as error:
                self._is_behind = False
                log.warning("sealing_put_off", code=error.code)
            except Exception:
                # Nothing waits for seals; verify-chain tells what was not sealed within an hour.
                self._is_behind = False
                log.exception("sealing_failed")
            if self._is_behind:
                continue
            try:
                async with asyncio.timeout(self._interval_s):
                    await self._stopping.wait()
            except TimeoutError:
                continue

    def stop(self) -> None:
        self._stopping.set()

    async def once(self) -> int:
        """How many entries were sealed."""
        sealed = 0
        self._is_behind = False
        async for names in self._seals.due(delay=self._delay):
            for workspace_id in names:
                sealed += await self._seal(workspace_id)
        return sealed

    async def _seal(self, workspace_id: UUID) -> int:
        sealed = 0
        for _ in range(MAX_SEALS_PER_ROUND):
            count = 0
            if not self._stopping.is_set():
                count = await self._seals.seal_next(workspace_id, delay=self._delay)
            if count == 0:
                break
            sealed += count
        else:
            self._is_behind = True
        return sealed
