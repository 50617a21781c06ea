"""A lost card, a message, and the right to be forgotten, through five real processes."""

from __future__ import annotations

import asyncio
import uuid

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from passferry_contracts.registry import LINK_CHANGED, PASS_RENDERED, SERVICES, TOPICS
from passferry_demo.__main__ import EXAMPLES
from passferry_demo.operator import Operator
from passferry_demo.platform import Options, running_platform
from passferry_runtime.migrations import schema_of
from passferry_testing.virtual_iphone import SAFARI

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PATIENCE_S = 40.0
PERSON = {
    "full_name": "Quintessa Planted",
    "email": "quintessa.planted@example.org",
    "phone": "+49 40 7654321",
    "tags": ["planted-tag"],
}
SECRETS = ("planted", "quintessa", "7654321")
#: Such a phone's time to fetch the last revision would be a day.
SHORTLY = {"PASSFERRY_FORGET_AFTER_S": "4", "PASSFERRY_TIME_INTERVAL_S": "0.5"}


@pytest.fixture(scope="module")
def platform():
    with running_platform(lambda _: None, Options(of_service={"pass-issuer": SHORTLY})) as running:
        yield running


async def eventually(probe, *, wanted=True):
    """What `probe` says, as soon as it is (or is not) anything."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        answer = await probe()
        if bool(answer) is wanted:
            return answer
        assert asyncio.get_running_loop().time() < deadline, answer
        await asyncio.sleep(0.2)


class Shop:
    """One workspace, as its operator and its till see it."""

    def __init__(self, operator, workspace):
        self.operator, self.workspace = operator, workspace
        self.base = f"/api/v1/workspaces/{workspace.workspace_id}"

    async def issuer(self, method, path, **more):
        key = self.workspace.api_key
        return await self.operator.ask("pass-issuer", method, f"{self.base}{path}", key, **more)

    async def till(self, method, path, **more):
        key = self.workspace.api_key
        return await self.operator.ask("ledger", method, f"{self.base}{path}", key, **more)

    async def balance(self, pass_id):
        return (await self.till("GET", f"/passes/{pass_id}/balance"))["balance_minor"]


async def stored(platform):
    """Every row of every service's schema that names the person."""
    found = []
    connection = await asyncpg.connect(platform.backends.postgres_admin_url)
    try:
        for service in SERVICES:
            schema = schema_of(service)
            tables = await connection.fetch(
                "SELECT table_name FROM information_schema.tables WHERE table_schema = $1", schema
            )
            assert tables
            for table in tables:
                name = f'{schema}."{table["table_name"]}"'
                # What is bytes reads as hex, so that it is looked at as text too.
                rows = await connection.fetch(f"SELECT lower(t::text) AS row FROM {name} t")
                found += [name for row in rows if names_the_person(row["row"])]
    finally:
        await connection.close()
    return found


def names_the_person(text):
    return any(secret in text or secret.encode().hex() in text for secret in SECRETS)


async def waits_to_be_sent(platform):
    connection = await asyncpg.connect(platform.backends.postgres_admin_url)
    try:
        return await connection.fetchval(f"SELECT count(*) FROM {schema_of('pass-issuer')}.outbox")
    finally:
        await connection.close()


async def records_of(platform, topics, *, since=None):
    """All of them, or those from the offsets `since` on."""
    consumer = AIOKafkaConsumer(bootstrap_servers=platform.backends.kafka_brokers)
    await consumer.start()
    found = []
    try:
        places = places_of(topics)
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        await consumer.seek_to_beginning(*places)
        for place in places if since is not None else ():
            consumer.seek(place, since[place])
        while [place for place in places if await consumer.position(place) < ends[place]]:
            for place, records in (await consumer.getmany(timeout_ms=500)).items():
                found += [(place.topic, record) for record in records]
    finally:
        await consumer.stop()
    return found


def places_of(topics):
    return [
        TopicPartition(each.name, number) for each in topics for number in range(each.partitions)
    ]


async def ends_of(platform, topics):
    consumer = AIOKafkaConsumer(bootstrap_servers=platform.backends.kafka_brokers)
    await consumer.start()
    try:
        return await consumer.end_offsets(places_of(topics))
    finally:
        await consumer.stop()


