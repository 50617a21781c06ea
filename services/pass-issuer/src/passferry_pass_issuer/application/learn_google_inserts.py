"""Learns which objects Google has: a save link that only names an object may be made then."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from passferry_contracts.event import PassEvent
from passferry_contracts.events.deliveries import DeliveryCompleted
from passferry_contracts.types import Channel, DeliveryOutcome, PassStatus
from passferry_pass_issuer.application.apply_events import ApplyEvents, GivenEvent, Verdict
from passferry_pass_issuer.application.ports import Transaction, Transactions
from passferry_pass_issuer.domain.wallet_pass import WalletPass, changed

#: Either way Google has stored the object.
_ARRIVED = frozenset({DeliveryOutcome.DELIVERED, DeliveryOutcome.DELIVERED_SILENT})

PassKey = tuple[UUID, UUID]


class GoogleObjectStore(Protocol):
    async def not_known_inserted(
        self, transaction: Transaction, told: Collection[tuple[UUID, UUID, str]]
    ) -> set[PassKey]:
        """Passes (workspace_id, pass_id) whose Google object this is, without knowing that it is
        there. Nothing is locked."""


def insert_effect(wallet_pass: WalletPass, event: PassEvent) -> WalletPass | None:
    object_id = _inserted(event)
    is_ours = object_id is not None and object_id == wallet_pass.google_object_id
    is_known = wallet_pass.inserted_google_object_id == object_id
    if not is_ours or is_known or wallet_pass.status is PassStatus.DELETED:
        return None
    return changed(wallet_pass, inserted_google_object_id=object_id)


@dataclass(frozen=True, kw_only=True)
class LearnGoogleInserts:
    """Every ring of every phone is told on this topic: only first arrivals at Google lock a pass."""

    transactions: Transactions
    store: GoogleObjectStore
    apply: ApplyEvents

    async def __call__(self, events: Sequence[GivenEvent]) -> list[Verdict]:
        outcomes: list[Verdict] = [None] * len(events)
        told = {
            (*event.key, object_id)
            for event in events
            if (object_id := _inserted(event.data)) is not None
        }
        if not told:
            return outcomes
        async with self.transactions.transaction({key[0] for key in told}) as transaction:
            news = await self.store.not_known_inserted(transaction, told)
        chosen = [
            place
            for place, event in enumerate(events)
            if event.key in news and _inserted(event.data) is not None
        ]
        if not chosen:
            return outcomes
        verdicts = await self.apply([events[place] for place in chosen])
        for place, verdict in zip(chosen, verdicts, strict=True):
            outcomes[place] = verdict
        return outcomes


def _inserted(event: PassEvent) -> str | None:
    """The object that Google has now, where the event says so."""
    if not isinstance(event, DeliveryCompleted) or event.channel is not Channel.GOOGLE_WALLET:
        return None
    # A message that arrived is no object that arrived.
    is_object = event.outcome in _ARRIVED and event.revision is not None
    return event.google_object_id if is_object else None
