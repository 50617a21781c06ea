"""Looks after classes that wait for a credential, for as long as the service runs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from passferry_notifier.application.bring_classes import (
    BringClasses,
    WaitingClass,
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
#: Longer than some classes of a workspace take; who loses it does no harm.
LEASE_S = 120.0

Item = TypeVar("Item")


@dataclass(kw_only=True)
class KeepClasses:
    waiting: WaitingClasses
    bring: BringClasses
    deliveries: DeliveryQueue
    credentials: CredentialDirectory
    clock: Clock
    #: As of the last look.
    groups: Sequence[WaitingGroup] = ()
    _changed: set[UUID] = field(default_factory=set)
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
        while True:
            try:
                await self._round()
            except Exception as error:
                # The database may be away; what waits goes on waiting.
                log.warning("waiting_classes_not_brought", error=type(error).__name__)
            await asyncio.sleep(POLL_INTERVAL_S)

    async def _round(self) -> None:
        await self._make_due()
        workspaces = await self.deliveries.active_workspaces()
        found = [
            group
            for some in _in_batches(workspaces, WORKSPACES_AT_ONCE)
            for group in await self.waiting.groups(some)
        ]
        self.groups = found
        now = self.clock.now()
        due = [each for each in sorted(found, key=lambda each: each.due_at) if each.due_at <= now]
        await self._bring(list(dict.fromkeys(each.workspace_id for each in due)))

    async def _make_due(self) -> None:
        changed, self._changed = self._changed, set()
        try:
            for some in _in_batches(sorted(changed), WORKSPACES_AT_ONCE):
                await self.waiting.make_due(some, now=self.clock.now())
        except BaseException:
            self._changed |= changed
            raise

    async def _bring(self, workspaces: Sequence[UUID]) -> None:
        """Those that wait longest first; nobody's slow answers hold up more than a few others."""
        for some in _in_batches(workspaces, BRINGING_AT_ONCE):
            now = self.clock.now()
            lease_until = now + timedelta(seconds=LEASE_S)
            claimed = await self.waiting.claim(some, now=now, lease_until=lease_until)
            by_workspace: dict[UUID, list[WaitingClass]] = {}
            for each in claimed:
                by_workspace.setdefault(each.row.workspace_id, []).append(each)
            async with asyncio.TaskGroup() as group:
                for classes in by_workspace.values():
                    group.create_task(self.bring.again(classes))


def _in_batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
