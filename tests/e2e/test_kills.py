"""Kill -9 of every service in turn, and of Kafka, during the day: nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
import time

import pytest

from passferry_contracts.events.balances import PassBalanceChanged
from passferry_contracts.registry import SERVICES
from passferry_demo.__main__ import EXAMPLES
from passferry_demo.platform import running_platform
from passferry_demo.story import Story

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

LINES_PER_SECOND = 25.0
PAUSE_S = 2.0
AWAY_S = 0.5


def quiet(_: object, *__: object) -> None:
    """Progress is for people."""


@pytest.fixture
def platform():
    with running_platform() as running:
        yield running


async def kill_everything_once(platform, told: list[str]) -> None:
    """Each service, then the broker; each comes back before the next one goes."""
    for service in SERVICES:
        await asyncio.sleep(PAUSE_S)
        process = platform.services[service]
        await asyncio.to_thread(process.kill)
        await asyncio.sleep(AWAY_S)
        began_at = time.monotonic()
        await asyncio.to_thread(platform.restart, service)
        told.append(f"{service} back after {time.monotonic() - began_at:.1f} s")
    await asyncio.sleep(PAUSE_S)
    broker = platform.stack.kafka
    await asyncio.to_thread(broker.kill)
    await asyncio.sleep(AWAY_S)
    await asyncio.to_thread(broker.start)
    await asyncio.to_thread(broker.wait_ready, 30.0)
    told.append("kafka back")


async def test_a_day_with_every_process_killed_once_still_adds_up(platform, http_client):
    """proves: J45, J107"""
    told: list[str] = []
    async with Story(platform, http_client, EXAMPLES).open() as story:
        await story.set_up(quiet)
        await story.install(quiet)
        async with asyncio.TaskGroup() as group:
            group.create_task(kill_everything_once(platform, told))
            group.create_task(story.play_day(quiet, lines_per_second=LINES_PER_SECOND))
        reconciliation = await story.settle()
        outcome = await story.finish(reconciliation, 0.0)
        assert len(told) == len(SERVICES) + 1, told
        assert outcome.faults(with_outages=True) == []
        _versions_appear_in_order(story)


def _versions_appear_in_order(story) -> None:
    """First appearances per pass rise without gaps, whatever was sent again after a crash."""
    seen: dict[object, list[int]] = {}
    for event in story.observatory.recorder.payloads(PassBalanceChanged):
        if event.workspace_id == story.cafe.workspace_id:
            seen.setdefault(event.pass_id, []).append(event.version)
    for versions in seen.values():
        first = list(dict.fromkeys(versions))
        assert first == list(range(first[0], first[0] + len(first)))
