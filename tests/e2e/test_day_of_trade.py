"""A café's day of trade through five real processes, onto phones."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time

import httpx
import pytest
from aiokafka import AIOKafkaConsumer

from passferry_demo.__main__ import EXAMPLES
from passferry_demo.platform import running_platform
from passferry_demo.story import Story
from passferry_runtime.tracing import new_traceparent
from passferry_testing.pass_reader import verify_with_openssl
from passferry_testing.virtual_iphone import SAFARI
from passferry_testing.virtual_iphone_fleet import KEEPALIVE_EXPIRY_S

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]


def quiet(_: object, *__: object) -> None:
    """Progress is for people."""


@pytest.fixture(scope="module")
def platform():
    with running_platform() as running:
        yield running


@contextlib.asynccontextmanager
async def opened_story(platform):
    limits = httpx.Limits(keepalive_expiry=KEEPALIVE_EXPIRY_S)
    async with (
        httpx.AsyncClient(timeout=20, limits=limits, trust_env=False) as http,
        Story(platform, http, EXAMPLES).open() as story,
    ):
        yield story


async def test_the_day_adds_up_on_every_phone_and_nothing_crosses_workspaces(platform):
    """From a purchase to the phone: balances, phones, Google, duplicates, dead letters, tenancy.

    proves: A17, A19, J1, J17, J20, J70, J92, J105, J106, J66
    """
    async with opened_story(platform) as story:
        await story.set_up(quiet)
        await story.install(quiet)
        await story.follow_one_purchase(quiet)
        started_at = time.monotonic()
        await story.play_day(quiet, lines_per_second=None)
        reconciliation = await story.settle()
        outcome = await story.finish(reconciliation, time.monotonic() - started_at)
        assert outcome.faults() == []
        assert outcome.phones == 240
        assert outcome.log_lines == 0, "a phone was rung before it could fetch"
        assert outcome.commands["insufficient_balance"] == outcome.expected["refused_overspending"]
        assert outcome.commands["replayed"] == outcome.expected["duplicates"]
        statistics = story.wallets.fleet.summary()
        assert statistics["rings"] > 0
        await _signatures_satisfy_openssl(story, platform)
        await _equal_serial_numbers_stay_apart(story)
        await _one_trace_leads_from_the_till_to_the_push(story, platform)
        await _every_route_is_described(story, platform)
        _log_lines_of_tenant_work_name_their_workspace(platform)


async def _signatures_satisfy_openssl(story, platform) -> None:
    """The signature of a downloaded pass, by the command line of OpenSSL."""
    link = next(iter(story.cafe.passes.values()))["link"]
    answer = await story.http.get(link, headers={"User-Agent": SAFARI})
    assert answer.headers["content-type"] == "application/vnd.apple.pkpass"
    verify_with_openssl(answer.content, root_pem=platform.authority.root_pem)


async def _equal_serial_numbers_stay_apart(story) -> None:
    """One serial number, external id and device id in two workspaces: two different passes."""
    serial = "one-serial-number-for-two"
    shown = {}
    for workspace in (story.cafe, story.bookshop):
        body = {
            "program_id": workspace.program_id,
            "external_id": "twin-1",
            "serial_number": serial,
            "opening_balance_minor": 5 if workspace is story.cafe else 7,
        }
        path = f"/api/v1/workspaces/{workspace.workspace_id}/passes"
        made = await story.operator.ask("pass-issuer", "POST", path, workspace.api_key, json=body)
        workspace.passes["twin-1"] = made
        await story.wallets.install_on_iphones(workspace, ["twin-1"])
        shown[workspace.slug] = story.wallets.shown(workspace.slug, "twin-1")
        assert made["serial_number"] == serial
    assert shown == {"cafe": 5, "bookshop": 7}


async def _one_trace_leads_from_the_till_to_the_push(story, platform) -> None:
    """The till's trace id is on every event of the way, and on the report of the push."""
    traceparent = new_traceparent()
    topics = ("pass.balance_changed", "pass.rendered", "wallet.activity", "delivery.completed")
    consumer = AIOKafkaConsumer(*topics, bootstrap_servers=platform.backends.kafka_brokers)
    await consumer.start()
    try:
        await consumer.seek_to_end()
        cafe = story.cafe
        path = f"/api/v1/workspaces/{cafe.workspace_id}/passes/external:twin-1/earn"
        headers = {"Idempotency-Key": "traced-1", "traceparent": traceparent}
        await story.operator.ask(
            "ledger", "POST", path, cafe.api_key, json={"amount_minor": 1}, headers=headers
        )
        seen: set[str] = set()
        async with asyncio.timeout(20):
            while seen != set(topics):
                record = await consumer.getone()
                context = dict(record.headers).get("traceparent", b"").decode()
                if context[:36] == traceparent[:36]:
                    seen.add(record.topic)
    finally:
        await consumer.stop()


async def _every_route_is_described(story, platform) -> None:
    """Each operation of our API says who may call it and how it refuses."""
    described = 0
    for service in platform.services:
        document = (await story.http.get(f"{platform.url(service)}/openapi.json")).json()
        for path, methods in document["paths"].items():
            if not path.startswith("/api/"):
                continue
            for method, operation in methods.items():
                name = f"{service} {method} {path}"
                assert operation["security"] == [{"bearer": []}, {"apiKey": []}], name
                assert operation["tags"], name
                assert operation["summary"], name
                refused = operation["responses"]["4XX"]["content"]
                assert "application/problem+json" in refused, name
                described += 1
    assert described > 40


#: A line with one of these is about a workspace.
TENANT_FIELDS = {"pass_id", "external_id", "delivery_id", "device_library_identifier", "offset"}


def _log_lines_of_tenant_work_name_their_workspace(platform) -> None:
    tenant_lines = 0
    for service in platform.services:
        for line in platform.log_path(service).read_text().splitlines():
            fields = json.loads(line)
            if TENANT_FIELDS & fields.keys():
                tenant_lines += 1
                assert "workspace_id" in fields, line
    assert tenant_lines > 0
