"""Looks after classes that wait for a credential, for as long as the service runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from passferry_notifier.application.batches import in_batches
from passferry_notifier.application.bring_classes import (
    BringClasses,
    WaitingClasses,
    WaitingGroup,
)
from passferry_notifier.application.ports import CredentialDirectory, DeliveryQueue
from passferry_runtime.clock import Clock
from passferry_runtime.logging import get_logger

log = get_logger(__name__)

POLL_INTERVAL_S = 0.5
WORKSPACES_AT_ONCE = 500
#: Of them one class at a time.
BRINGING_AT_ONCE = 4
#: Who loses it does no harm.
LEASE_S = 120.0
#: For some classes of a workspace: nobody goes on when others may have taken them.
WORKSPACE_TIMEOUT_S = 100.0


@dataclass(kw_only=True)
class KeepClasses:
    waiting: WaitingClasses
    bring: BringClasses
    deliveries: DeliveryQueue
    credentials: CredentialDirectory
    clock: Clock
    workspace_timeout_s: float = WORKSPACE_TIMEOUT_S
    #: As of the last look.
    groups: Sequence[WaitingGroup] = ()
    #: Workspaces whose classes are due; each is there once, and of those that are under way none.
    _due: asyncio.Queue[UUID] = field(default_factory=asyncio.Queue)
    _queued: set[UUID] = field(default_factory=set)
    _underway: set[UUID] = field(default_factory=set)
    _changed: set[UUID] = field(default_factory=set)
    #: Of those under way: they may yet be refused with the credential of before.
    _changed_underway: set[UUID] = field(default_factory=set)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def credentials_changed(self, workspace_id: UUID) -> None:
        """Classes of this workspace are tried soon."""
        self._changed.add(workspace_id)

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        working = asyncio.create_task(self._work())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                await working
        finally:
            # What is half written is written once more when its lease has passed.
            for task in (working, stopping):
                task.cancel()
            await asyncio.gather(working, stopping, return_exceptions=True)

    async def _work(self) -> None:
        await self.credentials.until_known()
        async with asyncio.TaskGroup() as group:
            group.create_task(_forever(self._make_due, pause_s=POLL_INTERVAL_S))
            group.create_task(_forever(self._find, pause_s=POLL_INTERVAL_S))
            for _ in range(BRINGING_AT_ONCE):
                group.create_task(_forever(self._bring_next))

    async def _make_due(self) -> None:
        changed, self._changed = self._changed, set()
        self._changed_underway |= changed & self._underway
        try:
            for some in in_batches(sorted(changed), WORKSPACES_AT_ONCE):
                await self.waiting.make_due(some, now=self.clock.now())
        except BaseException:
            self._changed |= changed
            raise

    async def _find(self) -> None:
        """Those that wait longest first, but behind all that were found before."""
        workspaces = await self.deliveries.active_workspaces()
        self.groups = [
            group
            for some in in_batches(workspaces, WORKSPACES_AT_ONCE)
            for group in await self.waiting.groups(some)
        ]
        now = self.clock.now()
        for each in sorted(self.groups, key=lambda each: each.due_at):
            workspace_id = each.workspace_id
            is_taken = workspace_id in self._queued or workspace_id in self._underway
            if each.due_at <= now and not is_taken:
                self._queued.add(workspace_id)
                self._due.put_nowait(workspace_id)

    async def _bring_next(self) -> None:
        workspace_id = await self._due.get()
        self._queued.discard(workspace_id)
        self._underway.add(workspace_id)
        try:
            async with asyncio.timeout(self.workspace_timeout_s):
                await self._bring(workspace_id)
        finally:
            self._underway.discard(workspace_id)
            if workspace_id in self._changed_underway:
                self._changed_underway.discard(workspace_id)
                self._changed.add(workspace_id)

    async def _bring(self, workspace_id: UUID) -> None:
        now = self.clock.now()
        lease_until = now + timedelta(seconds=LEASE_S)
        claimed = await self.waiting.claim([workspace_id], now=now, lease_until=lease_until)
        await self.bring.again(claimed)


async def _forever(step: Callable[[], Awaitable[None]], *, pause_s: float = 0.0) -> None:
    while True:
        try:
            await step()
        except Exception as error:
            # The database may be away; what waits goes on waiting.
            log.warning("waiting_classes_not_brought", error=type(error).__name__)
        await asyncio.sleep(pause_s)
