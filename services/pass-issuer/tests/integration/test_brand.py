"""The brand of a workspace: what its templates take where they say nothing of their own."""

from __future__ import annotations

import asyncio
import io
import json
from uuid import UUID

import pytest
from PIL import Image

from passferry_testing.harness import eventually

pytestmark = pytest.mark.integration

BLUE = {
    "organization_name": "Blue Ferry",
    "logo_text": "Blue",
    "background_color": "rgb(0, 0, 120)",
    "foreground_color": "#ffffff",
    "label_color": "#ffe0b0",
    "hex_background_color": "#000078",
    "logo_url": "https://blue.example/logo.png",
}
RED = {
    "organization_name": "Red Ferry",
    "logo_text": "Red",
    "background_color": "rgb(120, 0, 0)",
    "foreground_color": "#ffffff",
    "label_color": "#ffe0b0",
    "hex_background_color": "#780000",
    "logo_url": "https://red.example/logo.png",
}
WAITING = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
TAKEN = {
    "apple.organization_name",
    "apple.logo_text",
    "apple.background_color",
    "apple.foreground_color",
    "apple.label_color",
    "google.issuer_name",
    "google.hex_background_color",
    "google.logo_url",
    "files.icon",
    "files.logo",
}


def picture(shade, width=600, height=200):
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (shade, 90, 160)).save(buffer, "PNG")
    return buffer.getvalue()


def plain(make, **apple):
    """A template that leaves its looks to the brand."""
    body = make.template_json()
    for name in ("organization_name", "background_color"):
        del body["apple"][name]
    body["apple"] |= apple
    body["google"] = {"title": "Card"}
    return body


class Shop:
    """A workspace with a brand."""

    def __init__(self, office, workspace_id):
        self.office, self.workspace_id = office, workspace_id
        self.base = f"/workspaces/{workspace_id}"

    async def call(self, method, path, status=200, **more):
        return await self.office.call(method, f"{self.base}{path}", status=status, **more)

    async def image(self, role, shade, **more):
        content = picture(shade, 200, 200) if role == "icon" else picture(shade)
        return await self.call("POST", f"/brand/images/{role}", content=content, **more)

    async def draft(self, body):
        made = await self.call("POST", "/templates", 201, json=body)
        return made["template_id"]

    async def publish(self, template_id, status=200):
        return await self.call("POST", f"/templates/{template_id}/publish", status)

    async def again(self, template_id, body):
        await self.call("PUT", f"/templates/{template_id}", json=body)
        return await self.publish(template_id)

    async def files(self, template_id):
        read = await self.call("GET", f"/templates/{template_id}")
        return {file["name"]: file["sha256"] for file in read["files"]}


def taken(answer):
    return {each["path"] for each in answer["from_brand"]}


def from_brand(answer):
    return {each["path"]: each["value"] for each in answer["from_brand"] if each["value"]}


@pytest.fixture
def shop(office):
    async def opened(brand, shade=None):
        made = Shop(office, await office.workspace())
        await made.call("PUT", "/brand", json=brand)
        if shade is not None:
            await made.image("icon", shade)
            await made.image("logo", shade)
        return made

    return opened


async def test_one_template_looks_as_the_workspace_that_has_it(make, shop):
    # proves: C10
    blue, red = await shop(BLUE, 10), await shop(RED, 200)
    published = {}
    for each in (blue, red):
        template_id = await each.draft(plain(make))
        answer = await each.publish(template_id)
        assert taken(answer) == TAKEN
        assert all("brand" in one["message"] for one in answer["from_brand"])
        published[each] = answer, await each.files(template_id)
    for each, brand in ((blue, BLUE), (red, RED)):
        answer, _ = published[each]
        apple = ("organization_name", "logo_text", "background_color", "label_color")
        google = ("hex_background_color", "logo_url")
        told = from_brand(answer)
        assert [told[f"apple.{name}"] for name in apple] == [brand[name] for name in apple]
        assert [told[f"google.{name}"] for name in google] == [brand[name] for name in google]
        assert told["google.issuer_name"] == brand["organization_name"]
    blue_files, red_files = published[blue][1], published[red][1]
    assert len(blue_files) == 6
    assert blue_files.keys() == red_files.keys()
    assert set(blue_files.values()).isdisjoint(red_files.values())


