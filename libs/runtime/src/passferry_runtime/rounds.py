"""Work that comes round again and again, in one replica at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from passferry_runtime.lifecycle import Worker
from passferry_runtime.logging import get_logger

log = get_logger(__name__)


class Turns(Protocol):
    async def is_ours(self) -> bool:
        """Whether this replica is the one that works now."""
        ...

    def close(self) -> None: ...


def _nothing() -> None:
    return None


class Rounds:
    """`once` is called at start and then every `interval_s` until `stop`, while it is our turn.

    When it answers True, more is left to do, and the next round comes without a pause. `otherwise` is
    called in a round that is another replica's. A round that fails is logged by its class, and comes
    again with the next. Without a `turn`, this is the only replica.
    """

    def __init__(
        self,
        name: str,
        once: Callable[[], Awaitable[object]],
        *,
        interval_s: float,
        turn: Turns | None = None,
        otherwise: Callable[[], None] = _nothing,
    ) -> None:
        self._name = name
        self._once = once
        self._interval_s = interval_s
        self._turn = turn
        self._otherwise = otherwise
        self._stopping = asyncio.Event()
        self.worker = Worker(name=name, run=self.run, stop=self.stop)

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        try:
            while not self._stopping.is_set():
                is_more = await self._round()
                try:
                    async with asyncio.timeout(0 if is_more else self._interval_s):
                        await self._stopping.wait()
                except TimeoutError:
                    continue
        finally:
            if self._turn is not None:
                self._turn.close()

    async def _round(self) -> bool:
        try:
            if self._turn is None or await self._turn.is_ours():
                return await self._once() is True
            self._otherwise()
        except Exception as error:
            # The class alone: messages of drivers may quote addresses with passwords.
            log.warning("round_failed", worker=self._name, error=type(error).__name__)
        return False
