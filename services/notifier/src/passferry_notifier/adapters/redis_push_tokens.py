"""Push tokens in clear, for an hour: `workspace:{id}:pass:devices:{pass_id}`, a set per pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from redis.asyncio import Redis

from passferry_notifier.application.ports import Meter, PassKey
from passferry_runtime.logging import get_logger
from passferry_runtime.redis import REDIS_UNAVAILABLE, workspace_key

log = get_logger(__name__)

TTL_S = 3_600


def devices_key(key: PassKey) -> str:
    return workspace_key(key[0], "pass", "devices", key[1])


class RedisPushTokens:
    """Without Redis every pass is unknown; the directory has the truth."""

    def __init__(self, redis: Redis, meter: Meter) -> None:
        self._redis = redis
        self._meter = meter

    async def tokens_of(self, passes: Iterable[PassKey]) -> dict[PassKey, set[str]]:
        keys = list(passes)
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for key in keys:
                    pipeline.smembers(devices_key(key))
                answers = await pipeline.execute()
        except REDIS_UNAVAILABLE as error:
            self._unavailable(error, len(keys))
            return {}
        return {
            key: {token.decode() if isinstance(token, bytes) else token for token in answer}
            for key, answer in zip(keys, answers, strict=True)
            if answer
        }

    async def fill(self, tokens: Mapping[PassKey, Sequence[str]]) -> None:
        """Whole sets only: each replaces what was there, and lives for an hour at most."""
        try:
            async with self._redis.pipeline(transaction=True) as pipeline:
                for key, members in tokens.items():
                    name = devices_key(key)
                    pipeline.delete(name)
                    if members:
                        pipeline.sadd(name, *members)
                        pipeline.expire(name, TTL_S)
                await pipeline.execute()
        except REDIS_UNAVAILABLE as error:
            self._unavailable(error, 0)

    async def invalidate(self, passes: Iterable[PassKey]) -> None:
        names = [devices_key(key) for key in passes]
        if not names:
            return
        try:
            await self._redis.delete(*names)
        except REDIS_UNAVAILABLE as error:
            # What stays behind is harmless: a token is used only if the directory names it.
            self._unavailable(error, 0)

    def _unavailable(self, error: BaseException, lookups: int) -> None:
        self._meter.token_lookup("error", lookups)
        log.warning("push_token_cache_unavailable", error=type(error).__name__)


class NoPushTokens:
    """For installations without Redis."""

    async def tokens_of(self, passes: Iterable[PassKey]) -> dict[PassKey, set[str]]:
        return {}

    async def fill(self, tokens: Mapping[PassKey, Sequence[str]]) -> None:
        return None

    async def invalidate(self, passes: Iterable[PassKey]) -> None:
        return None
