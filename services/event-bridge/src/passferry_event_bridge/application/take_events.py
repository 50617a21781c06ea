"""Take events in: keep what they say of their passes, and let them wait for their sinks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from passferry_event_bridge.application.ports import (
    Intake,
    IntakeTransaction,
    Observer,
    PassKey,
    PendingEvent,
    SinkKey,
    Workspaces,
)
from passferry_event_bridge.domain.known_pass import Fact, KnownPass, after, created
from passferry_event_bridge.domain.mapping import ReservedName, items_of
from passferry_event_bridge.domain.profiles import MAX_ITEM_BYTES
from passferry_runtime.errors import Rejected, RetryLater
from passferry_runtime.kafka.records import IncomingRecord

Outcome = RetryLater | Rejected | None
Arrival = tuple[Fact, IncomingRecord]


@dataclass(frozen=True, kw_only=True)
class TakeEvents:
    """One transaction for a batch; the sinks are not called here."""

    intake: Intake
    workspaces: Workspaces
    observer: Observer
    #: Called with the sinks that got something, after the commit.
    wake: Callable[[Collection[SinkKey]], None]
    is_full: Callable[[SinkKey], bool]
    created_name: str
    version: str

    async def __call__(self, batch: Sequence[Arrival]) -> list[Outcome]:
        """One outcome per event, in the same order."""
        outcomes: list[Outcome] = [self._of_its_workspace(fact) for fact, _ in batch]
        counts: Counter[str] = Counter()
        named = {
            fact.workspace_id
            for (fact, _), outcome in zip(batch, outcomes, strict=True)
            if outcome is None
        }
        if not named:
            return outcomes
        async with self.intake.open(named) as transaction:
            work = await self._begin(transaction, batch, named)
            # As the consumer does: what comes after a parked record is parked too, and must not be
            # taken as well.
            blocked: set[tuple[bytes, bytes]] = set()
            for index, (fact, record) in enumerate(batch):
                if outcomes[index] is None and record.subject in blocked:
                    outcomes[index] = RetryLater("waits_behind", "an earlier event waits")
                if outcomes[index] is None:
                    outcomes[index] = self._take(work, fact, record, counts)
                if isinstance(outcomes[index], RetryLater):
                    blocked.add(record.subject)
            await transaction.save_passes([work.passes[key] for key in sorted(work.changed)])
            await transaction.add(work.pending)
        self.wake({(each.workspace_id, each.sink_id) for each in work.pending})
        for name, number in counts.items():
            self.observer.taken(name, number)
        return outcomes

    def _of_its_workspace(self, fact: Fact) -> Outcome:
        if self.workspaces.is_known(fact.workspace_id):
            return None
        return RetryLater("workspace_unknown", f"workspace {fact.workspace_id} is not known")

    async def _begin(
        self, transaction: IntakeTransaction, batch: Sequence[Arrival], named: set[UUID]
    ) -> _Work:
        keys = {
            (fact.workspace_id, fact.pass_id) for fact, _ in batch if fact.workspace_id in named
        }
        passes = await transaction.known_passes(keys)
        return _Work(passes, await transaction.sinks_of(named))

    def _take(
        self, work: _Work, fact: Fact, record: IncomingRecord, counts: Counter[str]
    ) -> Outcome:
        key = (fact.workspace_id, fact.pass_id)
        known = work.passes.get(key)
        if known is None and fact.event_type != "pass.created":
            # Also what one workspace says of another's pass: it is looked for in its own only.
            return RetryLater("pass_unknown", f"pass {fact.pass_id} is not known here")
        sinks = work.sinks.get(fact.workspace_id, [])
        if any(self.is_full((fact.workspace_id, sink_id)) for sink_id in sinks):
            return RetryLater("sink_backlog_full", "too many events wait for a sink")
        now_known = after(known, fact) if known is not None else created(fact)
        try:
            items = items_of(fact, now_known, created_name=self.created_name, version=self.version)
        except ReservedName as error:
            return Rejected("reserved_name", str(error))
        if any(len(item.encode()) > MAX_ITEM_BYTES for item in items):
            return Rejected("item_too_large", f"an item has over {MAX_ITEM_BYTES} bytes")
        if now_known != known:
            work.passes[key] = now_known
            work.changed.add(key)
        if self.workspaces.is_suspended(fact.workspace_id):
            counts["suspended"] += 1
        elif not sinks:
            counts["no_sink"] += 1
        else:
            counts["queued"] += 1
            work.pending.extend(
                PendingEvent(fact.workspace_id, sink_id, fact.event_id, tuple(items), record)
                for sink_id in sinks
            )
        return None


@dataclass(slots=True)
class _Work:
    passes: dict[PassKey, KnownPass]
    sinks: Mapping[UUID, list[str]]
    changed: set[PassKey] = field(default_factory=set)
    pending: list[PendingEvent] = field(default_factory=list)
