"""What the bridge hears from Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from passferry_contracts.event import PassEvent
from passferry_contracts.events.wallet import (
    DeviceRegistered,
    DeviceUnregistered,
    PassInstalled,
    PassUninstalled,
)
from passferry_contracts.registry import (
    PASS_BALANCE_CHANGED,
    PASS_CREATED,
    PASS_REDEEMED,
    PASS_UPDATED,
    WALLET_ACTIVITY,
)
from passferry_event_bridge.application.take_events import TakeEvents
from passferry_event_bridge.domain.known_pass import Fact
from passferry_runtime.kafka.records import Incoming, Outcome, Route

#: The rest of `wallet.activity` says nothing that a sink is told.
FORWARDED_ACTIVITY = (DeviceRegistered, DeviceUnregistered, PassInstalled, PassUninstalled)
#: When an event happened, by the first of these fields that it has.
TIMES = (
    "created_at",
    "changed_at",
    "redeemed_at",
    "occurred_at",
    "registered_at",
    "unregistered_at",
)


def routes(take: TakeEvents) -> list[Route]:
    async def take_events(batch: Sequence[Incoming]) -> Sequence[Outcome]:
        return await take([(fact_of(each), each.record) for each in batch])

    async def take_activity(batch: Sequence[Incoming]) -> Sequence[Outcome]:
        wanted = [i for i, each in enumerate(batch) if isinstance(each.data, FORWARDED_ACTIVITY)]
        outcomes: list[Outcome] = [None] * len(batch)
        if wanted:
            taken = await take_events([batch[index] for index in wanted])
            for index, outcome in zip(wanted, taken, strict=True):
                outcomes[index] = outcome
        return outcomes

    return [
        Route(topic=PASS_CREATED, handler=take_events),
        Route(topic=PASS_UPDATED, handler=take_events),
        Route(topic=PASS_BALANCE_CHANGED, handler=take_events),
        Route(topic=PASS_REDEEMED, handler=take_events),
        Route(topic=WALLET_ACTIVITY, handler=take_activity),
    ]


def fact_of(incoming: Incoming) -> Fact:
    data = incoming.data
    if not isinstance(data, PassEvent):
        raise TypeError(f"{data.event_type} is not about a pass")
    fields = data.model_dump()
    recorded_at = datetime.fromtimestamp(incoming.record.timestamp_ms / 1000, UTC)
    own = next((fields[name] for name in TIMES if fields.get(name) is not None), None)
    # An envelope without a time reads as the epoch.
    sent_at = incoming.envelope.time if incoming.envelope.time.timestamp() > 0 else None
    return Fact(
        event_id=incoming.id,
        event_type=data.event_type,
        workspace_id=data.workspace_id,
        pass_id=data.pass_id,
        occurred_at=own or sent_at or recorded_at,
        fields=fields,
    )
