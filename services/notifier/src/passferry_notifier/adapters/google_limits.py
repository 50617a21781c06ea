"""Google's limits, shared between replicas through Redis where there is one."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any
from uuid import UUID

from redis.asyncio import Redis

from passferry_runtime.logging import get_logger
from passferry_runtime.redis import REDIS_UNAVAILABLE, workspace_key

log = get_logger(__name__)

NOTIFICATIONS_PER_DAY = 3
DAY_S = 86_400
MAX_LOCAL_QUOTAS = 10_000

#: A second key is that of the object's class, whose notifications reach its holder too.
_TAKE_NOTIFICATION = """
local used = 0
for _, key in ipairs(KEYS) do
    redis.call('ZREMRANGEBYSCORE', key, '-inf', ARGV[1] - ARGV[3])
    used = used + redis.call('ZCARD', key)
end
if redis.call('ZSCORE', KEYS[1], ARGV[2]) then return 1 end
if used >= tonumber(ARGV[4]) then return 0 end
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""

#: Reserves the next free moment and says in how many microseconds it comes.
_RESERVE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local at = math.max(now, tonumber(redis.call('GET', KEYS[1]) or '0'))
redis.call('SET', KEYS[1], string.format('%.0f', at + ARGV[1]), 'PX', 60000)
return at - now
"""


class RedisNotificationBudget:
    """A rolling day per object. Without Redis nobody can know, so nobody is notified."""

    def __init__(self, redis: Redis | None) -> None:
        self._redis = redis

    async def take(
        self,
        workspace_id: UUID,
        resource_id: str,
        delivery_id: UUID,
        now: datetime,
        *,
        class_id: str | None = None,
    ) -> bool:
        if self._redis is None:
            return False
        names = [
            workspace_key(workspace_id, "google", "notifications", each)
            for each in (resource_id, class_id)
            if each is not None
        ]
        arguments = (int(now.timestamp()), str(delivery_id), DAY_S, NOTIFICATIONS_PER_DAY)
        try:
            taken: Any = await self._redis.eval(
                _TAKE_NOTIFICATION, len(names), *names, *(str(each) for each in arguments)
            )
        except REDIS_UNAVAILABLE as error:
            log.warning("notification_budget_unavailable", error=type(error).__name__)
            return False
        return bool(taken)


class RequestQuota:
    """Evenly spaced requests per credential."""

    def __init__(self, redis: Redis | None, per_second: float) -> None:
        self._redis = redis
        self._interval_s = 1 / per_second
        self._free_at: dict[str, float] = {}

    async def wait(self, credential_key: str) -> float:
        """Wait for a place; returns the seconds that it took."""
        wait_s = await self._reserve(credential_key)
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        return wait_s

    async def _reserve(self, credential_key: str) -> float:
        if self._redis is not None:
            # Of no workspace: those that share an account share its quota. The key is a digest
            # over the private key, so that nobody else can meddle.
            name = f"shared:google:quota:{credential_key}"
            try:
                wait_us: Any = await self._redis.eval(
                    _RESERVE, 1, name, str(int(self._interval_s * 1_000_000))
                )
                return int(wait_us) / 1_000_000
            except REDIS_UNAVAILABLE as error:
                log.warning("request_quota_not_shared", error=type(error).__name__)
        now = asyncio.get_running_loop().time()
        if len(self._free_at) > MAX_LOCAL_QUOTAS:
            self._free_at = {key: at for key, at in self._free_at.items() if at > now}
        at = max(now, self._free_at.get(credential_key, 0.0))
        self._free_at[credential_key] = at + self._interval_s
        return at - now
