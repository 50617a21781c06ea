"""What the use cases need from outside."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from passferry_event_bridge.domain.answers import Answer
from passferry_event_bridge.domain.known_pass import KnownPass
from passferry_runtime.kafka.records import IncomingRecord

PassKey = tuple[UUID, UUID]
SinkKey = tuple[UUID, str]


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """An event that a sink is to be given. `position` orders those of one sink; 0 when new."""

    workspace_id: UUID
    sink_id: str
    event_id: str
    items: tuple[str, ...]
    record: IncomingRecord
    position: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sink:
    """A sink as operators see it: its credential is not part of it."""

    workspace_id: UUID
    sink_id: str
    profile: str
    base_url: str
    status: str
    stopped_reason: str | None
    updated_at: datetime

    @property
    def key(self) -> SinkKey:
        return self.workspace_id, self.sink_id


@dataclass(frozen=True, slots=True)
class OpenedSink:
    """A sink with its credential in clear, for one request; never printed."""

    sink: Sink
    credential: str = field(repr=False)


class Workspaces(Protocol):
    @property
    def ids(self) -> Sequence[UUID]: ...

    def is_known(self, workspace_id: UUID) -> bool: ...

    def is_suspended(self, workspace_id: UUID) -> bool: ...


class IntakeTransaction(Protocol):
    async def known_passes(self, keys: Collection[PassKey]) -> dict[PassKey, KnownPass]:
        """Those that are known, locked until the transaction ends."""

    async def save_passes(self, passes: Sequence[KnownPass]) -> None: ...

    async def sinks_of(self, workspace_ids: Collection[UUID]) -> Mapping[UUID, list[str]]:
        """Ids of each workspace's sinks, stopped ones included."""

    async def add(self, events: Sequence[PendingEvent]) -> None:
        """In this order; an event that waits already is not added again."""


class Intake(Protocol):
    def open(
        self, workspace_ids: Collection[UUID]
    ) -> AbstractAsyncContextManager[IntakeTransaction]: ...


class Backlog(Protocol):
    """The events that wait, by sink."""

    async def next_events(self, sink: SinkKey, limit: int) -> list[PendingEvent]: ...

    async def remove(self, sink: SinkKey, positions: Sequence[int]) -> None: ...

    async def waiting(self, workspace_ids: Collection[UUID]) -> list[Sink]:
        """The sinks for which something waits, stopped ones included."""

    async def count(self, sink: SinkKey, limit: int) -> int:
        """How many wait, at most `limit`."""


class SinkStore(Protocol):
    async def get(self, workspace_id: UUID, sink_id: str) -> Sink | None: ...

    async def of_workspace(self, workspace_id: UUID) -> list[Sink]: ...

    async def put(self, sink: Sink, *, credential: str, actor: str, limit: int) -> Sink | None:
        """Make or replace it; None when the workspace has `limit` sinks already."""

    async def delete(self, workspace_id: UUID, sink_id: str, *, actor: str) -> bool: ...

    async def resume(self, workspace_id: UUID, sink_id: str, *, actor: str) -> Sink | None: ...

    async def stop(self, sink: Sink, *, reason: str) -> None:
        """Unless it was changed since it was read."""

    async def open(self, sink: SinkKey) -> OpenedSink | None:
        """With its credential. Raises `CredentialUnreadable`."""

    async def stopped(self, workspace_ids: Collection[UUID]) -> list[Sink]: ...


class CredentialUnreadable(Exception):
    """The credential does not open with the key ring of this service."""

    def __init__(self, sink: Sink) -> None:
        super().__init__(sink.sink_id)
        self.sink = sink


class SinkGateway(Protocol):
    async def send(self, opened: OpenedSink, items: Sequence[str]) -> Answer:
        """Post one batch. Whatever goes wrong is an answer, never an exception."""


class Turns(Protocol):
    """Which process sends to a sink now; at most one does."""

    async def take(self, sink: SinkKey) -> bool: ...

    def is_ours(self, sink: SinkKey) -> bool: ...

    async def give_back(self, sink: SinkKey) -> None: ...


class DeadLetterBox(Protocol):
    async def give_up(self, event: PendingEvent, *, code: str, detail: str) -> None: ...


class BridgedCounter(Protocol):
    async def count(self, events: Sequence[PendingEvent]) -> None:
        """Best effort: never raises, never waits long."""


class Observer(Protocol):
    """What the metrics are told."""

    def taken(self, outcome: str, number: int) -> None: ...

    def answered(self, profile: str, outcome: str, seconds: float) -> None: ...

    def forwarded(self, events: Sequence[PendingEvent]) -> None: ...

    def gave_up(self, code: str) -> None: ...

    def stopped_sinks(self, number: int) -> None: ...

    def waiting(self, number: int) -> None: ...
