"""Pictures are scaled beside the event loop, few at once, and a slow one does not stay."""

from __future__ import annotations

import asyncio

import pytest

from passferry_pass_issuer.adapters import wallet_images
from passferry_pass_issuer.adapters.wallet_images import ImageScaler
from passferry_pass_issuer.domain.refusals import ContentRejected

pytestmark = pytest.mark.unit


async def test_few_pictures_are_in_memory_at_once():
    scaler = ImageScaler(read_at_once=2)
    reading, most = 0, 0

    async def read():
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        for _ in range(5):
            await asyncio.sleep(0)
        reading -= 1
        return b"no picture"

    results = await asyncio.gather(
        *[scaler("icon", read) for _ in range(10)], return_exceptions=True
    )
    assert most == 2
    assert {type(result) for result in results} == {ContentRejected}


async def test_a_picture_that_never_arrives_is_given_up_and_frees_its_place(monkeypatch):
    monkeypatch.setattr(wallet_images, "READ_TIMEOUT_S", 0)
    scaler = ImageScaler(read_at_once=1)

    async def never():
        await asyncio.Event().wait()
        return b""

    for _ in range(3):
        with pytest.raises(TimeoutError):
            await scaler("icon", never)
