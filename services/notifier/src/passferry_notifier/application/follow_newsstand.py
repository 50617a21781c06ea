"""Follows the newsstand: publications and devices, in order per pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from passferry_notifier.application.ports import (
    PassKey,
    Publication,
    PushTokenCache,
    Registration,
    Removal,
    RingStore,
)
from passferry_notifier.application.ring_devices import RingDevices
from passferry_runtime.clock import Clock

Change = Publication | Registration | Removal


@dataclass(frozen=True, kw_only=True)
class FollowNewsstand:
    """Makes deliveries durable, then has them sent."""

    store: RingStore
    cache: PushTokenCache
    ring_devices: RingDevices
    clock: Clock
    lease_s: float

    async def __call__(self, changes: Sequence[Change]) -> None:
        for changes_of_round in rounds(changes):
            await self._take(changes_of_round)

    async def _take(self, changes: Sequence[Change]) -> None:
        now = self.clock.now()
        lease_until = now + timedelta(seconds=self.lease_s)
        publications = [each for each in changes if isinstance(each, Publication)]
        registrations = [each for each in changes if isinstance(each, Registration)]
        removals = [each for each in changes if isinstance(each, Removal)]
        if removals:
            await self.store.unregister(removals, now=now)
            await self._invalidate(removals)
        if registrations:
            late = await self.store.register(registrations, now=now, lease_until=lease_until)
            await self._invalidate(registrations)
            await self.ring_devices(late, are_complete=False)
        if publications:
            rings = await self.store.publish(publications, now=now, lease_until=lease_until)
            await self.ring_devices(rings, are_complete=True)

    async def forget_pass(self, workspace_id: UUID, pass_id: UUID) -> None:
        await self.store.forget_pass(workspace_id, pass_id)
        await self.cache.invalidate([(workspace_id, pass_id)])

    async def _invalidate(self, changes: Sequence[Registration | Removal]) -> None:
        await self.cache.invalidate({(each.workspace_id, each.pass_id) for each in changes})


def rounds(changes: Sequence[Change]) -> list[list[Change]]:
    """Changes that may be handled together: each pass once in a round, in its order.

    Of publications of a pass that follow one another the newest stands for all.
    """
    found: list[dict[PassKey, Change]] = []
    last_round: dict[PassKey, int] = {}
    for change in changes:
        key = (change.workspace_id, change.pass_id)
        number = last_round.get(key, -1)
        before = found[number][key] if number >= 0 else None
        if isinstance(change, Publication) and isinstance(before, Publication):
            if change.revision > before.revision:
                found[number][key] = change
            continue
        number += 1
        if number == len(found):
            found.append({})
        found[number][key] = change
        last_round[key] = number
    return [list(changes_of_round.values()) for changes_of_round in found]
