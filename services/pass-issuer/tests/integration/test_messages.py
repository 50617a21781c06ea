"""Messages on passes, from the API and from journeys, on real Postgres and real formats."""

from __future__ import annotations

import json
from uuid import UUID, uuid4

import pytest

from passferry_contracts.events.deliveries import MessageIssued, MessageRequested
from passferry_contracts.events.rendered import PassRendered
from passferry_pass_issuer.adapters.wallet_renderer import WalletRenderer
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_runtime.errors import Rejected, RetryLater
from passferry_testing.pki import DemoAuthority

pytestmark = pytest.mark.integration

NEWS = {
    "key": "message",
    "label": "News",
    "value": {"source": "message.latest"},
    "change_message": "%@",
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return DemoAuthority.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def office(harness, make, authority):
    async with make.open_office(harness, authority=authority) as opened:
        yield opened


@pytest.fixture
async def shop(office, make):
    workspace_id = await office.workspace()
    base = f"/workspaces/{workspace_id}"
    layout = make.template_json()["apple"]
    layout = layout | {"fields": layout["fields"] | {"back": [NEWS]}}
    template_id = await office.template(workspace_id, apple=layout)
    program_id = await office.program(workspace_id, template_id=template_id)

    async def issue(**body):
        body = {"program_id": program_id, "opening_balance_minor": 30, **body}
        return await office.call("POST", f"{base}/passes", status=201, json=body)

    issue.base, issue.workspace_id, issue.template_id = base, workspace_id, template_id
    return issue


def requested(shop, issued, **changes):
    given = {
        "workspace_id": UUID(shop.workspace_id),
        "pass_id": UUID(issued["pass_id"]),
        "message_id": "journey-1",
        "header": "Hello",
        "body": "Cake day",
        "requested_by": "journey",
        "requested_at": issued["created_at"],
    }
    return MessageRequested(**(given | changes))


def shown(rendering):
    back = json.loads(rendering.apple.pass_json)["storeCard"].get("backFields", [])
    return [field["value"] for field in back]


async def test_a_message_is_told_once_shows_on_apple_and_changes_no_balance(office, shop):
    # proves: J71
    one = await shop()
    path = f"{shop.base}/passes/{one['pass_id']}"
    body = {"message_id": "m-1", "header": "Hello", "body": "Cake day", "notify": False}
    sent = await office.call("POST", f"{path}/messages", status=201, json=body)
    assert (sent["message_id"], sent["issued"]) == ("m-1", True)
    again = await office.call("POST", f"{path}/messages", status=201, json=body)
    assert again["issued"] is False
    [told] = await office.events(MessageIssued)
    assert (str(told.pass_id), told.header, told.body) == (one["pass_id"], "Hello", "Cake day")
    assert (told.notify, told.has_google_part) == (False, True)
    last = (await office.events(PassRendered))[-1]
    assert (last.revision, shown(last)) == (2, ["Hello\nCake day"])
    assert [cause.event_type for cause in last.causes] == ["message.issued"]
    field = json.loads(last.apple.pass_json)["storeCard"]["backFields"][0]
    assert field["changeMessage"] == "%@"
    after = await office.call("GET", path)
    assert (after["balance_minor"], after["status"]) == (one["balance_minor"], "active")
    [audited] = await office.rows(
        "SELECT after FROM pass_issuer.audit_log WHERE action = 'message.issued'"
    )
    assert "Cake" not in audited["after"]
    [kept] = await office.rows("SELECT m::text AS row FROM pass_issuer.issued_message m")
    assert "Cake" not in kept["row"]


async def test_an_idempotency_key_gives_the_first_answer_again(office, shop):
    one = await shop()
    path = f"{shop.base}/passes/{one['pass_id']}/messages"
    key = {"Idempotency-Key": "k-1"}
    first = await office.call("POST", path, status=201, headers=key, json={"body": "A"})
    again = await office.call("POST", path, status=201, headers=key, json={"body": "A"})
    assert again == first
    await office.call("POST", path, status=422, headers=key, json={"body": "B"})
    assert len(await office.events(MessageIssued)) == 1


async def test_only_the_last_message_is_shown_and_it_outlives_other_changes(office, shop):
    one = await shop()
    path = f"{shop.base}/passes/{one['pass_id']}"
    for body in ("first", "second"):
        await office.call("POST", f"{path}/messages", status=201, json={"body": body})
    await office.call("PATCH", path, json={"fields": {"favourite": "Mate"}})
    last = (await office.events(PassRendered))[-1]
    assert (last.revision, shown(last)) == (4, ["second"])


@pytest.mark.parametrize(
    "body",
    [{}, {"body": ""}, {"body": "x" * 2001}, {"body": "x", "header": "x" * 201}, {"body": "a\x00"}],
)
async def test_a_message_without_words_or_with_too_many_is_refused(office, shop, body):
    one = await shop()
    path = f"{shop.base}/passes/{one['pass_id']}/messages"
    await office.call("POST", path, status=422, json=body)
    assert await office.events(MessageIssued) == []


async def test_a_pass_that_ended_gets_no_message(office, shop):
    one = await shop()
    path = f"{shop.base}/passes/{one['pass_id']}"
    await office.call("POST", f"{path}/void")
    problem = await office.call("POST", f"{path}/messages", status=409, json={"body": "A"})
    assert problem["code"] == "pass_voided"
    assert await office.hear(requested(shop, one)) == [None]
    assert await office.events(MessageIssued) == []


async def test_a_journeys_message_is_put_on_the_pass_once_however_often_it_comes(office, shop):
    one, other = await shop(), await shop()
    batch = [requested(shop, one), requested(shop, other), requested(shop, one)]
    assert await office.hear(*batch) == [None] * 3
    assert await office.hear(*batch) == [None] * 3
    told = await office.events(MessageIssued)
    assert {str(each.pass_id) for each in told} == {one["pass_id"], other["pass_id"]}
    assert len(told) == 2
    later = [requested(shop, one, message_id=f"j-{number}", body=str(number)) for number in (1, 2)]
    await office.hear(*later)
    last = (await office.events(PassRendered))[-1]
    assert (last.revision, shown(last)) == (3, ["Hello\n2"])
    assert len(await office.events(MessageIssued)) == 4


async def test_a_message_for_a_pass_that_is_not_there_yet_waits(office, shop):
    one = await shop()
    other = await office.workspace()
    strangers = [
        requested(shop, one, pass_id=uuid4()),
        requested(shop, one, workspace_id=UUID(other)),
        requested(shop, one),
    ]
    outcomes = await office.hear(*strangers)
    assert [type(each) for each in outcomes] == [RetryLater, RetryLater, type(None)]
    assert len(await office.events(MessageIssued)) == 1


async def test_a_suspended_workspace_tells_nobody_anything(office, shop):
    one = await shop()
    await office.call("PATCH", shop.base, json={"suspended": True})
    [outcome] = await office.hear(requested(shop, one))
    assert isinstance(outcome, Rejected)
    assert await office.events(MessageIssued) == []


async def test_a_message_that_a_pass_cannot_show_is_told_and_not_kept(office, shop, monkeypatch):
    one = await shop()
    render = WalletRenderer.render

    def refusing(self, subject):
        if subject.latest_message:
            raise ContentRejected("too_long", "fields.message", "is too long")
        return render(self, subject)

    monkeypatch.setattr(WalletRenderer, "render", refusing)
    path = f"{shop.base}/passes/{one['pass_id']}"
    await office.call("POST", f"{path}/messages", status=201, json={"body": "A"})
    assert len(await office.events(MessageIssued)) == 1
    assert (await office.call("PATCH", path, json={"fields": {"favourite": "Tea"}}))[
        "revision"
    ] == 2


async def test_everybody_with_a_template_is_told_once_after_it_was_confirmed(office, shop):
    path = f"{shop.base}/templates/{shop.template_id}/messages"
    member = await office.key(shop.workspace_id, "member")
    body = {"message_id": "all-1", "header": "News", "body": "We moved", "confirm": True}
    await office.call("POST", path, status=422, json=body | {"confirm": False})
    await office.call("POST", path, key=member, status=403, json=body)
    sent = await office.call("POST", path, status=201, json=body)
    assert (await office.call("POST", path, status=201, json=body))["issued"] is False
    assert sent["issued"] is True
    [told] = await office.events(MessageIssued)
    assert (str(told.template_id), told.pass_id) == (shop.template_id, None)
    other = await office.workspace()
    await office.call(
        "POST", f"/workspaces/{other}/templates/{shop.template_id}/messages", status=404, json=body
    )


async def test_a_template_for_apple_alone_has_no_message_for_everybody(office, shop):
    template_id = await office.template(
        shop.workspace_id, google=None, google_issuer_id=None, platform="apple"
    )
    path = f"{shop.base}/templates/{template_id}/messages"
    problem = await office.call("POST", path, status=409, json={"body": "A", "confirm": True})
    assert problem["code"] == "template_not_on_google"


async def test_a_message_says_whether_its_pass_has_a_google_part(office, shop):
    # proves: J71
    template_id = await office.template(
        shop.workspace_id, google=None, google_issuer_id=None, platform="apple"
    )
    program_id = await office.program(shop.workspace_id, template_id=template_id)
    on_both, on_apple = await shop(), await shop(program_id=program_id)
    for one in (on_both, on_apple):
        path = f"{shop.base}/passes/{one['pass_id']}/messages"
        await office.call("POST", path, status=201, json={"body": "A"})
    await office.hear(requested(shop, on_apple))
    told = [
        (str(each.pass_id), each.has_google_part) for each in await office.events(MessageIssued)
    ]
    assert told == [
        (on_both["pass_id"], True),
        (on_apple["pass_id"], False),
        (on_apple["pass_id"], False),
    ]


async def test_a_pass_of_another_workspace_gets_no_message(office, shop):
    # proves: J70
    one = await shop()
    other = await office.workspace()
    key = await office.key(other, "owner")
    path = f"/workspaces/{other}/passes/{one['pass_id']}/messages"
    await office.call("POST", path, key=key, status=404, json={"body": "A"})
    assert await office.events(MessageIssued) == []
