"""Google's root keys are fetched seldom and outlive an outage."""

from __future__ import annotations

import time

import httpx
import pytest

from passferry_testing.google_simulator.callbacks import CallbackKeys
from passferry_wallet_webservice.adapters import google_root_keys
from passferry_wallet_webservice.adapters.google_root_keys import GoogleRootKeys


class FakeGoogle:
    """Answers with `status` and `body`; counts."""

    def __init__(self) -> None:
        self.asked, self.status, self.headers = 0, 200, {"Cache-Control": "max-age=3600"}
        self.body: object = CallbackKeys(time.time).root_keys()

    def keys(self) -> GoogleRootKeys:
        client = httpx.AsyncClient(transport=httpx.MockTransport(self.answer))
        return GoogleRootKeys(client, "https://google.example/keys")

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        if self.status == 0:
            raise httpx.ConnectError("unreachable")
        return httpx.Response(self.status, json=self.body, headers=self.headers)


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1_000.0

    monkeypatch.setattr(google_root_keys.time, "monotonic", lambda: Clock.now)
    return Clock


@pytest.mark.parametrize(
    ("headers", "refreshed_after_s"),
    [
        ({"Cache-Control": "public, max-age=3600"}, 1_800),
        ({"Cache-Control": "max-age=3600", "Age": "1600"}, 1_000),
        ({"Cache-Control": "max-age=1"}, 60),
        ({"Cache-Control": "max-age=99999999"}, 86_400),
        ({"Cache-Control": "no-store"}, 60),
        ({}, 60),
    ],
)
async def test_keys_are_refreshed_at_half_of_their_life(clock, headers, refreshed_after_s):
    """proves: J74"""
    google = FakeGoogle()
    google.headers = headers
    keys = google.keys()
    assert len(await keys()) == 2
    clock.now += refreshed_after_s - 1
    await keys()
    assert google.asked == 1
    clock.now += 1
    await keys()
    assert google.asked == 2


@pytest.mark.parametrize(
    ("status", "body"),
    [(0, None), (500, {}), (302, {}), (200, {}), (200, {"keys": []}), (200, ["x" * 70_000])],
)
async def test_the_last_good_keys_serve_on(clock, status, body):
    """proves: J74"""
    google = FakeGoogle()
    keys = google.keys()
    good = await keys()
    google.status, google.body = status, body
    clock.now += 90_000
    assert await keys() == good
    await keys()
    assert google.asked == 2, "it is not asked again at once"
    clock.now += 61
    await keys()
    assert google.asked == 3


async def test_without_any_keys_there_are_none(clock):
    google = FakeGoogle()
    google.status = 0
    assert list(await google.keys()()) == []
