"""Signs what waited for an identity, after it was uploaded and again at the start."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from uuid import UUID

from passferry_runtime.lifecycle import Worker
from passferry_runtime.logging import get_logger

log = get_logger(__name__)

RETRY_PAUSE_S = 5.0

SignWaitingPasses = Callable[[UUID, str], Awaitable[int]]


class SigningQueue:
    """Requests are few (uploads) and equal ones count once; the queue is lost with the process,
    which asks for everything again when it starts."""

    def __init__(self, sign_waiting: SignWaitingPasses) -> None:
        self._sign_waiting = sign_waiting
        self._wanted: OrderedDict[tuple[UUID, str], None] = OrderedDict()
        self._wake = asyncio.Event()
        self._stopping = False
        self.worker = Worker(name="signing-queue", run=self.run, stop=self.stop)

    def request(self, workspace_id: UUID, pass_type_identifier: str) -> None:
        self._wanted[(workspace_id, pass_type_identifier)] = None
        self._wake.set()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        while not self._stopping:
            if not self._wanted:
                self._wake.clear()
                await self._wake.wait()
                continue
            (workspace_id, pass_type_identifier), _ = self._wanted.popitem(last=False)
            await self._sign(workspace_id, pass_type_identifier)

    async def _sign(self, workspace_id: UUID, pass_type_identifier: str) -> None:
        try:
            signed = await self._sign_waiting(workspace_id, pass_type_identifier)
        except Exception as error:
            log.warning(
                "waiting_passes_not_signed",
                workspace_id=str(workspace_id),
                error=type(error).__name__,
            )
            self.request(workspace_id, pass_type_identifier)
            self._wake.clear()
            if not self._stopping:
                await self._pause()
            return
        if signed:
            log.info("waiting_passes_signed", workspace_id=str(workspace_id), signed=signed)

    async def _pause(self) -> None:
        try:
            await asyncio.wait_for(self._wake.wait(), RETRY_PAUSE_S)
        except TimeoutError:
            return