async def compacted(platform, *topics):
    """The last record of each key, as compaction leaves it."""
    return {
        (topic, record.key): record.value for topic, record in await records_of(platform, topics)
    }


async def is_served(http, issued):
    return (await http.get(issued["link"], headers={"User-Agent": SAFARI})).is_success


async def test_a_lost_card_is_replaced_and_its_holder_forgotten_everywhere(platform, http_client):
    """proves: J93"""
    operator = Operator(platform, http_client)
    made = await operator.make_workspace(
        "cafe", "Café", EXAMPLES, business_ids=[f"b-{uuid.uuid4().hex[:8]}"]
    )
    shop = Shop(operator, made)
    await shop.issuer("PUT", "/holders/external:planted-1", json=PERSON)
    lost = await shop.issuer(
        "POST",
        "/passes",
        json={
            "program_id": made.program_id,
            "external_id": "planted-card",
            "code": "PLANTED-1",
            "holder": {"external_id": "planted-1"},
            "fields": {"favourite": "Planted flat white"},
            "opening_balance_minor": 30,
        },
    )
    # Somebody opened it on a phone, so that it is signed and served.
    await eventually(lambda: is_served(http_client, lost))
    earned = {"amount_minor": 40}
    key = {"Idempotency-Key": "till-1"}
    await shop.till("POST", f"/passes/{lost['pass_id']}/earn", json=earned, headers=key)

    # The card is lost: what it holds moves, and only then it is void.
    path = f"/passes/{lost['pass_id']}/reissue"
    new = (await shop.issuer("POST", path, json={"external_id": "planted-card-2"}))["pass"]

    async def is_done():
        return (await shop.issuer("POST", path))["state"] == "done"

    await eventually(is_done)
    assert [await shop.balance(each["pass_id"]) for each in (lost, new)] == [0, 70]
    shown = await shop.issuer("GET", f"/passes/{lost['pass_id']}")
    assert (shown["status"], shown["status_reason"]) == ("voided", "replaced")

    async def shows_the_balance():
        return (await shop.issuer("GET", f"/passes/{new['pass_id']}"))["balance_minor"] == 70

    await eventually(shows_the_balance)
    message = {"header": "Planted", "body": "Dear Quintessa"}
    await shop.issuer("POST", f"/passes/{new['pass_id']}/messages", json=message)
    await eventually(lambda: is_served(http_client, new))

    # The person asks to be forgotten.
    assert await stored(platform)
    await eventually(lambda: waits_to_be_sent(platform), wanted=False)
    passing = [each for each in TOPICS.values() if not each.compacted]
    before = await ends_of(platform, passing)
    await shop.issuer("POST", "/holders/external:planted-1/erasure")
    await eventually(lambda: stored(platform), wanted=False)
    kept = {}

    async def are_tombstones():
        lasting = [each for each in TOPICS.values() if each.compacted]
        kept.update(await compacted(platform, *lasting))
        mine = [each["pass_id"].encode() for each in (lost, new)]
        return all(kept.get((PASS_RENDERED.name, pass_id), b"") is None for pass_id in mine)

    await eventually(are_tombstones)
    assert not [
        key for key, value in kept.items() if names_the_person((value or b"").decode().lower())
    ]
    assert [value for (topic, _), value in kept.items() if topic == LINK_CHANGED.name] == [None] * 2
    # The other topics keep what came since, once retention took the rest.
    since = await records_of(platform, passing, since=before)
    assert "pass.updated" in {topic for topic, _ in since}
    said = [f"{each.key} {each.headers} {each.value}".lower() for _, each in since]
    assert not [each for each in said if names_the_person(each)]

    # The web service has nothing left to give, and the ledger keeps its entries.
    async def is_gone():
        answer = await http_client.get(new["link"], headers={"User-Agent": SAFARI})
        return answer.status_code in {404, 410}

    await eventually(is_gone)
    assert await shop.balance(new["pass_id"]) == 70
    spend = await operator.call(
        "ledger",
        "POST",
        f"{shop.base}/passes/{new['pass_id']}/redeem",
        made.api_key,
        json={"amount_minor": 1},
        headers={"Idempotency-Key": "till-2"},
    )
    assert spend.json()["code"] == "account_closed"
