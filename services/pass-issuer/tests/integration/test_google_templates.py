"""Templates of every vertical, from the API to Google's door.

proves: A22, C10, J86
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from passferry_contracts.events.directory import TemplatePublished
from passferry_contracts.events.rendered import PassRendered
from passferry_testing.google_simulator import GoogleSimulator
from passferry_testing.pki import DemoAuthority
from passferry_wallet.google.save_link import load_service_account, token_assertion

pytestmark = pytest.mark.integration

PAGE = Path(__file__).parents[4] / "docs/google-passes.md"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def examples() -> dict[str, Any]:
    pattern = re.compile(r"^### (\w+)\n\n```json\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return {name: json.loads(block) for name, block in pattern.findall(PAGE.read_text())}


EXAMPLES = examples()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return DemoAuthority.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def office(harness, make, authority):
    async with make.open_office(harness, authority=authority) as opened:
        yield opened


def template_body(make, vertical: str, **google: Any) -> dict[str, Any]:
    example = EXAMPLES[vertical]
    body = make.template_json(
        platform="google", protocol=example["protocol"], google=example["google"] | google
    )
    return {k: v for k, v in body.items() if k != "apple"}


async def published(office, make, workspace_id: str, vertical: str, **google: Any) -> str:
    base = f"/workspaces/{workspace_id}/templates"
    body = template_body(make, vertical, **google)
    made = await office.call("POST", base, status=201, json=body)
    template_id = str(made["template_id"])
    findings = (await office.call("GET", f"{base}/{template_id}/lint"))["findings"]
    assert [each for each in findings if each["severity"] == "error"] == []
    await office.call("POST", f"{base}/{template_id}/publish")
    return template_id


class Api:
    """Google's API with an access token, as the notifier has one."""

    def __init__(self, google: GoogleSimulator, client: httpx.AsyncClient, now: Any) -> None:
        self._google, self._client, self._now = google, client, now
        self._token = ""

    async def sign_in(self, issuer_id: str) -> None:
        account = load_service_account(self._google.create_service_account(issuer_id=issuer_id))
        answer = await self._client.post(
            self._google.token_url,
            data={"grant_type": GRANT, "assertion": token_assertion(account, now=self._now)},
        )
        self._token = answer.json()["access_token"]

    async def call(self, method: str, path: str, body: Any) -> dict[str, Any]:
        answer = await self._client.request(
            method,
            f"{self._google.base_url}/walletobjects/v1/{path}",
            json=body,
            headers={"authorization": f"Bearer {self._token}"},
        )
        assert answer.status_code == 200, answer.text
        taken: dict[str, Any] = answer.json()
        return taken


@pytest.fixture
async def api(office, make):
    google = GoogleSimulator(requests_per_second=None)
    async with google, httpx.AsyncClient(trust_env=False) as client:
        signed_in = Api(google, client, office.clock.now())
        await signed_in.sign_in(make.issuer_id)
        yield signed_in
        assert google.log.violation_count == 0


@pytest.mark.parametrize("vertical", sorted(EXAMPLES))
async def test_a_template_of_every_vertical_reaches_google_whole(office, make, api, vertical):
    workspace_id = await office.workspace()
    template_id = await published(office, make, workspace_id, vertical)
    protocol = EXAMPLES[vertical]["protocol"]
    unit = {"unit": "EUR", "unit_scale": 2} if protocol == "GIFT_CARD" else {}
    program_id = await office.program(
        workspace_id, template_id=template_id, protocol=protocol, **unit
    )
    issued = await office.call(
        "POST",
        f"/workspaces/{workspace_id}/passes",
        status=201,
        json={
            "program_id": program_id,
            "external_id": "m-1",
            "code": "0123456789",
            "holder": {"full_name": "Zoë O'Hara"},
        },
    )
    [told] = await office.events(TemplatePublished)
    for each in (told.google_class, *told.google_tier_classes):
        assert each.vertical == vertical
        await api.call("POST", f"{vertical}Class", each.class_body)
    [rendered] = await office.events(PassRendered)
    google = rendered.google
    assert (google.vertical, google.class_id) == (vertical, told.google_class.class_id)
    await api.call("POST", f"{vertical}Object", google.object_body)
    path = f"/workspaces/{workspace_id}/passes/{issued['pass_id']}/void"
    await office.call("POST", path, json={"reason": "used"})
    after = (await office.events(PassRendered))[-1].google.object_body
    held = await api.call("PATCH", f"{vertical}Object/{google.object_id}", after)
    assert held["state"] == "COMPLETED"
    assert "barcode" not in held


