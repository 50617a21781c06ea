"""Watches the topics, to tell how long each hop took and what became of everything."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from passferry_contracts.events.balances import PassBalanceChanged
from passferry_contracts.events.deliveries import DeliveryCompleted
from passferry_contracts.events.ledger import CommandCompleted
from passferry_contracts.events.rendered import PassRendered
from passferry_contracts.events.wallet import PassPublished
from passferry_contracts.registry import (
    DELIVERY_COMPLETED,
    LEDGER_RESULTS,
    PASS_BALANCE_CHANGED,
    PASS_RENDERED,
    SERVICES,
    WALLET_ACTIVITY,
)
from passferry_contracts.types import Channel, DeliveryOutcome
from passferry_runtime.kafka.replay import DeadLetter, read_dead_letters
from passferry_runtime.kafka.settings import KafkaSettings
from passferry_testing.harness import EventRecorder

WATCHED = (
    PASS_BALANCE_CHANGED,
    PASS_RENDERED,
    WALLET_ACTIVITY,
    DELIVERY_COMPLETED,
    LEDGER_RESULTS,
)


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Milliseconds."""

    p50: float
    p95: float
    p99: float
    number: int

    @classmethod
    def of(cls, milliseconds: Iterable[float]) -> Percentiles:
        ordered = sorted(milliseconds)
        if not ordered:
            return cls(0.0, 0.0, 0.0, 0)

        def at(share: float) -> float:
            return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

        return cls(at(0.50), at(0.95), at(0.99), len(ordered))

    def __str__(self) -> str:
        return f"p50 {self.p50:.0f} ms, p95 {self.p95:.0f} ms, p99 {self.p99:.0f} ms"


@dataclass(frozen=True, slots=True)
class Hops:
    """The way of the changes whose revision was rung: each hop, and all of it."""

    render: Percentiles
    publish: Percentiles
    push: Percentiles
    total: Percentiles


class Observatory:
    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self.recorder = EventRecorder(kafka, WATCHED)

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[Observatory]:
        task = asyncio.create_task(self._watch())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(Exception):
                # The reader itself rides out a broker that restarts; this is for the rest.
                await self.recorder.run()
            self.recorder.records.clear()
            await asyncio.sleep(0.5)

    def deliveries(self, channel: Channel) -> list[DeliveryCompleted]:
        found = self.recorder.payloads(DeliveryCompleted)
        return [each for each in found if each.channel is channel]

    def balance_changes(self) -> list[PassBalanceChanged]:
        return self.recorder.payloads(PassBalanceChanged)

    def results(self) -> Counter[str]:
        counted: Counter[str] = Counter()
        for each in self.recorder.payloads(CommandCompleted):
            counted["replayed" if each.replayed else each.code or "applied"] += 1
        return counted

    def hops(self, since: datetime) -> Hops:
        """Of rings whose cause was committed after `since`."""
        rendered = _first(self.recorder.payloads(PassRendered))
        published = _first(self.recorder.payloads(PassPublished))
        render, publish, push, total = [], [], [], []
        for each in self.deliveries(Channel.APPLE_WALLET):
            if each.outcome is not DeliveryOutcome.DELIVERED or each.revision is None:
                continue
            first = rendered.get((each.pass_id, each.revision))
            second = published.get((each.pass_id, each.revision))
            if not isinstance(first, PassRendered) or not isinstance(second, PassPublished):
                continue
            if first.caused_at < since:
                continue
            render.append(_ms(first.caused_at, first.rendered_at))
            publish.append(_ms(first.rendered_at, second.published_at))
            push.append(_ms(second.published_at, each.completed_at))
            total.append(_ms(first.caused_at, each.completed_at))
        return Hops(*(Percentiles.of(each) for each in (render, publish, push, total)))

    async def dead_letters(self) -> list[tuple[str, DeadLetter]]:
        found = []
        for service in SERVICES:
            found += [(service, each) for each in await read_dead_letters(self._kafka, service)]
        return found


def _first(
    events: Sequence[PassRendered] | Sequence[PassPublished],
) -> dict[tuple[UUID, int], PassRendered | PassPublished]:
    """The first record of each revision: it may be sent again with a signature."""
    found: dict[tuple[UUID, int], PassRendered | PassPublished] = {}
    for each in events:
        found.setdefault((each.pass_id, each.revision), each)
    return found


def _ms(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds() * 1000)
