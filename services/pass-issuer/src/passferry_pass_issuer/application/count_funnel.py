"""Counts how far passes come, from what phones and the web service told: once for each event."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Protocol
from uuid import UUID

from passferry_contracts.event import PassEvent
from passferry_contracts.events.wallet import (
    DeviceRegistered,
    DeviceUnregistered,
    PassDownloaded,
    PassInstalled,
    PassLinkOpened,
    PassUninstalled,
)
from passferry_pass_issuer.application.apply_events import GivenEvent
from passferry_pass_issuer.application.ports import Transaction, Transactions
from passferry_pass_issuer.domain.funnel import (
    APPLE,
    FunnelLine,
    FunnelPass,
    Moment,
    Step,
    advance,
)

PassKey = tuple[UUID, UUID]
#: What somebody did; a device is also let go of when its pass is deleted or its token replaced.
_REMOVALS = frozenset({"requested", "token_gone"})
#: Of a pass that somebody else's web service told to be on a phone.
_TOLD = "told"
_DIGEST_CHARACTERS = 16


@dataclass(frozen=True, slots=True)
class CountKey:
    workspace_id: UUID
    program_id: UUID
    day: date
    template_id: UUID
    label: str
    step: Step
    platform: str

    @property
    def order(self) -> tuple[str, ...]:
        """Everybody adds in this order, so that nobody waits in a circle."""
        return tuple(str(getattr(self, name)) for name in self.__dataclass_fields__)


class FunnelStore(Protocol):
    async def claim(
        self, transaction: Transaction, events: Sequence[tuple[UUID, str]]
    ) -> set[tuple[UUID, str]]:
        """Those that were not counted before."""

    async def lock(
        self, transaction: Transaction, keys: Collection[PassKey]
    ) -> dict[PassKey, FunnelPass]:
        """Rows of the passes that exist, made where they are missing."""

    async def labels(
        self, transaction: Transaction, links: Collection[tuple[UUID, UUID]]
    ) -> Mapping[tuple[UUID, UUID], str]: ...

    async def store(self, transaction: Transaction, rows: Sequence[FunnelPass]) -> None: ...

    async def add(
        self, transaction: Transaction, counts: Sequence[tuple[CountKey, int, int]]
    ) -> None:
        """(key, passes, events) each."""

    async def lines(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        program_id: UUID,
        first: date,
        last: date,
    ) -> list[FunnelLine]: ...


@dataclass(frozen=True, kw_only=True)
class CountFunnel:
    """One transaction for a batch that may span workspaces. An event of a pass that is not there
    any more counts for nothing."""

    transactions: Transactions
    store: FunnelStore

    async def __call__(self, events: Sequence[GivenEvent]) -> None:
        moments = [
            (event, moment) for event in events if (moment := _moment(event.data)) is not None
        ]
        if not moments:
            return
        workspaces = {event.data.workspace_id for event, _ in moments}
        async with self.transactions.transaction(workspaces) as transaction:
            claimed = await self.store.claim(
                transaction, [(event.data.workspace_id, event.event_id) for event, _ in moments]
            )
            fresh: list[tuple[GivenEvent, Moment]] = []
            for event, moment in moments:
                mark = (event.data.workspace_id, event.event_id)
                if mark in claimed:
                    # Once in a batch, too.
                    claimed.discard(mark)
                    fresh.append((event, moment))
            if fresh:
                await self._count(transaction, fresh)

    async def _count(
        self, transaction: Transaction, fresh: Sequence[tuple[GivenEvent, Moment]]
    ) -> None:
        rows = await self.store.lock(transaction, {event.key for event, _ in fresh})
        links = {
            (event.data.workspace_id, event.data.link_id)
            for event, _ in fresh
            if isinstance(event.data, PassLinkOpened) and event.data.link_id is not None
        }
        labels = await self.store.labels(transaction, links) if links else {}
        sums: dict[CountKey, list[int]] = defaultdict(lambda: [0, 0])
        changed: dict[PassKey, FunnelPass] = {}
        for event, told in fresh:
            row = rows.get(event.key)
            if row is None:
                continue
            moment = _labelled(told, event.data, labels)
            after, counts = advance(row, moment)
            if after is not row:
                rows[event.key] = changed[event.key] = after
            for count in counts:
                key = CountKey(
                    after.workspace_id,
                    after.program_id,
                    moment.day,
                    after.template_id,
                    after.label,
                    count.step,
                    count.platform,
                )
                sums[key][0] += count.passes
                sums[key][1] += count.events
        await self.store.store(transaction, list(changed.values()))
        ordered = sorted(sums, key=lambda key: key.order)
        await self.store.add(transaction, [(key, sums[key][0], sums[key][1]) for key in ordered])


def _labelled(moment: Moment, event: PassEvent, labels: Mapping[tuple[UUID, UUID], str]) -> Moment:
    if not isinstance(event, PassLinkOpened) or event.link_id is None:
        return moment
    label = labels.get((event.workspace_id, event.link_id))
    return Moment(step=moment.step, platform=moment.platform, day=moment.day, label=label)


def _moment(event: PassEvent) -> Moment | None:
    """What the event tells of the way of a pass; most events tell nothing of it."""
    match event:
        case PassLinkOpened():
            return Moment(step=Step.OPENED, platform=event.platform, day=_day(event.occurred_at))
        case PassDownloaded():
            day = _day(event.occurred_at)
            return Moment(step=Step.DOWNLOADED, platform=event.platform, day=day)
        case PassInstalled() | PassUninstalled():
            is_installed = isinstance(event, PassInstalled)
            return Moment(
                step=Step.INSTALLED if is_installed else Step.REMOVED,
                platform=event.platform,
                day=_day(event.occurred_at),
                device=_TOLD,
            )
        case DeviceRegistered():
            return Moment(
                step=Step.INSTALLED,
                platform=APPLE,
                day=_day(event.registered_at),
                device=_digest(event.device_library_identifier),
                is_counted=event.is_new,
            )
        case DeviceUnregistered():
            return Moment(
                step=Step.REMOVED,
                platform=APPLE,
                day=_day(event.unregistered_at),
                device=_digest(event.device_library_identifier),
                is_counted=event.reason in _REMOVALS,
            )
        case _:
            return None


def _day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()


def _digest(device_library_identifier: str) -> str:
    return hashlib.sha256(device_library_identifier.encode()).hexdigest()[:_DIGEST_CHARACTERS]
