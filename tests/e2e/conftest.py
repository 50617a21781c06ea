"""What the tests across all services share."""

from __future__ import annotations

import httpx
import pytest_asyncio

from passferry_testing.virtual_iphone_fleet import KEEPALIVE_EXPIRY_S


@pytest_asyncio.fixture
async def http_client():
    limits = httpx.Limits(keepalive_expiry=KEEPALIVE_EXPIRY_S)
    async with httpx.AsyncClient(timeout=20, limits=limits, trust_env=False) as client:
        yield client
