"""Sends what is due: what failed before, what waited for a credential, what a dead replica left."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from passferry_notifier.application.batches import in_batches
from passferry_notifier.application.dispatch import Dispatcher
from passferry_notifier.application.ports import CredentialDirectory, DeliveryQueue
from passferry_notifier.application.record_outcomes import Recorder
from passferry_runtime.clock import Clock
from passferry_runtime.logging import get_logger

log = get_logger(__name__)

POLL_INTERVAL_S = 0.25
PRUNE_INTERVAL_S = 600.0
WORKSPACES_AT_ONCE = 500
PRUNE_WORKSPACES_AT_ONCE = 50
MAX_PRUNED_AT_ONCE = 5_000
RENEW_AT_ONCE = 5_000
DRAIN_TIMEOUT_S = 12.0
MAX_BACKLOG = 10_000

Claim = Callable[[Sequence[UUID], Any, Any], Awaitable[int]]


@dataclass(kw_only=True)
class Channel:
    """One way out: claims due deliveries of some workspaces and hands them to its dispatcher."""

    dispatcher: Dispatcher[Any]
    claim_due: Claim


@dataclass(slots=True)
class _Change:
    """`left`: of those that were tried before it, whose outcome is not stored; None at first."""

    left: set[UUID] | None = None


@dataclass(kw_only=True)
class KeepSending:
    """Runs until stopped: claims, renews leases, stores outcomes, and prunes beside it."""

    channels: Sequence[Channel]
    deliveries: DeliveryQueue
    recorder: Recorder
    credentials: CredentialDirectory
    clock: Clock
    lease_s: float
    retention: timedelta
    _changed: dict[UUID, _Change] = field(default_factory=dict)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _renewed_at: float = 0.0

    def credentials_changed(self, workspace_id: UUID) -> None:
        """What waited for a credential of this workspace is tried soon."""
        self._changed[workspace_id] = _Change()

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        recording = asyncio.create_task(self.recorder.run())
        pruning = asyncio.create_task(self._keep_pruning())
        try:
            await self._until_credentials_are_known()
            while not self._stopping.is_set():
                if recording.done():
                    await recording
                found = await self._round()
                if not found:
                    await self._pause(POLL_INTERVAL_S)
            for channel in self.channels:
                await channel.dispatcher.drain(DRAIN_TIMEOUT_S)
            self.recorder.stop()
            await recording
        finally:
            for task in (recording, pruning):
                task.cancel()
            await asyncio.gather(recording, pruning, return_exceptions=True)

    async def _until_credentials_are_known(self) -> None:
        known = asyncio.create_task(self.credentials.until_known())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({known, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in (known, stopping):
            task.cancel()
        await asyncio.gather(known, stopping, return_exceptions=True)

    async def _round(self) -> int:
        """One look at everything; returns how many deliveries were due."""
        try:
            workspaces = await self.deliveries.active_workspaces()
            await self._reschedule()
            await self._renew()
            found = 0
            for batch in in_batches(workspaces, WORKSPACES_AT_ONCE):
                found += await self._claim(batch)
        except Exception as error:
            # The database may be away; what is due stays due.
            log.warning("due_deliveries_not_read", error=type(error).__name__)
            await self._pause(1.0)
            return 0
        for channel in self.channels:
            channel.dispatcher.sweep()
        return found

    async def _claim(self, workspaces: Sequence[UUID]) -> int:
        now = self.clock.now()
        lease_until = now + timedelta(seconds=self.lease_s)
        found = 0
        for channel in self.channels:
            if channel.dispatcher.has_room and self.recorder.backlog < MAX_BACKLOG:
                found += await channel.claim_due(workspaces, now, lease_until)
        return found

    async def _reschedule(self) -> None:
        """And again when what was tried with the credential of before is stored: that it is to
        wait was decided too early."""
        underway = self._underway() if self._changed else {}
        for workspace_id, change in list(self._changed.items()):
            left = underway[workspace_id]
            if change.left is not None:
                left = left & change.left
                if left == change.left:
                    continue
            await self.deliveries.reschedule(workspace_id, now=self.clock.now())
            if self._changed[workspace_id] is not change:
                continue  # changed once more meanwhile
            if left:
                change.left = left
            else:
                del self._changed[workspace_id]

    def _underway(self) -> Mapping[UUID, set[UUID]]:
        """Deliveries that are held here, or whose outcome is, by workspace."""
        found: dict[UUID, set[UUID]] = defaultdict(set)
        held = (each for channel in self.channels for each in channel.dispatcher.held())
        for delivery in (*held, *self.recorder.unstored()):
            found[delivery.workspace_id].add(delivery.delivery_id)
        return found

    async def _renew(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._renewed_at < self.lease_s / 3:
            return
        held = [each for channel in self.channels for each in channel.dispatcher.held()]
        lease_until = self.clock.now() + timedelta(seconds=self.lease_s)
        for batch in in_batches(held, RENEW_AT_ONCE):
            await self.deliveries.renew(batch, lease_until=lease_until)
        self._renewed_at = now

    async def _keep_pruning(self) -> None:
        """Beside the rounds: what is due, and leases, wait for no deletion."""
        while not self._stopping.is_set():
            try:
                for batch in in_batches(
                    await self.deliveries.active_workspaces(), PRUNE_WORKSPACES_AT_ONCE
                ):
                    await self._prune(batch)
            except Exception as error:
                log.warning("ended_deliveries_not_pruned", error=type(error).__name__)
            await self._pause(PRUNE_INTERVAL_S)

    async def _prune(self, workspaces: Sequence[UUID]) -> None:
        """One batch that fails keeps no other from being pruned."""
        before = self.clock.now() - self.retention
        pruned = MAX_PRUNED_AT_ONCE
        try:
            while pruned >= MAX_PRUNED_AT_ONCE and not self._stopping.is_set():
                pruned = await self.deliveries.prune(
                    workspaces, before=before, limit=MAX_PRUNED_AT_ONCE
                )
        except Exception as error:
            log.warning("ended_deliveries_not_pruned", error=type(error).__name__)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
