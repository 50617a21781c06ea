"""A workspace that requires signatures hears nothing else; on real Postgres."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from uuid import UUID

import pytest

from passferry_contracts.envelope import Envelope, encode_headers, encode_value
from passferry_contracts.events.inbound import InboundBalanceChanged, InboundPassCreated
from passferry_contracts.events.passes import PassCreated
from passferry_contracts.registry import PASS_INBOUND
from passferry_runtime.errors import Rejected, RetryLater
from passferry_runtime.kafka.records import Incoming, IncomingRecord
from passferry_testing.pki import DemoAuthority

pytestmark = pytest.mark.integration

AT = datetime(2026, 5, 14, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return DemoAuthority.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def office(harness, make, authority):
    async with make.open_office(harness, authority=authority) as opened:
        yield opened


def record(event, secret=None, *, event_id="e-1", headers=()):
    """As it lies in Kafka, signed when there is a secret."""
    envelope = Envelope(id=event_id, source="/shop", type=event.event_type, time=AT, data=event)
    value, key = encode_value(envelope), b"card-1"
    sent = [*encode_headers(envelope), *headers]
    if secret is not None:
        named = dict(sent)
        parts = [key, named["ce_type"], named["ce_id"], named["ce_time"], value]
        digest = hmac.new(
            base64.b64decode(secret.removeprefix("whsec_")), b"\n".join(parts), hashlib.sha256
        ).digest()
        sent.append(("pf-signature", b"v1," + base64.b64encode(digest)))
    return Incoming(IncomingRecord(PASS_INBOUND.name, 0, 0, 0, key, value, tuple(sent)), envelope)


class Shop:
    def __init__(self, office, workspace_id, program_id):
        self.office, self.workspace_id, self.program_id = office, workspace_id, program_id

    @property
    def base(self):
        return f"/workspaces/{self.workspace_id}"

    def created(self, external_id="card-1", workspace_id=None):
        return InboundPassCreated(
            workspace_id=UUID(workspace_id or self.workspace_id),
            external_id=external_id,
            program_id=UUID(self.program_id),
            version=1,
            occurred_at=AT,
        )

    def balance(self, version=2, external_id="card-1"):
        return InboundBalanceChanged(
            workspace_id=UUID(self.workspace_id),
            external_id=external_id,
            new_balance_minor=7,
            version=version,
            occurred_at=AT,
        )

    async def secret(self):
        made = await self.office.call("POST", f"{self.base}/inbound-secrets", status=201)
        return made["inbound_secret_id"], made["secret"]

    async def require(self, required=True, status=200):
        body = {"required": required}
        return await self.office.call(
            "PUT", f"{self.base}/inbound-signature", status=status, json=body
        )

    async def hear(self, *records):
        routes = self.office.press.routes(self.office.issuer)
        [route] = [each for each in routes if each.topic is PASS_INBOUND]
        return [each.code if each else None for each in await route.handler(records)]


async def open_shop(office, **workspace):
    workspace_id = await office.workspace(**workspace)
    return Shop(office, workspace_id, await office.program(workspace_id, balance_owner="upstream"))


@pytest.fixture
async def shop(office):
    return await open_shop(office)


async def test_what_is_not_signed_is_dead_lettered_and_never_waits(shop, office):
    _, secret = await shop.secret()
    # Made, but not required yet: everything is heard.
    assert await shop.hear(record(shop.created("card-0"))) == [None]
    await shop.require()
    routes = office.press.routes(office.issuer)
    [route] = [each for each in routes if each.topic is PASS_INBOUND]
    # Of a pass that is not known, so that an unsigned event could wait for it.
    unsigned = await route.handler([record(shop.balance()), record(shop.balance(), secret)])
    assert [(type(each), each.code) for each in unsigned] == [
        (Rejected, "signature_invalid"),
        (RetryLater, "pass_unknown"),
    ]
    assert await shop.hear(record(shop.created())) == ["signature_invalid"]
    assert await shop.hear(record(shop.created(), secret), record(shop.balance(), secret)) == [
        None,
        None,
    ]
    assert [each.external_id for each in await office.events(PassCreated)] == ["card-0", "card-1"]
    await shop.require(required=False)
    assert await shop.hear(record(shop.balance(9))) == [None]


async def test_a_signed_event_behind_a_forged_one_of_its_key_is_heard(shop):
    _, secret = await shop.secret()
    await shop.require()
    await shop.hear(record(shop.created(), secret))
    forged, signed = record(shop.balance(99)), record(shop.balance(2), secret)
    assert await shop.hear(forged, signed) == ["signature_invalid", None]


async def test_a_secret_of_one_workspace_signs_nothing_of_another(shop, office):
    # proves: J70
    other = await open_shop(office)
    _, own = await shop.secret()
    await other.secret()
    await other.require()
    assert await other.hear(record(other.created(), own)) == ["signature_invalid"]
    assert await office.events(PassCreated) == []


async def test_a_replayed_event_changes_nothing(shop, office):
    _, secret = await shop.secret()
    await shop.require()
    await shop.hear(record(shop.created(), secret))
    old = record(shop.balance(2), secret)
    await shop.hear(old, record(shop.balance(5), secret))
    before = await office.rows("SELECT revision, balance_minor FROM pass_issuer.pass")
    assert await shop.hear(old, old) == [None, None]
    assert await office.rows("SELECT revision, balance_minor FROM pass_issuer.pass") == before


async def test_two_secrets_are_live_for_a_rotation(shop, office):
    first_id, first = await shop.secret()
    await shop.require()
    _, second = await shop.secret()
    refused = await office.call("POST", f"{shop.base}/inbound-secrets", status=409)
    assert refused["code"] == "too_many_secrets"
    assert await shop.hear(record(shop.created("a"), first), record(shop.created("b"), second)) == [
        None,
        None,
    ]
    await office.call("DELETE", f"{shop.base}/inbound-secrets/{first_id}")
    assert await shop.hear(record(shop.created("c"), first), record(shop.created("d"), second)) == [
        "signature_invalid",
        None,
    ]


async def test_nobody_can_require_what_nobody_can_sign(shop, office):
    assert (await shop.require(status=409))["code"] == "no_secret"
    secret_id, _ = await shop.secret()
    shown = await shop.require()
    assert (shown["required"], len(shown["data"])) == (True, 1)
    path = f"{shop.base}/inbound-secrets/{secret_id}"
    assert (await office.call("DELETE", path, status=409))["code"] == "last_secret"
    await shop.require(required=False)
    await office.call("DELETE", path)
    assert (await office.call("DELETE", path, status=404))["code"] == "inbound_secret_not_found"


async def test_a_secret_is_shown_once_and_kept_as_ciphertext(shop, office):
    # proves: A14
    headers = {"Idempotency-Key": "k"}
    path = f"{shop.base}/inbound-secrets"
    made = await office.call("POST", path, status=201, headers=headers)
    # A repetition says that it was made, and not the secret.
    again = await office.call("POST", path, status=201, headers=headers)
    assert again == made | {"secret": None}
    listed = await office.call("GET", path)
    assert [set(each) for each in listed["data"]] == [
        {"inbound_secret_id", "created_by", "created_at"}
    ]
    secret = made["secret"].removeprefix("whsec_")
    for table in ("inbound_secret", "idempotency", "audit_log", "outbox"):
        rows = await office.rows(f"SELECT t::text AS row FROM pass_issuer.{table} t")
        raw = base64.b64decode(secret).hex()
        assert not any(secret in row["row"] or raw in row["row"] for row in rows), table


async def test_only_an_owner_of_the_workspace_keeps_secrets(shop, office):
    # proves: J70
    secret_id, _ = await shop.secret()
    manager = await office.key(shop.workspace_id, "manager")
    stranger = await office.key((await open_shop(office)).workspace_id, "owner")
    path = f"{shop.base}/inbound-secrets"
    for key, status in ((manager, 403), (stranger, 404)):
        await office.call("POST", path, key=key, status=status)
        await office.call("DELETE", f"{path}/{secret_id}", key=key, status=status)
        body = {"required": False}
        where = f"{shop.base}/inbound-signature"
        await office.call("PUT", where, key=key, status=status, json=body)
    await office.call("GET", path, key=manager)


async def test_a_parent_hears_no_events_and_its_child_hears_its_own(office):
    # proves: J67
    parent = await office.workspace(kind="parent")
    child = await open_shop(office, kind="child", parent_workspace_id=parent)
    to_parent = record(child.created(workspace_id=parent))
    assert await child.hear(to_parent) == ["workspace_without_passes"]
    assert await child.hear(record(child.created())) == [None]
    [created] = await office.events(PassCreated)
    assert created.workspace_id == UUID(child.workspace_id)


async def test_an_event_of_a_child_is_told_once_and_never_of_the_root(office):
    # proves: J67
    parent = await office.workspace(kind="parent")
    child = await open_shop(office, kind="child", parent_workspace_id=parent)
    root = await open_shop(office)
    await child.hear(record(child.created()))
    await root.hear(record(root.created()))
    await child.hear(record(child.balance()))
    told = [
        each.data.workspace_id
        for each in await office.envelopes()
        if each.data.event_type == "pass.balance_changed"
    ]
    assert told == [UUID(child.workspace_id)]
