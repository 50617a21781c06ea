"""The example of a shop's backend against the whole service, on real Kafka and Postgres."""

from __future__ import annotations

import importlib.util
import json
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx
import pytest

from passferry_contracts.events.passes import PassCreated, PassVoided
from passferry_contracts.events.rendered import PassRendered
from passferry_contracts.registry import (
    DEAD_LETTERS,
    PASS_CREATED,
    PASS_INBOUND,
    PASS_RENDERED,
    PASS_UPDATED,
    TOPICS,
)
from passferry_pass_issuer.app import service
from passferry_pass_issuer.app.commands import _create_administrator
from passferry_runtime.crypto import KeyRing
from passferry_testing.harness import eventually, running
from passferry_testing.pki import DemoAuthority

pytestmark = pytest.mark.integration

EXAMPLE = Path(__file__).parents[4] / "examples" / "shop_backend"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("shop_backend", EXAMPLE / "shop_backend.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def topics():
    # All of them, so that what the service hears besides is no matter here.
    return tuple(TOPICS.values())


@pytest.fixture
async def issuer(harness, make, tmp_path):
    """Starts the service; gives an HTTP client and what is told."""
    authority = DemoAuthority.create(tmp_path / "pki")
    (tmp_path / "wwdr").mkdir()
    (tmp_path / "wwdr" / "wwdr.pem").write_bytes(authority.wwdr_pem)
    for name in ("own", "shared"):
        (tmp_path / f"{name}.json").write_text(KeyRing.generate(name))
    await harness.migrate("pass-issuer", "passferry_pass_issuer.migrations")
    settings = make.press_settings(harness).model_copy(
        update={"wwdr_directory": tmp_path / "wwdr", "http_port": 0}
    )
    await _create_administrator(settings, harness.directory / "administrator")
    key = (harness.directory / "administrator").read_text().strip()

    @asynccontextmanager
    async def start():
        dead = DEAD_LETTERS["pass-issuer"]
        async with (
            harness.recording(PASS_RENDERED, PASS_CREATED, PASS_UPDATED) as told,
            harness.recording(dead) as letters,
            service(settings) as built,
            running(built),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app=built.http),
                base_url="http://issuer/api/v1",
                headers={"Authorization": f"Bearer {key}"},
            ) as http,
        ):
            yield http, told, letters

    return start


async def ask(http, method, path, status=201, **more):
    answer = await http.request(method, path, **more)
    assert answer.status_code == status, answer.text
    return answer.json()


async def set_up(http, make):
    """A workspace that requires signatures, with a program whose balances the shop keeps."""
    workspace_id = (await ask(http, "POST", "/workspaces", json={"name": "Shop"}))["workspace_id"]
    base = f"/workspaces/{workspace_id}"
    body = make.template_json(platform="apple", google_issuer_id=None)
    body.pop("google")
    template_id = (await ask(http, "POST", f"{base}/templates", json=body))["template_id"]
    for name in make.images:
        side = 29 * int(name.partition("@")[2][:1] or 1)
        path = f"{base}/templates/{template_id}/files/{name}"
        await ask(http, "PUT", path, status=200, content=make.png(side, side))
    await ask(http, "POST", f"{base}/templates/{template_id}/publish", status=200)
    program = {
        "name": "P",
        "protocol": "MEMBERSHIP",
        "template_id": template_id,
        "balance_owner": "upstream",
    }
    program_id = (await ask(http, "POST", f"{base}/programs", json=program))["program_id"]
    secret = (await ask(http, "POST", f"{base}/inbound-secrets"))["secret"]
    await ask(http, "PUT", f"{base}/inbound-signature", status=200, json={"required": True})
    return workspace_id, program_id, secret


def shown(rendering):
    return json.loads(rendering.apple.pass_json)["storeCard"]["headerFields"][0]["value"]


async def test_a_shop_issues_a_pass_and_keeps_it_current(issuer, harness, make, example):
    # proves: A19
    async with issuer() as (http, told, _):
        workspace_id, program_id, secret = await set_up(http, make)
        lines = (EXAMPLE / "events.ndjson").read_text().replace("PROGRAM_ID", program_id)
        shop = example.ShopBackend(
            brokers=harness.kafka.brokers,
            workspace_id=workspace_id,
            secret=secret,
            topic=harness.kafka.topic_prefix + PASS_INBOUND.name,
        )
        async with shop:
            sent = [await shop.send(each) for each in example.events_of(lines)]
            # Sent once more, each has the id that it had.
            assert [await shop.send(each) for each in example.events_of(lines)] == sent
            [created] = await told.expect(PassCreated)
            await eventually(
                lambda: 50 in [shown(each) for each in told.payloads(PassRendered)],
                what="the last balance",
            )
            await shop.redeem(
                "card-1001", version=4, amount_minor=50, remaining_minor=0, exhausted=True
            )
            [voided] = await told.expect(PassVoided)
        assert (created.external_id, voided.pass_id) == ("card-1001", created.pass_id)
        path = f"/workspaces/{workspace_id}/passes/external:card-1001"
        read = await ask(http, "GET", path, status=200)
        assert (read["status"], read["balance_minor"]) == ("voided", 50)
        assert UUID(read["pass_id"]) == created.pass_id


async def test_a_shop_with_another_secret_is_not_heard(issuer, harness, make, example):
    async with issuer() as (http, told, letters):
        workspace_id, program_id, secret = await set_up(http, make)
        topic = harness.kafka.topic_prefix + PASS_INBOUND.name
        given = {"brokers": harness.kafka.brokers, "workspace_id": workspace_id, "topic": topic}
        async with example.ShopBackend(secret="whsec_" + "A" * 43 + "=", **given) as forger:
            await forger.issue("card-1", program_id=program_id, version=1)
        [letter] = await letters.expect_records(1)
        assert letter.header("kafka_dlt-exception-fqcn") == b"signature_invalid"
        async with example.ShopBackend(secret=secret, **given) as shop:
            await shop.issue("card-1", program_id=program_id, version=1, holder={"full_name": "A"})
        assert len(await told.expect(PassCreated)) == 1
        connection = await asyncpg.connect(harness.admin_url)
        try:
            parked = await connection.fetchval("SELECT count(*) FROM pass_issuer.parked_records")
        finally:
            await connection.close()
        assert parked == 0


def test_a_line_that_is_no_event_is_named(example):
    with pytest.raises(SystemExit, match="line 2"):
        example.events_of('{"type": "pass.voided", "external_id": "a", "version": 1}\n{"type": 1}')


def test_a_secret_that_is_none_is_refused_at_once(example):
    with pytest.raises(ValueError, match="whsec_"):
        example.key_of("pf_live_abc")