async def test_what_a_template_says_itself_wins_over_the_brand(make, shop):
    # proves: C10
    blue = await shop(BLUE, 10)
    body = plain(
        make,
        organization_name="Own",
        logo_text="",
        background_color="#111111",
        document={"labelColor": "rgb(1, 2, 3)"},
    )
    body["google"] |= {"class": {"hexBackgroundColor": "#222222"}, "issuer_name": "Own"}
    template_id = await blue.draft(body)
    content = picture(77)
    await blue.call("POST", f"/templates/{template_id}/images/logo", content=content)
    own = await blue.files(template_id)
    answer = await blue.publish(template_id)
    assert taken(answer) == {"apple.foreground_color", "google.logo_url", "files.icon"}
    assert answer["apple"]["organization_name"] == "Own"
    assert answer["apple"]["logo_text"] == ""
    assert answer["apple"]["background_color"] == "#111111"
    assert "label_color" not in answer["apple"]
    assert "hex_background_color" not in answer["google"]
    assert own.items() <= (await blue.files(template_id)).items()


async def test_a_changed_brand_leaves_what_is_published_and_tells_which_templates_wait(
    office, make, shop
):
    # proves: C10
    shop_ = await shop(BLUE, 10)
    template_id = await shop_.draft(plain(make))
    own_id = await shop_.draft(plain(make, label_color="#abcdef"))
    first = await shop_.publish(template_id)
    await shop_.publish(own_id)
    files = await shop_.files(template_id)

    changed = await shop_.call("PUT", "/brand", json=BLUE | {"label_color": "#123456"})
    assert changed["templates"] == [template_id]
    assert (await shop_.call("PUT", "/brand", json=BLUE))["templates"] == [template_id]
    changed = await shop_.call("PUT", "/brand", json=RED)
    assert changed["templates"] == sorted([template_id, own_id])
    told = await shop_.image("logo", 200)
    assert told["templates"] == sorted([template_id, own_id])
    gone = await shop_.call("DELETE", "/brand/images/icon")
    assert gone["templates"] == sorted([template_id, own_id])
    assert {image["name"] for image in gone["images"]} == {"logo.png", "logo@2x.png", "logo@3x.png"}

    # What was published says what it said, also when it is published again without a draft.
    after = await shop_.publish(template_id)
    assert (after["apple"], after["google"]) == (first["apple"], first["google"])
    assert await shop_.files(template_id) == files
    report = await shop_.call("GET", f"/templates/{template_id}/lint")
    assert report["is_publishable"]
    assert taken(report) == TAKEN

    # The next version, sent as this one is shown, leaves the same to the brand.
    await shop_.image("icon", 200)
    shown = await shop_.call("GET", f"/templates/{template_id}")
    second = await shop_.again(template_id, {name: shown[name] for name in plain(make)})
    assert taken(second) == TAKEN
    assert second["template_version"] == 2
    assert from_brand(second)["apple.background_color"] == RED["background_color"]
    assert set((await shop_.files(template_id)).values()).isdisjoint(files.values())
    rows = await office.rows(
        "SELECT content FROM pass_issuer.template WHERE template_id = $1::uuid"
        " AND template_version = 1",
        template_id,
    )
    stored = json.loads(rows[0]["content"])["apple"]
    assert stored["background_color"] == BLUE["background_color"]
    # The same picture once more changes nothing.
    assert (await shop_.image("icon", 200))["templates"] == []


async def test_a_name_that_neither_says_keeps_a_template_from_being_published(make, shop):
    nobody = await shop({}, 10)
    template_id = await nobody.draft(plain(make))
    report = await nobody.call("GET", f"/templates/{template_id}/lint")
    assert not report["is_publishable"]
    found = {(each["severity"], each["path"]) for each in report["findings"]}
    assert {("error", "apple.organization_name"), ("error", "google.issuer_name")} <= found
    problem = await nobody.publish(template_id, 422)
    assert problem["errors"][0]["field"] == "apple.organization_name"
    assert "brand" in problem["detail"]
    # What failed left nothing behind.
    assert await nobody.files(template_id) == {}
    await nobody.call("PUT", "/brand", json=BLUE)
    report = await nobody.call("GET", f"/templates/{template_id}/lint")
    assert report["is_publishable"]
    assert taken(report) == TAKEN
    # Looking takes nothing.
    read = await nobody.call("GET", f"/templates/{template_id}")
    assert (read["files"], read["from_brand"]) == ([], [])
    assert "organization_name" not in read["apple"]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"background_color": "blue"}, "background_color"),
        ({"hex_background_color": "rgb(0, 0, 0)"}, "hex_background_color"),
        ({"logo_url": "javascript:alert(1)"}, "logo_url"),
        ({"organization_name": "x" * 201}, "organization_name"),
        ({"logo_text": "a\x00b"}, "logo_text"),
        ({"label_color": 7}, "label_color"),
        ({"strip_color": "#ffffff"}, "strip_color"),
        ({"logo_text": "x" * 2_001}, "logo_text"),
    ],
)
async def test_a_brand_that_no_template_could_take_is_refused(office, shop, given, field):
    blue = await shop(BLUE)
    problem = await blue.call("PUT", "/brand", 422, json=given)
    assert field in problem["errors"][0]["field"]
    assert (await blue.call("GET", "/brand"))["logo_url"] == BLUE["logo_url"]


