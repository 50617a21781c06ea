"""Templates for Apple through the API: linted, given images and translations, published."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from passferry_contracts.events.directory import TemplateAssetStored, TemplatePublished
from passferry_pass_issuer.adapters.wallet_images import check_image
from passferry_testing.strings_reader import read_strings

pytestmark = pytest.mark.integration

TEMPLATES_PAGE = Path(__file__).parents[4] / "docs/templates.md"


def example(style):
    blocks = re.findall(r"```json\n(.*?)```", TEMPLATES_PAGE.read_text(), re.DOTALL)
    found = [json.loads(block) for block in blocks]
    return next(each for each in found if each["apple"]["style"] == style)


def picture(width, height, form="PNG"):
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(buffer, form)
    return buffer.getvalue()


class Draft:
    def __init__(self, office, workspace_id, path):
        self.office, self.workspace_id, self.path = office, workspace_id, path

    async def image(self, role, content, status=200, **more):
        return await self.office.call(
            "POST", f"{self.path}/images/{role}", content=content, status=status, **more
        )

    async def lint(self):
        answer = await self.office.call("GET", f"{self.path}/lint")
        return answer["is_publishable"], {
            (each["severity"], each["path"], each["code"]) for each in answer["findings"]
        }


@pytest.fixture
def drafted(office):
    async def draft(style="storeCard", **apple):
        workspace_id = await office.workspace()
        body = example(style)
        body["apple"] |= apple
        base = f"/workspaces/{workspace_id}/templates"
        made = await office.call("POST", base, status=201, json=body)
        return Draft(office, workspace_id, f"{base}/{made['template_id']}")

    return draft


async def with_images(draft):
    await draft.image("icon", picture(200, 200))
    await draft.image("logo", picture(600, 200, "JPEG"))


async def test_a_draft_is_linted_until_it_can_be_published(office, drafted):
    # proves: A24 (Apple's pass format: P4)
    draft = await drafted()
    is_publishable, found = await draft.lint()
    assert not is_publishable
    assert ("error", "files.icon@3x.png", "image_missing") in found
    problem = await office.call("POST", f"{draft.path}/publish", status=422)
    assert problem["code"] == "image_missing"
    await with_images(draft)
    is_publishable, found = await draft.lint()
    assert is_publishable
    assert ("warning", "pass_type_identifier", "identity_missing") in found
    published = await office.call("POST", f"{draft.path}/publish")
    assert published["status"] == "published"
    assert "identity_missing" in {each["code"] for each in published["warnings"]}


async def test_an_error_of_the_linter_keeps_a_template_from_being_published(office, drafted):
    draft = await drafted(strings={"de": {"POINTS": "PUNKTE"}, "fr": {}})
    await with_images(draft)
    problem = await office.call("POST", f"{draft.path}/publish", status=422)
    assert problem["code"] == "translation_missing"
    assert problem["errors"][0]["field"] == "apple.strings.fr"
    assert await office.events(TemplatePublished) == []


async def test_nfc_is_refused_with_a_certificate_that_does_not_allow_it(office, drafted):
    # Apple's pass format: P12
    draft = await drafted("eventTicket")
    await with_images(draft)
    assert (await draft.lint())[0]
    body = {"certificate_pem": "C", "private_key_pem": "K"}
    body |= {"pass_type_identifier": "pass.com.example.cafe"}
    await office.call(
        "POST", f"/workspaces/{draft.workspace_id}/signing-identities", status=201, json=body
    )
    # The plain checker's identity is of another pass type: make the template that one's.
    changed = example("eventTicket") | {
        "pass_type_identifier": "pass.com.example.cafe",
        "team_identifier": "CAFE123456",
    }
    await office.call("PUT", draft.path, json=changed)
    is_publishable, found = await draft.lint()
    assert not is_publishable
    assert ("error", "apple.nfc", "nfc_certificate_missing") in found


async def test_one_picture_gives_every_density_also_for_one_language(office, drafted):
    # Apple's pass format: P4
    draft = await drafted()
    await draft.image("icon", picture(200, 200, "WEBP"))
    answer = await draft.image("logo", picture(600, 200), params={"language": "pt-BR"})
    assert [each["name"] for each in answer["files"]] == [
        f"pt-BR.lproj/logo{mark}.png" for mark in ("", "@2x", "@3x")
    ]
    read = await office.call("GET", draft.path)
    assert len(read["files"]) == 6
    rows = await office.rows("SELECT content FROM pass_issuer.template_asset")
    assert {Image.open(io.BytesIO(row["content"])).size for row in rows} == {
        (38, 38), (76, 76), (114, 114), (150, 50), (300, 100), (450, 150),
    }  # fmt: skip
    audit = await office.rows(
        "SELECT target FROM pass_issuer.audit_log WHERE action = 'template.file_stored'"
    )
    assert len(audit) == 6


@pytest.mark.parametrize(
    ("role", "content", "code"),
    [
        ("icon", b"", "too_large"),
        ("icon", b"GIF89a", "not_image"),
        ("icon", b"\x89PNG\r\n\x1a\n" + bytes(100), "not_image"),
        ("sign", b"x", "name_invalid"),
        ("icon", picture(20, 20), "dimensions_invalid"),
    ],
)
async def test_what_is_no_picture_for_the_role_is_refused(drafted, role, content, code):
    draft = await drafted()
    problem = await draft.image(role, content, status=422)
    assert problem["code"] == code


async def test_a_large_picture_is_taken_and_a_larger_one_refused(drafted):
    draft = await drafted()
    noise = io.BytesIO()
    Image.effect_noise((1400, 1400), 90).save(noise, "PNG")
    assert len(noise.getvalue()) > 1024 * 1024
    await draft.image("icon", noise.getvalue())
    await draft.image("icon", bytes(8 * 1024 * 1024 + 1), status=413)


async def test_a_picture_with_a_key_is_scaled_and_stored_once(office, drafted):
    # proves: J84
    draft, headers = await drafted(), {"Idempotency-Key": "icon-1"}
    first = await draft.image("icon", picture(200, 200), headers=headers)
    again = await draft.image("icon", picture(200, 200), headers=headers)
    assert again == first
    audit = await office.rows(
        "SELECT target FROM pass_issuer.audit_log WHERE action = 'template.file_stored'"
    )
    assert len(audit) == len(first["files"])
    others = (
        *((picture(300, 300), {}), (picture(200, 200), {"language": "de"})),
        # Whoever scaled it first would find that it is none.
        (b"no picture", {}),
    )
    for content, more in others:
        refused = await draft.image("icon", content, status=422, headers=headers, params=more)
        assert refused["code"] == "idempotency_key_reused"


@pytest.mark.parametrize("language", ["../de", "de/../fr", "d", "de%0a"])
async def test_a_language_is_no_path(drafted, language):
    draft = await drafted()
    await draft.image("icon", picture(200, 200), status=422, params={"language": language})


async def test_another_workspace_sees_and_changes_nothing(office, drafted):
    # proves: C10
    draft = await drafted()
    stranger = await office.workspace()
    path = draft.path.replace(draft.workspace_id, stranger)
    await office.call("GET", f"{path}/lint", status=404)
    other = Draft(office, stranger, path)
    await other.image("icon", picture(200, 200), status=404)
    key = await office.key(stranger, "manager")
    for method, end in (("GET", "lint"), ("POST", "images/icon")):
        await office.call(method, f"{draft.path}/{end}", key=key, status=404, content=b"x")
    viewer = await office.key(draft.workspace_id, "viewer")
    await office.call("GET", f"{draft.path}/lint", key=viewer)
    await draft.image("icon", picture(200, 200), key=viewer, status=403)


async def test_translations_travel_as_files_and_leave_with_the_version_that_had_them(
    office, drafted
):
    # Apple's pass format: P8
    draft = await drafted()
    await with_images(draft)
    await office.call("POST", f"{draft.path}/publish")
    [event] = await office.events(TemplatePublished)
    assert {"de.lproj/pass.strings", "fr.lproj/pass.strings"} <= event.assets.keys()
    stored = {each.sha256: each.content for each in await office.events(TemplateAssetStored)}
    german = base64.b64decode(stored[event.assets["de.lproj/pass.strings"].sha256])
    assert read_strings(german)["You have %@ points"] == "Du hast %@ Punkte"
    body = example("storeCard")
    body["apple"]["strings"] = {"it": {"POINTS": "PUNTI"}}
    await office.call("PUT", draft.path, json=body)
    await office.call("POST", f"{draft.path}/publish")
    second = (await office.events(TemplatePublished))[-1]
    languages = {name for name in second.assets if name.endswith("pass.strings")}
    assert languages == {"it.lproj/pass.strings"}
    assert "icon@3x.png" in second.assets


async def test_a_large_answer_is_kept_under_its_idempotency_key(office):
    body = example("storeCard")
    body["apple"]["strings"] = {
        language: {f"{n} {language}": "\u3042\u3044" * 80 for n in range(450)}
        for language in ("ja", "ko", "th")
    }
    path = f"/workspaces/{await office.workspace()}/templates"
    content = json.dumps(body, ensure_ascii=False).encode()
    assert len(content) < 1_000_000 < len(json.dumps(body))
    headers = {"Idempotency-Key": "large", "Content-Type": "application/json"}
    first, again = [
        await office.call("POST", path, status=201, content=content, headers=headers)
        for _ in range(2)
    ]
    assert first == again


async def test_a_published_version_takes_no_more_images(office, drafted):
    draft = await drafted()
    await with_images(draft)
    await office.call("POST", f"{draft.path}/publish")
    problem = await draft.image("icon", picture(300, 300), status=409)
    assert problem["code"] == "template_published"


def test_scaled_images_pass_the_check_of_single_files():
    from passferry_wallet.apple.image_scaling import scale_image

    for name, content in scale_image("strip", picture(1200, 500)).items():
        check_image(name, content)


async def test_a_pass_that_nobody_gave_an_end_ends_when_its_template_says(office, make):
    workspace_id = await office.workspace()
    layout = make.template_json()["apple"] | {"expires_after_days": 30}
    template_id = await office.template(workspace_id, apple=layout)
    program_id = await office.program(workspace_id, template_id=template_id)
    path = f"/workspaces/{workspace_id}/passes"
    issued = await office.call("POST", path, status=201, json={"program_id": program_id})
    assert issued["expires_at"].startswith("2026-06-13T12:00:00")
    chosen = {"program_id": program_id, "expires_at": "2030-01-01T00:00:00Z"}
    given = await office.call("POST", path, status=201, json=chosen)
    assert given["expires_at"].startswith("2030-01-01")
