"""What the use cases need from outside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from passferry_contracts.types import Channel
from passferry_notifier.domain.credentials import AppleCredential, GoogleCredential
from passferry_notifier.domain.deliveries import Delivery, Verdict

PassKey = tuple[UUID, UUID]


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    workspace_id: UUID
    pass_id: UUID
    pass_type_identifier: str
    revision: int
    cause_type: str
    caused_at: datetime
    published_at: datetime
    traceparent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """`seen_revision`: what the device was given last; None when it may have missed anything."""

    workspace_id: UUID
    pass_id: UUID
    pass_type_identifier: str
    device_library_identifier: str
    push_token_ciphertext: bytes = field(repr=False)
    push_token_sha256: str
    seen_revision: int | None
    registered_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    workspace_id: UUID
    pass_id: UUID
    device_library_identifier: str
    push_token_sha256: str
    unregistered_at: datetime


@dataclass(frozen=True, slots=True)
class Ring:
    """A delivery to a device, with the token to reach it."""

    delivery: Delivery
    push_token_ciphertext: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ClaimedRings:
    """`orphans` are deliveries whose device is registered no more."""

    rings: list[Ring]
    orphans: list[Delivery]


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleObject:
    """The newest rendering of a pass for Google, and what Google has of it."""

    workspace_id: UUID
    pass_id: UUID
    issuer_id: str
    vertical: str
    class_id: str
    object_id: str
    revision: int
    body: Mapping[str, Any]
    body_sha256: str
    synced_sha256: str | None
    has_users: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleClassRow:
    workspace_id: UUID
    class_id: str
    template_id: UUID | None = None
    issuer_id: str
    vertical: str
    template_version: int
    body: Mapping[str, Any]
    body_sha256: str
    #: Of messages that earlier versions of the template had.
    former_message_ids: Sequence[str] = ()
    synced_sha256: str | None


@dataclass(frozen=True, slots=True)
class GoogleUpdate:
    """A delivery to Google, with the object that it brings there."""

    delivery: Delivery
    object: GoogleObject


@dataclass(frozen=True, slots=True)
class GoogleAnswer:
    """`status` 0: nobody knows whether the request arrived. `message` is of the error body."""

    status: int
    body: Mapping[str, Any]
    message: str = ""
    reason: str = ""
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """The outcome of one attempt, as it is stored. `state` pending: it is tried again."""

    delivery: Delivery
    state: str
    verdict: Verdict
    attempts: int
    next_attempt_at: datetime
    #: A suspect token whose strike counts.
    is_strike: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """A delivery as the API shows it."""

    delivery_id: UUID
    pass_id: UUID
    channel: str
    target: str
    revision: int
    notification_type: str
    state: str
    is_silent: bool
    attempts: int
    reason: str | None
    next_attempt_at: datetime | None
    created_at: datetime
    completed_at: datetime | None


class RingStore(Protocol):
    """Devices, publications and the rings that follow from them."""

    async def publish(
        self, publications: Sequence[Publication], *, now: datetime, lease_until: datetime
    ) -> list[Ring]: ...

    async def register(
        self, registrations: Sequence[Registration], *, now: datetime, lease_until: datetime
    ) -> list[Ring]: ...

    async def unregister(self, removals: Sequence[Removal], *, now: datetime) -> None: ...

    async def forget_pass(self, workspace_id: UUID, pass_id: UUID) -> None: ...

    async def claim(
        self, workspaces: Sequence[UUID], *, now: datetime, lease_until: datetime
    ) -> ClaimedRings: ...

    async def count_devices(self, workspace_id: UUID, pass_id: UUID) -> int: ...


class GoogleStore(Protocol):
    """Google's classes and objects, and the deliveries that follow from them."""

    async def store_objects(
        self, renderings: Sequence[RenderedForGoogle], *, now: datetime, lease_until: datetime
    ) -> list[GoogleUpdate]: ...

    async def store_classes(self, classes: Sequence[GoogleClassRow]) -> None: ...

    async def class_of(self, workspace_id: UUID, class_id: str) -> GoogleClassRow | None: ...

    async def class_synced(self, workspace_id: UUID, class_id: str, body_sha256: str) -> None: ...

    async def forget_pass(self, workspace_id: UUID, pass_id: UUID) -> None: ...

    async def claim(
        self, workspaces: Sequence[UUID], *, now: datetime, lease_until: datetime
    ) -> list[GoogleUpdate]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedForGoogle:
    workspace_id: UUID
    pass_id: UUID
    issuer_id: str
    vertical: str
    class_id: str
    object_id: str
    revision: int
    body: Mapping[str, Any]
    body_sha256: str
    is_wanted: bool
    cause_type: str
    caused_at: datetime
    traceparent: str | None = None