async def test_what_a_later_version_no_longer_says_is_gone_from_the_class(office, make, api):
    workspace_id = await office.workspace()
    template_id = await published(office, make, workspace_id, "eventTicket")
    base = f"/workspaces/{workspace_id}/templates/{template_id}"
    kept = {"dateTime", "venue"}
    bare = {k: v for k, v in EXAMPLES["eventTicket"]["google"]["class"].items() if k in kept}
    body = template_body(make, "eventTicket", hex_background_color=None, **{"class": bare})
    for title in ("Summer concert", "Autumn concert"):
        body["google"]["title"] = title
        await office.call("PUT", base, json=body)
        await office.call("POST", f"{base}/publish")
    first, second, third = await office.events(TemplatePublished)
    gone = {"hexBackgroundColor", "eventId", "seatLabel", "finePrint"}
    assert gone <= first.google_class.class_body.keys()
    for later in (second, third):
        assert {k for k, v in later.google_class.class_body.items() if v is None} == gone
    await api.call("POST", "eventTicketClass", first.google_class.class_body)
    # The notifier may have missed the one between.
    path = f"eventTicketClass/{first.google_class.class_id}"
    held = await api.call("PATCH", path, third.google_class.class_body)
    assert not gone & held.keys()
    assert held["eventName"]["defaultValue"]["value"] == "Autumn concert"


async def test_a_class_names_the_messages_that_it_no_longer_says(office, make, api):
    """What else is in Google's list was sent by itself, and the notifier leaves it there."""
    workspace_id = await office.workspace()
    hello, old = ({"key": key, "header": key, "body": key} for key in ("hello", "old"))
    template_id = await published(office, make, workspace_id, "offer", messages=[hello, old])
    base = f"/workspaces/{workspace_id}/templates/{template_id}"
    for messages in ([hello], []):
        body = template_body(make, "offer", messages=messages)
        await office.call("PUT", base, json=body)
        await office.call("POST", f"{base}/publish")
    told = [each.google_class for each in await office.events(TemplatePublished)]
    assert [each.former_message_ids for each in told] == [[], ["old"], ["hello", "old"]]
    says = [[m["id"] for m in each.class_body["messages"] or ()] for each in told]
    assert says == [["hello", "old"], ["hello"], []]


async def test_the_linter_tells_of_all_that_google_would_refuse(office, make):
    workspace_id = await office.workspace()
    base = f"/workspaces/{workspace_id}/templates"
    body = template_body(
        make, "flight", **{"class": {}, "object": {"seat": "1"}, "notifications": {"expiry": True}}
    )
    made = await office.call("POST", base, status=201, json=body)
    path = f"{base}/{made['template_id']}"
    findings = (await office.call("GET", f"{path}/lint"))["findings"]
    errors = {each["path"] for each in findings if each["severity"] == "error"}
    assert {
        "google.class.origin",
        "google.class.destination",
        "google.class.localScheduledDepartureDateTime",
        "google.notifications",
        "google.object.seat",
    } <= errors
    await office.call("POST", f"{path}/publish", status=422)


async def test_templates_of_two_workspaces_share_nothing_at_google(office, make):
    # proves: C10
    told = []
    for title in ("Mine", "Theirs"):
        workspace_id = await office.workspace()
        await published(office, make, workspace_id, "generic", title=title)
        told.append((workspace_id, (await office.events(TemplatePublished))[-1]))
    (mine, first), (theirs, second) = told
    assert mine in first.google_class.class_id
    assert theirs in second.google_class.class_id
    assert mine not in json.dumps(second.google_class.class_body)


@pytest.mark.parametrize(
    "piece",
    [
        {"object": {"source": "field.x"}},
        {"class": {"source": "field.x"}},
        {"class": {"valueAddedModuleData": True}},
        {"object": {"valueAddedModuleData": {"source": "field.x"}}},
    ],
)
async def test_a_piece_of_the_wrong_kind_is_refused_and_never_a_fault_of_ours(office, make, piece):
    workspace_id = await office.workspace()
    base = f"/workspaces/{workspace_id}/templates"
    body = template_body(make, "loyalty", **piece)
    answer = await office.client.post(
        f"/api/v1{base}",
        json=body,
        headers={"Authorization": f"Bearer {office.administrator_key}"},
    )
    if answer.status_code == 201:
        path = f"{base}/{answer.json()['template_id']}"
        findings = (await office.call("GET", f"{path}/lint"))["findings"]
        assert any(each["severity"] == "error" for each in findings)
        answer_body = await office.call("POST", f"{path}/publish", status=422)
        assert "google" in str(answer_body)
    else:
        assert answer.status_code == 422
