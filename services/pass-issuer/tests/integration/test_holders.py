"""Holders through the API, and their passes that show them, on real Postgres and real formats."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import UUID

import pytest

from passferry_contracts.events.passes import PassUpdated
from passferry_contracts.events.rendered import PassRendered
from passferry_pass_issuer.application import draw_holder_passes
from passferry_testing.pki import DemoAuthority

pytestmark = pytest.mark.integration

ZOE = {
    "full_name": "Zoë O'Hara",
    "email": "Zoe@Example.org",
    "phone": "+49 40 123456",
    "birthday": "1990-05-17",
    "locale": "de-DE",
    "time_zone": "Europe/Berlin",
    "tags": ["vip", "early", "vip"],
    "consents": {"marketing": {"given": True, "source": "shop"}},
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return DemoAuthority.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def office(harness, make, authority):
    async with make.open_office(harness, authority=authority) as opened:
        yield opened


@pytest.fixture
async def shop(office):
    workspace_id = await office.workspace()
    base = f"/workspaces/{workspace_id}"

    async def issue(program_id=None, **body):
        program_id = program_id or await office.program(workspace_id)
        body = {"program_id": program_id, **body}
        return await office.call("POST", f"{base}/passes", status=201, json=body)

    issue.base, issue.workspace_id = base, workspace_id
    issue.holders = f"{base}/holders"
    return issue


async def test_a_holder_is_made_once_by_the_callers_own_id_and_found_again(office, shop):
    # proves: C12
    path = f"{shop.holders}/external:crm-7"
    made = await office.call("PUT", path, status=201, json=ZOE)
    assert (made["external_id"], made["tags"]) == ("crm-7", ["early", "vip"])
    assert made["consents"]["marketing"]["at"] == "2026" + made["created_at"][4:]
    again = await office.call("PUT", path, json=ZOE)
    assert again == made
    by_id = await office.call("GET", f"{shop.holders}/{made['holder_id']}")
    found = await office.call("POST", f"{shop.holders}/query", json={"email": "zoe@example.ORG"})
    assert by_id == made == found["data"][0]
    nobody = await office.call("POST", f"{shop.holders}/query", json={"email": "a@example.org"})
    assert nobody["data"] == []


async def test_what_is_personal_is_one_ciphertext(office, shop):
    await office.call("PUT", f"{shop.holders}/external:crm-7", status=201, json=ZOE)
    [row] = await office.rows("SELECT h::text AS text FROM pass_issuer.holder h")
    for secret in ("Zo", "example.org", "123456", "1990", "Berlin"):
        assert secret not in row["text"]
    audited = await office.rows(
        "SELECT after FROM pass_issuer.audit_log WHERE action LIKE 'holder%'"
    )
    assert [sorted(json.loads(each["after"])) for each in audited] == [["changed_fields"]]
    assert "Zo" not in audited[0]["after"]


async def test_a_change_leaves_what_it_does_not_name_and_a_whole_one_does_not(office, shop):
    path = f"{shop.holders}/external:crm-7"
    await office.call("PUT", path, status=201, json=ZOE)
    patched = await office.call("PATCH", path, json={"phone": None, "full_name": "Zoë Quill"})
    assert (patched["phone"], patched["full_name"]) == (None, "Zoë Quill")
    assert (patched["email"], patched["tags"]) == (ZOE["email"], ["early", "vip"])
    whole = await office.call("PUT", path, json={"full_name": "Zoë"})
    assert (whole["email"], whole["tags"]) == (None, [])
    assert whole["consents"] == patched["consents"]
    gone = await office.call("POST", f"{shop.holders}/query", json={"email": ZOE["email"]})
    assert gone["data"] == []


async def test_a_consent_keeps_when_and_where_it_was_said_first(office, shop):
    path = f"{shop.holders}/external:crm-7"
    await office.call("PUT", path, status=201, json=ZOE)
    office.clock.advance(timedelta(hours=1))
    said = {"consents": {"marketing": {"given": True, "source": "till"}}}
    same = await office.call("PATCH", path, json=said)
    assert same["consents"]["marketing"]["source"] == "shop"
    said = {"consents": {"marketing": {"given": False, "source": "mail"}}}
    taken_back = await office.call("PATCH", path, json=said)
    assert taken_back["consents"]["marketing"]["given"] is False
    assert taken_back["consents"]["marketing"]["source"] == "mail"
    assert taken_back["consents"]["marketing"]["at"] > same["consents"]["marketing"]["at"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"time_zone": "Europe/Atlantis"}, "time_zone"),
        ({"tags": [f"t{number}" for number in range(33)]}, "tags"),
        ({"tags": ["x" * 65]}, "tags"),
        ({"email": "nobody"}, "email"),
        ({"phone": "call me"}, "phone"),
        ({"consents": {"Marketing!": {"given": True, "source": "x"}}}, "consents"),
        ({"nick": "Z"}, "nick"),
    ],
)
async def test_what_cannot_be_kept_is_refused_with_its_field(office, shop, body, field):
    problem = await office.call("PUT", f"{shop.holders}/external:x", status=422, json=body)
    assert problem["errors"][0]["field"].split(".")[0] == field
    assert await office.rows("SELECT 1 FROM pass_issuer.holder") == []


async def test_only_a_whole_holder_with_an_external_id_is_made(office, shop):
    nobody = "00000000-0000-7000-8000-000000000000"
    await office.call("PATCH", f"{shop.holders}/external:x", status=404, json={})
    await office.call("PUT", f"{shop.holders}/{nobody}", status=404, json={})
    await office.call("PUT", f"{shop.holders}/external:", status=422, json={})
    await office.call("PUT", f"{shop.holders}/external:{'x' * 129}", status=422, json={})


async def test_a_new_name_draws_the_passes_that_show_it_and_no_others(office, make, shop):
    # proves: J71
    layout = make.template_json()["apple"]
    bare = {**layout, "fields": {"header": layout["fields"]["header"]}}
    nameless = await office.template(
        shop.workspace_id, apple=bare, google=None, google_issuer_id=None, platform="apple"
    )
    quiet = await office.program(shop.workspace_id, template_id=nameless)
    await office.call("PUT", f"{shop.holders}/external:h-1", status=201, json=ZOE)
    shows = await shop(holder={"external_id": "h-1"})
    hides = await shop(quiet, holder={"external_id": "h-1"})
    ended = await shop(holder={"external_id": "h-1"})
    await office.call("POST", f"{shop.base}/passes/{ended['pass_id']}/void")
    before = len(await office.events(PassRendered))
    await office.call("PATCH", f"{shop.holders}/external:h-1", json={"full_name": "Zoë Quill"})
    [drawn] = (await office.events(PassRendered))[before:]
    assert str(drawn.pass_id) == shows["pass_id"]
    assert "Zoë Quill" in drawn.apple.pass_json
    [told] = await office.events(PassUpdated)
    assert (told.pass_id, told.changed_fields) == (drawn.pass_id, ["holder"])
    assert drawn.causes[0].event_type == "pass.updated"
    unchanged = await office.call("GET", f"{shop.base}/passes/{hides['pass_id']}")
    assert unchanged["revision"] == 1
    # What nobody sees draws nothing.
    await office.call("PATCH", f"{shop.holders}/external:h-1", json={"tags": ["a"]})
    await office.call("PATCH", f"{shop.holders}/external:h-1", json={"phone": None})
    assert len(await office.events(PassRendered)) == before + 1


async def test_many_passes_of_one_person_are_drawn_in_pages(office, shop, monkeypatch):
    monkeypatch.setattr(draw_holder_passes, "PAGE_PASSES", 2)
    await office.call("PUT", f"{shop.holders}/external:h-1", status=201, json=ZOE)
    program = await office.program(
        shop.workspace_id, protocol="GIFT_CARD", unit="EUR", unit_scale=2
    )
    cards = [
        await shop(program, holder={"external_id": "h-1"}, opening_balance_minor=100)
        for _ in range(5)
    ]
    await office.call("PATCH", f"{shop.holders}/external:h-1", json={"full_name": "Zoë Quill"})
    assert len(await office.events(PassUpdated)) == 2
    await office.issuer.life.keep_time()
    told = await office.events(PassUpdated)
    assert [str(each.pass_id) for each in told] == [card["pass_id"] for card in cards]
    await office.issuer.life.keep_time()
    assert len(await office.events(PassUpdated)) == 5
    assert await office.rows("SELECT 1 FROM pass_issuer.holder_pages") == []


async def test_holders_of_another_workspace_are_not_there(office, shop):
    # proves: J70
    made = await office.call("PUT", f"{shop.holders}/external:h-1", status=201, json=ZOE)
    other = await office.workspace()
    key = await office.key(other, "owner")
    theirs = f"/workspaces/{other}/holders"
    for name in ("external:h-1", made["holder_id"]):
        await office.call("GET", f"{theirs}/{name}", key=key, status=404)
        await office.call("PATCH", f"{theirs}/{name}", key=key, status=404, json={})
        await office.call("POST", f"{theirs}/{name}/erasure", key=key, status=404)
        await office.call("GET", f"{shop.holders}/{name}", key=key, status=404)
        await office.call("DELETE", f"{shop.holders}/{name}", key=key, status=404)
    assert (await office.call("GET", theirs, key=key))["data"] == []
    found = await office.call("POST", f"{theirs}/query", key=key, json={"email": ZOE["email"]})
    assert found["data"] == []
    twin = await office.call("PUT", f"{theirs}/external:h-1", key=key, status=201, json=ZOE)
    assert twin["holder_id"] != made["holder_id"]
    # One address has another hash in each workspace.
    hashes = await office.rows("SELECT DISTINCT email_hmac FROM pass_issuer.holder")
    assert len(hashes) == 2


async def test_people_are_read_by_members_and_forgotten_by_managers(office, shop):
    viewer = await office.key(shop.workspace_id, "viewer")
    member = await office.key(shop.workspace_id, "member")
    await office.call("PUT", f"{shop.holders}/external:h", key=member, status=201, json=ZOE)
    await office.call("GET", shop.holders, key=viewer, status=403)
    await office.call("GET", f"{shop.holders}/external:h", key=viewer, status=403)
    await office.call("POST", f"{shop.holders}/external:h/erasure", key=member, status=403)


async def test_holders_are_listed_in_pages(office, shop):
    made = []
    for number in range(3):
        office.clock.advance(timedelta(seconds=1))
        path = f"{shop.holders}/external:h{number}"
        made.append((await office.call("PUT", path, status=201, json={}))["holder_id"])
    first = await office.call("GET", f"{shop.holders}?limit=2")
    rest = await office.call("GET", f"{shop.holders}?limit=2&cursor={first['next_cursor']}")
    assert [each["holder_id"] for each in (*first["data"], *rest["data"])] == made
    assert rest["next_cursor"] is None
    assert all(UUID(each) for each in made)