class DeliveryQueue(Protocol):
    """What waits to be sent, and what became of it."""

    async def active_workspaces(self) -> list[UUID]: ...

    async def renew(self, deliveries: Sequence[Delivery], *, lease_until: datetime) -> None: ...

    async def complete(self, completions: Sequence[Completion], *, now: datetime) -> set[PassKey]:
        """Store outcomes and tell others; returns passes that lost a device."""
        ...

    async def reschedule(self, workspace_id: UUID, *, now: datetime) -> None:
        """Deliveries that waited for a credential become due."""
        ...

    async def prune(self, workspaces: Sequence[UUID], *, before: datetime, limit: int) -> int:
        """How many went; `limit` of them, where there may be more."""
        ...


class DeliveryStore(DeliveryQueue, Protocol):
    async def listed(
        self,
        workspace_id: UUID,
        *,
        pass_id: UUID | None,
        state: str | None,
        after: UUID | None,
        limit: int,
    ) -> list[DeliveryRow]: ...

    async def summary(self, workspace_id: UUID) -> list[tuple[str, str, str, int]]:
        """Channel, state, reason (or ""), how many."""
        ...


class PushTokenCache(Protocol):
    """Push tokens in clear, by pass; may be empty or away at any time."""

    async def tokens_of(self, passes: Iterable[PassKey]) -> dict[PassKey, set[str]]: ...

    async def fill(self, tokens: Mapping[PassKey, Sequence[str]]) -> None: ...

    async def invalidate(self, passes: Iterable[PassKey]) -> None: ...


class PushTokenOpener(Protocol):
    def open(self, delivery: Delivery, ciphertext: bytes) -> str | None:
        """The token, or None when the ciphertext does not open."""
        ...


class CredentialDirectory(Protocol):
    def apple(self, workspace_id: UUID, pass_type_identifier: str) -> AppleCredential | None: ...

    def google(self, workspace_id: UUID, issuer_id: str) -> GoogleCredential | None: ...

    def has_google(self, workspace_id: UUID) -> bool:
        """An account of whichever issuer; also where nobody can tell, for it does not open."""
        ...

    async def until_known(self) -> None:
        """Wait until everything that was there at the start has been read."""
        ...


class ApnsGateway(Protocol):
    async def ring(
        self, credential: AppleCredential, push_token: str, delivery_id: UUID
    ) -> Verdict: ...


class GoogleGateway(Protocol):
    async def call(
        self,
        credential: GoogleCredential,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
    ) -> GoogleAnswer: ...


class NotificationBudget(Protocol):
    async def take(
        self,
        workspace_id: UUID,
        resource_id: str,
        delivery_id: UUID,
        now: datetime,
        *,
        class_id: str | None = None,
    ) -> bool:
        """One of the notifications that Google allows per object and day; False: none is left.
        Those of its class count among them. A class has as many of its own.

        Asking again for the same delivery takes no second one.
        """
        ...


class Meter(Protocol):
    """Counts; none of its labels ever names a pass, device or token."""

    def completed(self, completion: Completion, now: datetime) -> None: ...

    def coalesced(self, channel: Channel, count: int) -> None: ...

    def token_lookup(self, result: str, count: int) -> None: ...
