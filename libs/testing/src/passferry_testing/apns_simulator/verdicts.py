"""What the simulator decides about one request."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error answer: HTTP status, reason (None: no body), and for 410 its timestamp in ms."""

    status: int
    reason: str | None
    timestamp_ms: int | None = None
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends on a connection, and to which topics it may."""

    kind: str
    identity: str
    topics: frozenset[str]


@dataclass(frozen=True, slots=True)
class Push:
    """A request that passed every check; `expiration` is seconds since the epoch or None."""

    token: str
    topic: str
    apns_id: str
    priority: int
    push_type: str | None
    expiration: int | None
    collapse_id: str | None
