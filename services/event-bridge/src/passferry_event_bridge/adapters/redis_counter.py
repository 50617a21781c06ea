"""Counts bridged events by workspace and topic, for dashboards."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from redis.asyncio import Redis

from passferry_event_bridge.application.ports import PendingEvent
from passferry_runtime.logging import get_logger
from passferry_runtime.redis import REDIS_UNAVAILABLE

log = get_logger(__name__)


#: After a failure, this long passes without a try: sending must not wait for Redis.
PAUSE_S = 5.0


class RedisCounter:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._away_until = 0.0

    async def count(self, events: Sequence[PendingEvent]) -> None:
        if time.monotonic() < self._away_until:
            return
        counts = Counter((event.workspace_id, event.record.topic) for event in events)
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for (workspace_id, topic), number in counts.items():
                    key = f"metrics:workspace:{workspace_id}:bridged_events"
                    pipeline.hincrby(key, topic, number)
                await pipeline.execute()
        except REDIS_UNAVAILABLE as error:
            self._away_until = time.monotonic() + PAUSE_S
            log.info("bridged_events_not_counted", error=type(error).__name__)


class NoCounter:
    """Where there is no Redis."""

    async def count(self, events: Sequence[PendingEvent]) -> None:
        return None
