"""A ciphertext that does not open: what it is and what helps is said, nothing of it is, and a pass
ends all the same."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from passferry_contracts.events.directory import LinkChanged
from passferry_contracts.events.passes import PassVoided
from passferry_contracts.events.rendered import PassRendered
from passferry_contracts.events.wallet import PassLinkOpened
from passferry_contracts.registry import PASS_RENDERED
from passferry_contracts.types import Platform
from passferry_pass_issuer.adapters.wallet_renderer import WalletRenderer
from passferry_pass_issuer.entrypoints.check_credentials import CredentialCheck
from passferry_testing.google_simulator.accounts import Accounts
from passferry_testing.pki import DemoAuthority

pytestmark = pytest.mark.integration

SPOIL = {
    "token": "UPDATE pass_issuer.pass SET authentication_token_ciphertext = '\\x00'",
    "holder": "UPDATE pass_issuer.holder SET personal_ciphertext = '\\x00'",
    "link": "UPDATE pass_issuer.link SET token_ciphertext = '\\x00'",
    "identity": "UPDATE pass_issuer.signing_identity SET private_key_ciphertext = '\\x00'",
    "account": "UPDATE pass_issuer.google_account SET credential_ciphertext = '\\x00'",
    "lookup": "UPDATE pass_issuer.workspace SET lookup_key_ciphertext = '\\x00'",
    "answer": "UPDATE pass_issuer.idempotency SET answer_ciphertext = '\\x00'",
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return DemoAuthority.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def office(harness, make, authority):
    async with make.open_office(harness, authority=authority) as opened:
        yield opened


class Shop:
    def __init__(self, office, workspace_id, program_id):
        self.office, self.workspace_id, self.program_id = office, workspace_id, program_id
        self.base = f"/workspaces/{workspace_id}"

    async def issue(self, **body):
        given = {"program_id": self.program_id, **body}
        return await self.office.call("POST", f"{self.base}/passes", status=201, json=given)

    async def open_link(self, issued, platform):
        opened = PassLinkOpened(
            workspace_id=UUID(self.workspace_id),
            pass_id=UUID(issued["pass_id"]),
            platform=platform,
            needs_rendering=True,
            occurred_at=self.office.clock.now(),
        )
        assert await self.office.hear(opened) == [None]

    async def spoil(self, what):
        await self.office.rows(f"{SPOIL[what]} WHERE workspace_id = $1", UUID(self.workspace_id))
        self.office.stores.credentials.forget(UUID(self.workspace_id))

    async def last(self, issued):
        told = await self.office.events(PassRendered)
        return [each for each in told if str(each.pass_id) == issued["pass_id"]][-1]

    async def findings(self):
        health = await self.office.call("GET", f"{self.base}/health")
        return {each["code"]: each for each in health["findings"]}


@pytest.fixture
async def shop(office, make, authority):
    workspace_id = await office.workspace()
    program_id = await office.program(workspace_id)
    await office.give_identity(workspace_id, authority)
    account = Accounts(now=lambda: office.clock.now().timestamp()).create(
        make.issuer_id, token_uri="https://oauth2.example/token"
    )
    body = {"issuer_id": make.issuer_id, "service_account": account}
    path = f"/workspaces/{workspace_id}/google-accounts"
    await office.call("POST", path, status=201, json=body)
    return Shop(office, workspace_id, program_id)


async def health_of(office):
    check = CredentialCheck(office.issuer.watch_credentials, office.clock)
    return await check.probe()


async def test_a_pass_is_voided_although_the_key_of_its_identity_does_not_open(
    office, shop, authority
):
    # proves: A5, A14
    one, beside = await shop.issue(), await shop.issue()
    await shop.open_link(one, Platform.APPLE)
    assert (await shop.last(one)).apple.signature is not None
    await shop.spoil("identity")
    await office.call("POST", f"{shop.base}/passes/{one['pass_id']}/void")
    last = await shop.last(one)
    assert json.loads(last.apple.pass_json)["voided"] is True
    # As with a missing identity: it is stored unsigned, and that is shown.
    assert last.apple.signature is None
    finding = (await shop.findings())["signing_identity_unreadable"]
    assert "upload it again" in finding["detail"]
    overall = await health_of(office)
    assert overall.state == "degraded"
    assert "signing_identity_unreadable" in overall.detail
    # What is not on a device is not signed, and knows nothing of it.
    fields = {"fields": {"favourite": "tea"}}
    await office.call("PATCH", f"{shop.base}/passes/{beside['pass_id']}", json=fields)
    await office.give_identity(shop.workspace_id, authority)
    assert "signing_identity_unreadable" not in await shop.findings()
    assert (await health_of(office)).state == "ok"
    await shop.open_link(one, Platform.APPLE)
    assert (await shop.last(one)).apple.signature is not None


async def test_a_pass_is_voided_although_the_key_of_the_google_account_does_not_open(office, shop):
    # proves: A5, A14
    one = await shop.issue()
    await shop.spoil("account")
    await shop.open_link(one, Platform.GOOGLE)
    await office.call("POST", f"{shop.base}/passes/{one['pass_id']}/void")
    assert (await shop.last(one)).google.object_body["state"] == "INACTIVE"
    finding = (await shop.findings())["google_account_unreadable"]
    assert "upload it again" in finding["detail"]


async def test_a_pass_is_voided_and_deleted_although_the_address_of_its_link_does_not_open(
    office, shop
):
    # proves: A5
    one = await shop.issue()
    path = f"{shop.base}/passes/{one['pass_id']}"
    await shop.spoil("link")
    [link] = (await office.call("GET", f"{path}/links"))["data"]
    assert link["url"] is None
    refused = await office.call("GET", f"{path}/links/{link['link_id']}/qr.svg", status=409)
    assert "make another link" in refused["detail"]
    assert (await office.call("POST", f"{path}/void"))["link"] is None
    await office.call("DELETE", path)
    assert (await office.events(LinkChanged))[-1].revoked is True


async def test_what_does_not_open_is_named_with_what_helps_and_nothing_of_it(office, shop):
    # proves: A14
    one = await shop.issue(holder={"external_id": "ana", "full_name": "Ana Planted"})
    path = f"{shop.base}/passes/{one['pass_id']}"
    await shop.spoil("token")
    asked = {"json": {"fields": {"favourite": "tea"}}}
    refused = await office.call("PATCH", path, status=503, **asked)
    assert refused["code"] == "unreadable"
    assert refused["errors"][0]["field"] == "pass.authentication_token"
    assert one["pass_id"] in refused["detail"]
    assert "put the key back" in refused["detail"]
    await shop.spoil("holder")
    holder = f"{shop.base}/holders/external:ana"
    refused = await office.call("GET", holder, status=503)
    assert one["holder_id"] in refused["detail"]
    assert "Planted" not in json.dumps(refused)


async def test_a_pass_whose_token_does_not_open_ends_as_any_other(office, shop):
    # proves: A5, A14
    one = await shop.issue(holder={"external_id": "ana", "full_name": "Ana Planted"})
    before = json.loads((await shop.last(one)).apple.pass_json)
    await shop.spoil("token")
    answer = await office.call("POST", f"{shop.base}/passes/{one['pass_id']}/void")
    last = await shop.last(one)
    assert (answer["revision"], last.revision, last.status) == (2, 2, "voided")
    shown = json.loads(last.apple.pass_json)
    assert shown["voided"] is True
    # With the token that the phone has, and all that the card says.
    assert shown["authenticationToken"] == before["authenticationToken"]
    assert shown["storeCard"] == before["storeCard"]
    assert last.google.object_body["state"] == "INACTIVE"


async def test_a_pass_whose_holder_does_not_open_ends_bare(office, shop):
    # proves: A5, A14
    one = await shop.issue(holder={"external_id": "ana", "full_name": "Ana Planted"})
    await shop.spoil("holder")
    await office.call("POST", f"{shop.base}/passes/{one['pass_id']}/void")
    last = await shop.last(one)
    shown = json.loads(last.apple.pass_json)
    assert (last.revision, shown["voided"]) == (2, True)
    assert "Planted" not in last.apple.pass_json
    assert last.google.object_body["state"] == "INACTIVE"


async def test_a_pass_for_google_alone_ends_although_its_token_does_not_open(office, make, shop):
    # proves: A5
    base = f"/workspaces/{shop.workspace_id}/templates"
    content = make.template_json(platform="google") | {"apple": None}
    made = await office.call("POST", base, status=201, json=content)
    template_id = made["template_id"]
    await office.call("POST", f"{base}/{template_id}/publish")
    program_id = await office.program(shop.workspace_id, template_id=template_id)
    one = await shop.issue(program_id=program_id)
    await shop.spoil("token")
    await office.call("POST", f"{shop.base}/passes/{one['pass_id']}/void")
    last = await shop.last(one)
    assert last.apple is None
    assert last.google.object_body["state"] == "INACTIVE"


async def test_a_token_that_is_not_the_one_of_the_pass_is_told_to_nobody(office, shop):
    # proves: A14
    one, other = await shop.issue(), await shop.issue()
    await shop.spoil("token")
    await office.rows(
        "UPDATE pass_issuer.pass AS a SET pass_json = b.pass_json FROM pass_issuer.pass AS b"
        " WHERE a.pass_id = $1 AND b.pass_id = $2",
        UUID(one["pass_id"]),
        UUID(other["pass_id"]),
    )
    answer = await office.call("POST", f"{shop.base}/passes/{one['pass_id']}/void")
    assert (answer["status"], answer["revision"]) == ("voided", 1)
    [told] = await office.events(PassVoided)
    assert told.revision == 1
    assert (await shop.last(one)).revision == 1


@pytest.mark.parametrize("what", ["token", "holder"])
@pytest.mark.parametrize("by_erasure", [True, False])
async def test_phones_hear_that_a_pass_is_gone_whatever_does_not_open(
    office, shop, what, by_erasure
):
    # proves: J71, J93
    one = await shop.issue(holder={"external_id": "ana", "full_name": "Ana Planted"})
    await shop.spoil(what)
    if by_erasure:
        await office.call("POST", f"{shop.base}/holders/external:ana/erasure")
    else:
        await office.call("DELETE", f"{shop.base}/passes/{one['pass_id']}")
    last = await shop.last(one)
    assert last.revision == 2
    assert json.loads(last.apple.pass_json)["voided"] is True
    assert last.google.object_body["state"] == "INACTIVE"
    if by_erasure:
        assert "Planted" not in last.model_dump_json()
    key = PASS_RENDERED.name, one["pass_id"]
    await office.issuer.life.keep_time()
    # They have as long as with every deleted pass to fetch it.
    assert (await office.compacted(PASS_RENDERED))[key] is not None
    office.clock.advance(timedelta(hours=25))
    await office.issuer.life.keep_time()
    assert (await office.compacted(PASS_RENDERED))[key] is None


async def test_a_remembered_answer_that_does_not_open_is_not_given_again(office, shop):
    # proves: A14
    asked = {
        "json": {"name": "Till", "role": "viewer"},
        "headers": {"Idempotency-Key": "own-words"},
    }
    await office.call("POST", f"{shop.base}/api-keys", status=201, **asked)
    await shop.spoil("answer")
    refused = await office.call("POST", f"{shop.base}/api-keys", status=503, **asked)
    assert "use another Idempotency-Key" in refused["detail"]
    assert "own-words" not in json.dumps(refused)


async def test_an_order_that_needs_the_look_up_key_says_so(office, shop):
    # proves: A14
    await shop.spoil("lookup")
    body = {"program_id": shop.program_id, "holder": {"email": "ana@planted.example"}}
    refused = await office.call("POST", f"{shop.base}/passes", status=503, json=body)
    assert refused["errors"][0]["field"] == "workspace.lookup_key"
    assert "planted" not in json.dumps(refused)


LOOKUP_KEY = """
SELECT lookup_key_ciphertext AS key FROM pass_issuer.workspace WHERE workspace_id = $1
"""
PUT_LOOKUP_KEY_BACK = """
UPDATE pass_issuer.workspace SET lookup_key_ciphertext = $2 WHERE workspace_id = $1
"""


async def test_who_is_not_erased_without_the_look_up_key_is_emptied_until_it_is_back(office, shop):
    # proves: A14, J71
    one = await shop.issue(holder={"external_id": "ana", "full_name": "Ana Planted"})
    holder = f"{shop.base}/holders/external:ana"
    workspace_id = UUID(shop.workspace_id)
    [kept] = await office.rows(LOOKUP_KEY, workspace_id)
    await shop.spoil("lookup")
    # Their names could not be remembered, and an old order would bring them back: all or nothing.
    refused = await office.call("POST", f"{holder}/erasure", status=503)
    assert refused["errors"][0]["field"] == "workspace.lookup_key"
    assert (await office.call("GET", holder))["full_name"] == "Ana Planted"
    # What can be done until then.
    assert (await office.call("PUT", holder, json={}))["full_name"] is None
    await office.call("DELETE", f"{shop.base}/passes/{one['pass_id']}")
    await office.rows(PUT_LOOKUP_KEY_BACK, workspace_id, kept["key"])
    assert (await office.call("POST", f"{holder}/erasure"))["passes_erased"] is True


async def test_a_pass_whose_last_revision_fits_into_no_event_ends_bare(office, shop, monkeypatch):
    # proves: A5
    one = await shop.issue()
    await shop.open_link(one, Platform.APPLE)
    render = WalletRenderer.render

    def large(self, subject):
        drawn = render(self, subject)
        body = {**drawn.google_object, "heroImage": "x" * PASS_RENDERED.max_record_bytes}
        return replace(drawn, google_object=body, content_sha256="0" * 64)

    monkeypatch.setattr(WalletRenderer, "render", large)
    path = f"{shop.base}/passes/{one['pass_id']}"
    fields = {"json": {"fields": {"favourite": "tea"}}}
    refused = await office.call("PATCH", path, status=422, **fields)
    assert refused["code"] == "too_large"
    answer = await office.call("POST", f"{path}/void")
    assert (answer["status"], answer["signed"]) == ("voided", True)
    last = await shop.last(one)
    assert last.revision == answer["revision"]
    assert last.google.object_body["state"] == "INACTIVE"
    assert json.loads(last.apple.pass_json)["voided"] is True
    assert len(await office.events(PassVoided)) == 1
