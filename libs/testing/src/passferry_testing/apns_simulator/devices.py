"""The phones behind the push service: which tokens exist, who is online, what waits for them."""

import asyncio
import contextlib
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import NamedTuple

from passferry_testing.apns_simulator.verdicts import Push, Refusal

MAX_QUEUED_RINGS = 100_000
MAX_STORED_RINGS = 1_000_000


class Ring(NamedTuple):
    """What reaches a phone: that something under this topic changed."""

    token: str
    topic: str
    apns_id: str
    time_ns: int


class Subscription:
    """A stream of rings for the subscriber's phones; iterate it. Closed by the directory."""

    def __init__(self) -> None:
        self._rings: deque[Ring] = deque()
        self._arrived = asyncio.Event()
        self._is_closed = False

    def offer(self, ring: Ring) -> bool:
        """Queue a ring; False if the subscriber has fallen too far behind."""
        if len(self._rings) >= MAX_QUEUED_RINGS:
            return False
        self._rings.append(ring)
        self._arrived.set()
        return True

    def close(self) -> None:
        self._is_closed = True
        self._arrived.set()

    async def next_batch(self, timeout_s: float) -> list[Ring] | None:
        """All queued rings, an empty list after `timeout_s`, None once closed and empty."""
        if not self._rings and not self._is_closed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._arrived.wait()
        self._arrived.clear()
        batch = list(self._rings)
        self._rings.clear()
        if self._is_closed and not batch:
            return None
        return batch

    async def __aiter__(self) -> AsyncIterator[Ring]:
        while (batch := await self.next_batch(timeout_s=1.0)) is not None:
            for ring in batch:
                yield ring


class DeviceDirectory:
    """Tokens and delivery.

    With `strict` only registered tokens exist. A device is offline while nobody subscribes or
    after `set_online(token, False)`; one notification per device and topic waits for it, the
    newest, unless its expiration was 0 or passes meanwhile. Times are seconds since the epoch.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        on_delivery: Callable[[str, str], None] | None = None,
        strict: bool = False,
    ) -> None:
        self.strict = strict
        self.delivered = 0
        self.lost = 0
        self.coalesced = 0
        self._clock = clock
        self._on_delivery = on_delivery
        self._topics: dict[str, set[str]] = {}
        self._gone: dict[str, tuple[int, str]] = {}
        self._offline: set[str] = set()
        self._stored: OrderedDict[tuple[str, str], tuple[str, int | None]] = OrderedDict()
        self._subscriptions: list[Subscription] = []

    def register(self, token: str, topic: str) -> None:
        """Make a token known for a topic, reviving one that was gone."""
        self._topics.setdefault(token.lower(), set()).add(topic)
        self._gone.pop(token.lower(), None)

    def unregister(
        self, token: str, *, timestamp_ms: int | None = None, reason: str = "Unregistered"
    ) -> None:
        """From now on the token answers 410, with the time since which it is invalid."""
        since = int(self._clock() * 1000) if timestamp_ms is None else timestamp_ms
        self._gone[token.lower()] = (since, reason)

    def check(self, push: Push) -> Refusal | None:
        gone = self._gone.get(push.token)
        if gone is not None:
            return Refusal(410, gone[1], timestamp_ms=gone[0])
        topics = self._topics.get(push.token)
        if topics is None:
            return Refusal(400, "BadDeviceToken") if self.strict else None
        if push.topic not in topics:
            return Refusal(400, "DeviceTokenNotForTopic")
        return None

    def set_online(self, token: str, online: bool) -> None:
        if online:
            self._offline.discard(token.lower())
            self._flush()
        else:
            self._offline.add(token.lower())

    @property
    def stored(self) -> int:
        return len(self._stored)

    @property
    def subscribers(self) -> int:
        return len(self._subscriptions)

    @contextlib.contextmanager
    def subscribe(self) -> Iterator[Subscription]:
        """Receive every delivery from now on, and first what waited."""
        subscription = Subscription()
        self._subscriptions.append(subscription)
        self._flush()
        try:
            yield subscription
        finally:
            subscription.close()
            self._subscriptions.remove(subscription)

    def close(self) -> None:
        for subscription in self._subscriptions:
            subscription.close()

    def deliver(self, push: Push) -> None:
        if self._is_reachable(push.token):
            self._hand_over(push.token, push.topic, push.apns_id, push.expiration)
        elif push.expiration == 0:
            self.lost += 1
        else:
            self._store(push.token, push.topic, push.apns_id, push.expiration)

    def reset(self) -> None:
        self._stored.clear()
        self.delivered = self.lost = self.coalesced = 0

    def _is_reachable(self, token: str) -> bool:
        has_listener = bool(self._subscriptions) or self._on_delivery is not None
        return has_listener and token not in self._offline

    def _hand_over(self, token: str, topic: str, apns_id: str, expiration: int | None) -> None:
        ring = Ring(token, topic, apns_id, time.time_ns())
        taken = [subscription.offer(ring) for subscription in self._subscriptions]
        if not all(taken):
            self._store(token, topic, apns_id, expiration)
            return
        self.delivered += 1
        if self._on_delivery is not None:
            self._on_delivery(token, topic)

    def _store(self, token: str, topic: str, apns_id: str, expiration: int | None) -> None:
        if self._stored.pop((token, topic), None) is not None:
            self.coalesced += 1
        self._stored[token, topic] = (apns_id, expiration)
        if len(self._stored) > MAX_STORED_RINGS:
            self._stored.popitem(last=False)
            self.lost += 1

    def _flush(self) -> None:
        now = self._clock()
        for (token, topic), (apns_id, expiration) in list(self._stored.items()):
            if not self._is_reachable(token):
                continue
            del self._stored[token, topic]
            if expiration is not None and expiration < now:
                self.lost += 1
            else:
                self._hand_over(token, topic, apns_id, expiration)

    def flush_overflow(self) -> None:
        """Hand over what a slow subscriber could not take before."""
        if self._stored:
            self._flush()
