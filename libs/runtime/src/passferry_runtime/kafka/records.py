"""Records as the runtime hands them on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from passferry_contracts.envelope import Envelope
from passferry_contracts.registry import Payload, Topic
from passferry_runtime.errors import Rejected, RetryLater


@dataclass(frozen=True, slots=True)
class IncomingRecord:
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]

    @property
    def workspace_id(self) -> UUID | None:
        """As the headers say: a tombstone or an unreadable record has no payload to say it."""
        raw = self.header("ce_workspaceid")
        try:
            return UUID(raw.decode()) if raw else None
        except ValueError:
            return None

    @property
    def subject(self) -> tuple[bytes, bytes]:
        """Workspace and key: keys that tenants choose may be equal, and what one sends under
        another's key must not hold that one's records up."""
        return self.header("ce_workspaceid") or b"", self.key

    def header(self, name: str) -> bytes | None:
        return next((value for key, value in self.headers if key.lower() == name), None)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A record with its decoded event."""

    record: IncomingRecord
    envelope: Envelope

    @property
    def data(self) -> Payload:
        return self.envelope.data

    @property
    def id(self) -> str:
        return self.envelope.id


@dataclass(frozen=True, slots=True)
class OutgoingRecord:
    topic: str
    key: bytes
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


#: None: done. The exception instances say what else is to become of the record.
Outcome = RetryLater | Rejected | None
Handler = Callable[[Sequence[Incoming]], Awaitable[Sequence[Outcome] | None]]
TombstoneHandler = Callable[[IncomingRecord], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Which handler takes a topic's records, and how many of them at once."""

    topic: Topic
    handler: Handler
    max_batch: int = 256
    #: Event types that go ahead of parked records of their key, because those may wait for them.
    may_overtake: frozenset[str] = frozenset()
    on_tombstone: TombstoneHandler | None = None


def incoming_record(record: Any, topic_prefix: str) -> IncomingRecord:
    """From the client library's record, which has no types."""
    return IncomingRecord(
        topic=record.topic.removeprefix(topic_prefix),
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        key=record.key or b"",
        value=record.value,
        # Kafka allows a header without a value; nothing here tells that from an empty one.
        headers=tuple((name, raw or b"") for name, raw in record.headers or ()),
    )
