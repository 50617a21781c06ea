"""Google's root keys for callbacks: fetched, cached, and kept when a refresh fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import httpx

from passferry_runtime.logging import get_logger
from passferry_wallet.google.callbacks import RootKey, parse_root_keys

log = get_logger(__name__)

MAX_BYTES = 64_000
MIN_REFRESH_S, MAX_REFRESH_S = 60.0, 86_400.0


class GoogleRootKeys:
    """`await keys()` gives the current ones; an empty list when none could be had yet."""

    def __init__(self, client: httpx.AsyncClient, url: str) -> None:
        self._client = client
        self._url = url
        self._keys: Sequence[RootKey] = ()
        self._refresh_at = 0.0
        self._lock = asyncio.Lock()

    async def __call__(self) -> Sequence[RootKey]:
        if time.monotonic() >= self._refresh_at:
            async with self._lock:
                if time.monotonic() >= self._refresh_at:
                    await self._refresh()
        return self._keys

    async def _refresh(self) -> None:
        try:
            async with self._client.stream("GET", self._url, timeout=5) as response:
                response.raise_for_status()
                self._keys = parse_root_keys(await _bounded(response))
        except (httpx.HTTPError, ValueError) as error:
            # The last good copy serves on; each key ends by its own expiration.
            log.warning("google_root_keys_unavailable", error=type(error).__name__)
            self._refresh_at = time.monotonic() + MIN_REFRESH_S
            return
        self._refresh_at = time.monotonic() + _refresh_after(response)


async def _bounded(response: httpx.Response) -> bytes:
    document = bytearray()
    async for chunk in response.aiter_bytes():
        document += chunk
        if len(document) > MAX_BYTES:
            raise ValueError("the file of root keys is too large")
    return bytes(document)


def _refresh_after(response: httpx.Response) -> float:
    """Half of what is left of its life, so that a key that is about to go is renewed in time."""
    for part in response.headers.get("cache-control", "").split(","):
        name, _, value = part.strip().partition("=")
        if name == "max-age" and value.isascii() and value.isdigit():
            age = response.headers.get("age", "0")
            left = float(value) - (float(age) if age.isascii() and age.isdigit() else 0)
            return min(max(left / 2, MIN_REFRESH_S), MAX_REFRESH_S)
    return MIN_REFRESH_S
