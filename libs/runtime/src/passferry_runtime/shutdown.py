"""SIGTERM and SIGINT, and the bound on how long a process may take to go away."""

from __future__ import annotations

import asyncio
import os
import signal
import threading

from passferry_runtime.logging import get_logger

log = get_logger(__name__)

EXIT_CRASHED = 1


class Shutdown:
    """Until somebody waits for it, a signal ends the start; from then on it asks to drain."""

    def __init__(self, *, limit_s: float) -> None:
        self._limit_s = limit_s
        self._requested = asyncio.Event()
        self._starting: asyncio.Task[object] | None = None
        self._has_deadline = False

    def install(self) -> None:
        """Listen to the signals; call it in the task that starts the service."""
        self._starting = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.request)

    def request(self) -> None:
        self._requested.set()
        self.start_deadline()
        if self._starting is not None:
            self._starting.cancel()

    @property
    def is_requested(self) -> bool:
        return self._requested.is_set()

    async def wait(self) -> None:
        self._starting = None
        await self._requested.wait()

    def start_deadline(self) -> None:
        """From now on, the process ends within the limit, whatever hangs."""
        if self._has_deadline:
            return
        self._has_deadline = True
        # A thread, because a blocked event loop is one of the things that hang.
        timer = threading.Timer(self._limit_s, _give_up, [self._limit_s])
        timer.daemon = True
        timer.start()


def _give_up(limit_s: float) -> None:
    log.error("shutdown_took_too_long", limit_s=limit_s)
    os._exit(EXIT_CRASHED)
