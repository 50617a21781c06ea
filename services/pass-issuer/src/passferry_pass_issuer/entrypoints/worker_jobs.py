"""Goes on with background work while there is some, and looks for more now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from passferry_runtime.lifecycle import Worker
from passferry_runtime.logging import get_logger

log = get_logger(__name__)

LOOK_S = 1.0
#: While much is waiting to be sent, or a job waits for its next step.
SHORT_LOOK_S = 0.1
RETRY_S = 5.0


class JobWorker:
    """One step at a time in this process, so that live work has the rest of it."""

    def __init__(self) -> None:
        self._once: Callable[[], Awaitable[bool]] | None = None
        self._wake = asyncio.Event()
        self._stopping = False
        self.worker = Worker(name="jobs", run=self.run, stop=self.stop)

    def give(self, once: Callable[[], Awaitable[bool]]) -> None:
        """What does one step; false when there was none to do."""
        self._once = once

    def wake(self) -> None:
        self._wake.set()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        pause_s = LOOK_S
        while not self._stopping:
            did_something, failed = await self._try()
            if did_something:
                pause_s = SHORT_LOOK_S
                # A step is synchronous for a while: what waited for it goes first.
                await asyncio.sleep(0)
                continue
            await self._rest(RETRY_S if failed else pause_s)
            pause_s = min(2 * pause_s, LOOK_S)

    async def _try(self) -> tuple[bool, bool]:
        try:
            return self._once is not None and await self._once(), False
        except Exception as error:
            log.warning("jobs_not_looked_at", error=type(error).__name__)
            return False, True

    async def _rest(self, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()
