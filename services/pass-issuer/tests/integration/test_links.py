"""Several links of a pass: made, shown, revoked, told; on real Postgres."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from uuid import uuid4

import pytest

from passferry_contracts.events.directory import LinkChanged
from passferry_pass_issuer.domain import link as bounds
from passferry_testing.qr_reader import read_png, read_svg

pytestmark = pytest.mark.integration


@pytest.fixture
async def shop(office):
    """(workspace, path of a pass with an external id)."""
    workspace_id = await office.workspace()
    program_id = await office.program(workspace_id, name="Punkte <b>")
    body = {"program_id": program_id, "external_id": "c-1", "holder": {"full_name": "Ada"}}
    await office.call("POST", f"/workspaces/{workspace_id}/passes", status=201, json=body)
    return workspace_id, f"/workspaces/{workspace_id}/passes/external:c-1"


async def add(office, path, status=201, query="", headers=None, **body):
    where = f"{path}/links{query}"
    return await office.call("POST", where, status=status, json=body, headers=headers or {})


def token_of(link):
    return link["url"].rpartition("/")[2]


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


async def test_a_pass_has_several_links_each_told_by_its_hash_alone(office, shop):
    _, path = shop
    until = (office.clock.now() + timedelta(days=3)).isoformat()
    mail = await add(office, path, label="mail", expires_at=until, utm={"campaign": "spring"})
    shelf = await add(office, path, label="shelf")
    listed = (await office.call("GET", f"{path}/links"))["data"]
    assert [(each["label"], each["first"], each["status"]) for each in listed] == [
        ("", True, "open"),
        ("mail", False, "open"),
        ("shelf", False, "open"),
    ]
    assert [each["url"] for each in listed[1:]] == [mail["url"], shelf["url"]]
    assert listed[1]["utm"] == {"campaign": "spring"}
    # The pass itself still shows its first one.
    assert (await office.call("GET", path))["link"] == listed[0]["url"]
    told = await office.events(LinkChanged)
    assert [each.token_sha256 for each in told] == [sha256(token_of(each)) for each in listed]
    assert told[1].expires_at is not None
    # 192 bits, and nowhere in clear.
    assert len(token_of(mail)) == 32
    dump = await office.rows("SELECT l::text AS row FROM pass_issuer.link l")
    assert not any(token_of(each) in row["row"] for each in listed for row in dump)
    sent = await office.rows("SELECT o::text AS row FROM pass_issuer.outbox o")
    assert not any(token_of(each) in row["row"] for each in listed for row in sent)


async def test_a_link_that_is_shown_once_is_never_shown_again(office, shop):
    _, path = shop
    link = await add(office, path, query="?once=true", label="letter")
    listed = (await office.call("GET", f"{path}/links"))["data"][1]
    assert (listed["link_id"], listed["url"], listed["status"]) == (link["link_id"], None, "open")
    kept = await office.rows(
        "SELECT token_ciphertext FROM pass_issuer.link WHERE link_id = $1::uuid", link["link_id"]
    )
    assert kept[0]["token_ciphertext"] is None
    refused = await office.call("GET", f"{path}/links/{link['link_id']}/qr.svg", status=409)
    assert refused["code"] == "link_shown_once"
    # Nor by a repetition, whose answer is kept: it says which link to close.
    headers = {"Idempotency-Key": "k-1"}
    first = await add(office, path, query="?once=true", headers=headers, label="letter")
    again = await add(office, path, query="?once=true", headers=headers, label="letter")
    assert again == first | {"url": None}
    # Deleting the pass closes it too, although its token is not known here any more.
    await office.call("DELETE", path)
    told = [each for each in await office.events(LinkChanged) if each.revoked]
    assert sha256(token_of(link)) in {each.token_sha256 for each in told}


async def test_revoking_a_link_is_told_once_and_spares_the_others(office, shop):
    _, path = shop
    link = await add(office, path)
    for _ in range(2):
        gone = await office.call("DELETE", f"{path}/links/{link['link_id']}")
        assert (gone["status"], gone["url"]) == ("revoked", None)
    told = [each for each in await office.events(LinkChanged) if each.revoked]
    assert [each.token_sha256 for each in told] == [sha256(token_of(link))]
    assert (await office.call("GET", path))["link"] is not None
    first = (await office.call("GET", f"{path}/links"))["data"][0]
    await office.call("DELETE", f"{path}/links/{first['link_id']}")
    assert (await office.call("GET", path))["link"] is None


async def test_an_expired_link_is_listed_as_such_and_has_no_code(office, shop):
    # proves: J82
    _, path = shop
    soon = office.clock.now() + timedelta(minutes=5)
    link = await add(office, path, expires_at=soon.isoformat())
    office.clock.advance(timedelta(minutes=5))
    listed = (await office.call("GET", f"{path}/links"))["data"][1]
    assert (listed["status"], listed["url"]) == ("expired", None)
    refused = await office.call("GET", f"{path}/links/{link['link_id']}/snippet", status=409)
    assert refused["code"] == "link_expired"
    # What the web service was told closes the link at that moment.
    assert (await office.events(LinkChanged))[1].expires_at == soon


async def test_the_same_idempotency_key_makes_one_link(office, shop):
    _, path = shop
    headers = {"Idempotency-Key": "k-1"}
    first = await add(office, path, headers=headers, label="mail")
    again = await add(office, path, headers=headers, label="mail")
    assert again == first
    refused = await add(office, path, headers=headers, label="post", status=422)
    assert refused["code"] == "idempotency_key_reused"
    assert len(await office.events(LinkChanged)) == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"label": "x" * 101}, "label"),
        ({"label": "a\x00b"}, "label"),
        ({"utm": {"campain": "x"}}, "utm.campain"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_a_wrong_request_names_its_field(office, shop, body, field):
    _, path = shop
    refused = await add(office, path, status=422, **body)
    assert [each["field"].removeprefix("body.") for each in refused["errors"]] == [field]


async def test_links_and_labels_are_bounded(office, shop, monkeypatch):
    _, path = shop
    monkeypatch.setattr(bounds, "MAX_OPEN_LINKS", 3)
    monkeypatch.setattr(bounds, "MAX_LINKS", 4)
    monkeypatch.setattr("passferry_pass_issuer.application.distribute_links.MAX_LABELS", 1)
    link = await add(office, path, label="a")
    refused = await add(office, path, label="b", status=422)
    assert refused["errors"][0]["field"] == "label"
    await add(office, path, label="a")
    assert (await add(office, path, status=422))["code"] == "too_many"
    await office.call("DELETE", f"{path}/links/{link['link_id']}")
    await add(office, path)
    await office.call("DELETE", f"{path}/links/{link['link_id']}")
    assert (await add(office, path, status=422))["code"] == "too_many"


async def test_a_pass_that_ended_is_given_no_link(office, shop):
    _, path = shop
    await office.call("POST", f"{path}/void")
    assert (await add(office, path, status=409))["code"] == "pass_voided"


async def test_codes_and_snippets_lead_to_the_link(office, shop):
    # proves: J83
    _, path = shop
    link = await add(office, path, label="till")
    headers = {"Authorization": f"Bearer {office.administrator_key}"}
    base = f"/api/v1{path}/links/{link['link_id']}"
    svg = await office.client.get(f"{base}/qr.svg?size=256&ecc=h", headers=headers)
    png = await office.client.get(f"{base}/qr.png?size=512&margin=2", headers=headers)
    assert read_svg(svg.content) == (link["url"], "h")
    assert read_png(png.content) == (link["url"], "m")
    assert (svg.headers["content-type"], png.headers["content-type"]) == (
        "image/svg+xml",
        "image/png",
    )
    assert svg.headers["cache-control"] == png.headers["cache-control"] == "no-store, private"
    made = await office.call("GET", f"{path}/links/{link['link_id']}/snippet?language=de-DE")
    assert made["language"] == "de"
    assert link["url"] in made["text"]
    # The program's name is text, whatever it holds.
    assert "Punkte &lt;b&gt;" in made["email_html"]
    assert "<b>" not in made["email_html"] + made["page_html"]
    for query in ("size=10", "size=99999", "margin=-1", "ecc=x"):
        await office.call("GET", f"{path}/links/{link['link_id']}/qr.svg?{query}", status=422)
    bad = await office.call(
        "GET",
        f"{path}/links/{link['link_id']}/snippet?apple_badge_url=javascript:alert(1)",
        status=422,
    )
    assert bad["errors"][0]["field"] == "apple_badge_url"


async def test_links_of_another_workspace_and_of_another_pass_are_not_there(office, shop):
    # proves: J70, J82
    workspace_id, path = shop
    link = await add(office, path)
    other = await office.workspace()
    program_id = await office.program(other)
    body = {"program_id": program_id, "external_id": "c-1"}
    await office.call("POST", f"/workspaces/{other}/passes", status=201, json=body)
    theirs = f"/workspaces/{other}/passes/external:c-1/links/{link['link_id']}"
    for method, where in (
        ("DELETE", theirs),
        ("GET", f"{theirs}/qr.svg"),
        ("GET", f"{theirs}/qr.png"),
        ("GET", f"{theirs}/snippet"),
        ("GET", f"/workspaces/{workspace_id}/passes/{uuid4()}/links"),
        ("GET", f"/workspaces/{workspace_id}/passes/external:c-2/links/{link['link_id']}/qr.svg"),
    ):
        assert (await office.call(method, where, status=404))["code"].endswith("_not_found")
    key = await office.key(other, "owner")
    await office.call("GET", f"{path}/links", key=key, status=404)


async def test_roles_of_the_links(office, shop):
    workspace_id, path = shop
    viewer = await office.key(workspace_id, "viewer")
    await office.call("POST", f"{path}/links", key=viewer, status=403, json={})
    link = await add(office, path)
    await office.call("DELETE", f"{path}/links/{link['link_id']}", key=viewer, status=403)
    await office.call("GET", f"{path}/links", key=viewer)
    member = await office.key(workspace_id, "member")
    await office.call("DELETE", f"{path}/links/{link['link_id']}", key=member)


async def test_making_and_revoking_are_on_the_audit_log_without_the_token(office, shop):
    # proves: J71
    _, path = shop
    link = await add(office, path, label="for Ana Planted")
    await office.call("DELETE", f"{path}/links/{link['link_id']}")
    rows = await office.rows("SELECT a::text AS row, action FROM pass_issuer.audit_log a")
    actions = [row["action"] for row in rows]
    assert {"link.created", "link.revoked"} <= set(actions)
    # Nor with the label, which is anybody's text: the log is never deleted.
    for unsaid in (token_of(link), "for Ana Planted"):
        assert not any(unsaid in row["row"] for row in rows)
