"""What the tests across all services share."""

from __future__ import annotations

import httpx
import pytest_asyncio


@pytest_asyncio.fixture
async def http_client():
    async with httpx.AsyncClient(timeout=20, trust_env=False) as client:
        yield client
