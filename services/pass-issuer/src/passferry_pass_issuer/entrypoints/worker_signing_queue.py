"""Signs what waited for an identity: at once after its upload, and now and then what is left."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from passferry_runtime.lifecycle import Worker
from passferry_runtime.logging import get_logger

log = get_logger(__name__)

RETRY_PAUSE_S = 5.0
LOOK_AGAIN_S = 60.0

SignWaitingPasses = Callable[[UUID, str], Awaitable[int]]
FindUnsignedPasses = Callable[[], Awaitable[Sequence[tuple[UUID, str]]]]


class SigningQueue:
    """Requests are few (uploads) and equal ones count once; the queue is lost with the process,
    which looks for whatever is left when it starts, and every `look_again_s` seconds."""

    def __init__(
        self,
        sign_waiting: SignWaitingPasses,
        find_unsigned: FindUnsignedPasses,
        *,
        look_again_s: float = LOOK_AGAIN_S,
    ) -> None:
        self._sign_waiting = sign_waiting
        self._find_unsigned = find_unsigned
        self._look_again_s = look_again_s
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
        await self._look()
        while not self._stopping:
            if not self._wanted:
                self._wake.clear()
                if not await self._woken(self._look_again_s):
                    await self._look()
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
                await self._woken(RETRY_PAUSE_S)
            return
        if signed:
            log.info("waiting_passes_signed", workspace_id=str(workspace_id), signed=signed)

    async def _look(self) -> None:
        try:
            found = await self._find_unsigned()
        except Exception as error:
            log.warning("waiting_passes_not_found", error=type(error).__name__)
            return
        for workspace_id, pass_type_identifier in found:
            self.request(workspace_id, pass_type_identifier)

    async def _woken(self, timeout_s: float) -> bool:
        try:
            await asyncio.wait_for(self._wake.wait(), timeout_s)
        except TimeoutError:
            return False
        return True
