"""Redis: a cache that may be empty or away at any time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from redis.asyncio import Redis
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
    client = Redis.from_url(
        url,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        max_connections=MAX_CONNECTIONS,
        health_check_interval=15,
    )
    try:
        yield client
    finally:
        await client.aclose()