@pytest.mark.parametrize(
    ("role", "content", "code"),
    [
        ("icon", b"", "too_large"),
        ("icon", b"GIF89a", "not_image"),
        ("sign", picture(1), "name_invalid"),
        ("..%2Ficon", picture(1), None),
        ("icon", picture(1, 20, 20), "dimensions_invalid"),
    ],
)
async def test_what_is_no_picture_for_the_brand_is_refused(shop, role, content, code):
    blue = await shop(BLUE)
    status = 404 if code is None else 422
    problem = await blue.call("POST", f"/brand/images/{role}", status, content=content)
    assert code is None or problem["code"] == code
    assert (await blue.call("GET", "/brand"))["images"] == []


async def test_a_picture_is_stored_once_per_key_and_replaces_the_one_before(office, shop):
    blue = await shop(BLUE)
    key = {"Idempotency-Key": "logo-1"}
    first = await blue.image("logo", 10, headers=key)
    await blue.image("logo", 50)
    assert await blue.image("logo", 10, headers=key) == first
    shown = (await blue.call("GET", "/brand"))["images"]
    assert len(shown) == 3
    assert shown != first["files"]
    await blue.image("logo", 11, headers=key, status=422)
    await blue.call("DELETE", "/brand/images/logo")
    problem = await blue.call("DELETE", "/brand/images/logo", 404)
    assert problem["code"] == "brand_image_not_found"
    audit = await office.rows(
        "SELECT action FROM pass_issuer.audit_log WHERE action LIKE 'brand.%'"
        " AND workspace_id = $1::uuid ORDER BY action",
        blue.workspace_id,
    )
    assert [row["action"] for row in audit] == [
        "brand.changed", "brand.image_removed", "brand.image_stored", "brand.image_stored",
    ]  # fmt: skip


async def test_nobody_sees_or_takes_the_brand_of_another_workspace(office, make, shop):
    # proves: J70, C10
    blue = await shop(BLUE, 10)
    other = Shop(office, await office.workspace())
    stranger = await office.key(other.workspace_id, "owner")
    for method, path in (
        ("GET", "/brand"),
        ("PUT", "/brand"),
        ("POST", "/brand/images/logo"),
        ("DELETE", "/brand/images/logo"),
    ):
        await office.call(method, f"{blue.base}{path}", key=stranger, status=404)
    shown = await other.call("GET", "/brand", key=stranger)
    assert (shown["organization_name"], shown["images"]) == (None, [])
    template_id = await other.draft(plain(make))
    problem = await other.publish(template_id, 422)
    assert problem["code"] == "required"
    # Row-level security alone hides it, whatever the SQL asks for.
    async with office.issuer.workbench.open([UUID(other.workspace_id)], actor="test") as work:
        for table in ("brand", "brand_image"):
            rows = await work.transaction.fetch(f"SELECT workspace_id FROM {table}")
            assert rows == []
    nowhere = "/workspaces/00000000-0000-7000-8000-000000000001/brand"
    await office.call("PUT", nowhere, json=BLUE, status=404)


async def test_a_change_waits_for_a_version_that_is_being_published_and_names_it(
    office, make, shop
):
    """Else that version would show the older brand, and nobody would be told."""
    blue = await shop(BLUE, 10)
    template_id = await blue.draft(plain(make))
    workspace_id = UUID(blue.workspace_id)
    async with office.issuer.workbench.open([workspace_id], actor="test") as work:
        await office.issuer.publish_template(work, workspace_id, UUID(template_id))
        change = asyncio.create_task(blue.call("PUT", "/brand", json=RED))

        async def waits_or_is_done():
            return change.done() or await office.rows(WAITING)

        await eventually(waits_or_is_done, what="the change waits")
    assert (await change)["templates"] == [template_id]


async def test_a_ticket_takes_no_strip_beside_a_background_of_its_own(make, shop):
    blue = await shop(BLUE, 10)
    await blue.call("POST", "/brand/images/strip", content=picture(10, 1125, 432))
    await blue.call("POST", "/brand/images/footer", content=picture(10, 900, 60))
    body = plain(make, style="eventTicket") | {"protocol": "EVENT_TICKET"}
    one, two = await blue.draft(body), await blue.draft(body)
    background = picture(9, 1035, 1515)
    await blue.call("POST", f"/templates/{two}/images/background", content=background)
    first, second = await blue.publish(one), await blue.publish(two)
    assert {"files.icon", "files.logo", "files.strip"} <= taken(first)
    assert "files.footer" not in taken(first)
    assert "files.strip" not in taken(second)
