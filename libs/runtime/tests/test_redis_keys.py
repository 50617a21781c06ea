"""Redis keys and the bounds of the client."""

from __future__ import annotations

import time
from uuid import UUID

import pytest

from passferry_runtime.redis import REDIS_UNAVAILABLE, open_redis, workspace_key

WORKSPACE, PASS = UUID(int=1), UUID(int=2)


def test_every_key_names_its_workspace_first():
    assert workspace_key(WORKSPACE, "pass", "devices", PASS) == (
        f"workspace:{WORKSPACE}:pass:devices:{PASS}"
    )
    assert workspace_key(WORKSPACE, "a") != workspace_key(UUID(int=3), "a")


async def test_a_redis_that_is_away_is_told_quickly():
    async with open_redis("redis://127.0.0.1:1/0") as redis:
        started_at = time.monotonic()
        with pytest.raises(REDIS_UNAVAILABLE):
            await redis.get(workspace_key(WORKSPACE, "a"))
    assert time.monotonic() - started_at < 2
