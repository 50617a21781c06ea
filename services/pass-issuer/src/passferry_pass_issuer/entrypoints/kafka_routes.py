"""What the pass-issuer learns from Kafka."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from passferry_contracts.event import PassEvent
from passferry_contracts.events.inbound import InboundEvent, InboundPassCreated
from passferry_contracts.registry import (
    DELIVERY_COMPLETED,
    PASS_BALANCE_CHANGED,
    PASS_INBOUND,
    PASS_REDEEMED,
    WALLET_ACTIVITY,
)
from passferry_pass_issuer.application.admit_inbound import GivenInbound
from passferry_pass_issuer.application.apply_events import GivenEvent
from passferry_pass_issuer.domain.inbound_signature import RecordProof
from passferry_runtime.errors import Rejected, RetryLater
from passferry_runtime.kafka.records import Incoming, Outcome, Route

#: Of what changes passes; it is worked off in parts, several at once.
CHANGES_BATCH = 512
#: Of what upstream systems say, which is one transaction.
INBOUND_BATCH = 64
#: Almost all of them change nothing here.
DELIVERY_BATCH = 500

Apply = Callable[[Sequence[GivenEvent]], Awaitable[Sequence[RetryLater | Rejected | None]]]
Admit = Callable[[Sequence[GivenInbound]], Awaitable[Sequence[RetryLater | Rejected | None]]]


CountEvents = Callable[[Sequence[GivenEvent]], Awaitable[None]]


def routes(
    *,
    from_ledger: Apply,
    from_wallets: Apply,
    from_notifier: Apply,
    admit: Admit,
    count: CountEvents,
) -> list[Route]:
    def applying(apply: Apply) -> Callable[[Sequence[Incoming]], Awaitable[Sequence[Outcome]]]:
        async def handle(batch: Sequence[Incoming]) -> Sequence[Outcome]:
            given = [
                GivenEvent(each.id, each.data) for each in batch if isinstance(each.data, PassEvent)
            ]
            return await apply(given)

        return handle

    async def apply_and_count(events: Sequence[GivenEvent]) -> Sequence[Outcome]:
        outcomes = await from_wallets(events)
        # What waits comes again, and is counted then.
        await count(
            [
                event
                for event, outcome in zip(events, outcomes, strict=True)
                if not isinstance(outcome, RetryLater)
            ]
        )
        return outcomes

    async def handle_inbound(batch: Sequence[Incoming]) -> Sequence[Outcome]:
        given = [
            GivenInbound(each.id, each.data, _proof(each))
            for each in batch
            if isinstance(each.data, InboundEvent)
        ]
        return await admit(given)

    return [
        Route(topic=PASS_BALANCE_CHANGED, handler=applying(from_ledger), max_batch=CHANGES_BATCH),
        Route(topic=PASS_REDEEMED, handler=applying(from_ledger), max_batch=CHANGES_BATCH),
        Route(topic=WALLET_ACTIVITY, handler=applying(apply_and_count), max_batch=CHANGES_BATCH),
        Route(topic=DELIVERY_COMPLETED, handler=applying(from_notifier), max_batch=DELIVERY_BATCH),
        Route(
            topic=PASS_INBOUND,
            handler=handle_inbound,
            max_batch=INBOUND_BATCH,
            # What waits for its pass must not hold up the event that makes the pass.
            may_overtake=frozenset({InboundPassCreated.event_type}),
        ),
    ]


def _proof(incoming: Incoming) -> RecordProof:
    record = incoming.record
    return RecordProof(record.key, record.headers, record.value or b"")
