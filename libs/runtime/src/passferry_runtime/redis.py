"""Redis: a cache that may be empty or away at any time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

TIMEOUT_S = 0.5
MAX_CONNECTIONS = 32

#: What says "Redis cannot be reached now".
REDIS_UNAVAILABLE = (RedisError, OSError, TimeoutError)


def workspace_key(workspace_id: UUID, *parts: str | UUID) -> str:
    """`workspace:{id}:…`: no key is built without naming its workspace."""
    return ":".join(["workspace", str(workspace_id), *(str(part) for part in parts)])


@asynccontextmanager
async def open_redis(url: str) -> AsyncIterator[Redis]:
    """Connects on first use; every call ends within a bounded time."""
    pool = BlockingConnectionPool.from_url(
        url,
        # More callers than connections wait for one; that does not mean that Redis is away.
        max_connections=MAX_CONNECTIONS,
        timeout=TIMEOUT_S,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        # One retry mends a connection that was closed while idle. The library's own default
        # retries ten times, which would hold a caller for seconds.
        retry=Retry(NoBackoff(), 1),
        health_check_interval=15,
    )
    client = Redis.from_pool(pool)
    try:
        yield client
    finally:
        await client.aclose()
