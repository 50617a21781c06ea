"""From the example of each style on the page to a pass as a device reads it, by the API and events."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from uuid import UUID

import pytest
from PIL import Image

from passferry_contracts.events.directory import TemplateAssetStored, TemplatePublished
from passferry_contracts.events.rendered import PassRendered
from passferry_contracts.events.wallet import PassLinkOpened
from passferry_contracts.types import Platform
from passferry_testing.pass_reader import read_pass, verify_with_openssl
from passferry_testing.pki import DemoAuthority
from passferry_wallet.apple.bundle import BundleTemplate

pytestmark = pytest.mark.integration

TEMPLATES_PAGE = Path(__file__).parents[4] / "docs/templates.md"
STYLES = ["storeCard", "coupon", "eventTicket", "boardingPass", "generic", "posterGeneric"]
PASS_TYPE, TEAM = "pass.com.example.ferry", "FERRY12345"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return DemoAuthority.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def office(harness, make, authority):
    async with make.open_office(harness, authority=authority) as opened:
        yield opened


def picture():
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((1400, 1400)).convert("RGB").save(buffer, "JPEG")
    return buffer.getvalue()


def example(style):
    blocks = re.findall(r"```json\n(.*?)```", TEMPLATES_PAGE.read_text(), re.DOTALL)
    return next(body for block in blocks if (body := json.loads(block))["apple"]["style"] == style)


async def published(office, workspace_id, body):
    base = f"/workspaces/{workspace_id}/templates"
    made = await office.call("POST", base, status=201, json=body)
    path = f"{base}/{made['template_id']}"
    for role in ("icon", "logo", "artwork"):
        await office.call("POST", f"{path}/images/{role}", content=picture())
    answer = await office.call("POST", f"{path}/publish")
    return str(made["template_id"]), answer["warnings"]


async def give_nfc_identity(office, workspace_id, authority, *, nfc=True, team=TEAM):
    issued = authority.issue_pass_certificate(PASS_TYPE, team, nfc=nfc)
    body = {
        "certificate_pem": issued.certificate_pem.decode(),
        "private_key_pem": issued.private_key_pem.decode(),
    }
    path = f"/workspaces/{workspace_id}/signing-identities"
    return await office.call("POST", path, status=201, json=body)


async def opened_on_an_iphone(office, workspace_id, issued):
    await office.hear(
        PassLinkOpened(
            workspace_id=UUID(workspace_id),
            pass_id=UUID(issued["pass_id"]),
            platform=Platform.APPLE,
            needs_rendering=True,
            occurred_at=office.clock.now(),
        )
    )
    return (await office.events(PassRendered))[-1].apple


@pytest.mark.parametrize("style", STYLES)
async def test_a_template_of_every_style_becomes_a_pass_that_a_device_takes(
    office, authority, style
):
    # proves: A13, A15, J81 (Apple's pass format: P1, P2, P4, P5, P9)
    workspace_id = await office.workspace()
    await give_nfc_identity(office, workspace_id, authority)
    body = example(style)
    template_id, warnings = await published(office, workspace_id, body)
    assert "style_scheme_incomplete" not in {each["code"] for each in warnings}
    program_id = await office.program(
        workspace_id, template_id=template_id, protocol=body["protocol"], unit="EUR", unit_scale=2
    )
    values = dict(body["apple"].get("example_values", {}))
    code = values.pop("pass.code", "CARD0001")
    values.setdefault("starts", "2030-01-01T12:00:00Z")
    known = (await office.call("GET", f"/workspaces/{workspace_id}/templates/{template_id}"))[
        "field_names"
    ]
    given = {
        "program_id": program_id,
        "code": code,
        "fields": {name: value for name, value in values.items() if name in known},
    }
    issued = await office.call("POST", f"/workspaces/{workspace_id}/passes", status=201, json=given)
    apple = await opened_on_an_iphone(office, workspace_id, issued)
    data = await bundled(office, apple)
    verify_with_openssl(data, root_pem=authority.root_pem)
    read = read_pass(data, root_pem=authority.root_pem)
    assert style in read.pass_json
    assert read.strings.keys() == body["apple"].get("strings", {}).keys()
    assert {"icon@3x.png", "logo@2x.png"} <= read.files.keys()
    assert read.barcode == code


async def bundled(office, apple):
    """Put together from what the web service hears, as it does it."""
    [event] = await office.events(TemplatePublished)
    stored = {each.sha256: each.content for each in await office.events(TemplateAssetStored)}
    files = {name: base64.b64decode(stored[asset.sha256]) for name, asset in event.assets.items()}
    return BundleTemplate(files).assemble(
        pass_json=apple.pass_json.encode(),
        manifest=apple.manifest.encode(),
        signature=base64.b64decode(apple.signature),
    )


async def test_an_identity_that_devices_would_refuse_says_so_and_signs_nothing(
    office, authority, make
):
    # proves: A23 (Apple's pass format: P12)
    workspace_id = await office.workspace()
    assert (await give_nfc_identity(office, workspace_id, authority))["warnings"] == []
    template_id, _ = await published(office, workspace_id, example("eventTicket"))
    program_id = await office.program(
        workspace_id, template_id=template_id, protocol="EVENT_TICKET"
    )
    health = f"/workspaces/{workspace_id}/health"
    assert (await office.call("GET", health))["state"] == "ok"
    base = f"/workspaces/{workspace_id}/passes"
    fields = {"starts": "2030-01-01T12:00:00Z"}
    tickets = [
        await office.call(
            "POST", base, status=201, json={"program_id": program_id, "fields": fields}
        )
        for _ in range(2)
    ]
    for nfc, team, code in (
        (False, TEAM, "signing_identity_without_nfc"),
        (True, "OTHERTEAM1", "signing_identity_of_another_team"),
    ):
        renewed = await give_nfc_identity(office, workspace_id, authority, nfc=nfc, team=team)
        assert [each["code"] for each in renewed["warnings"]] == [code]
        told = await office.call("GET", health)
        assert (told["state"], [each["code"] for each in told["findings"]]) == ("degraded", [code])
        ticket = tickets.pop()
        assert (await opened_on_an_iphone(office, workspace_id, ticket)).signature is None
        assert await office.press.find_unsigned() == []
        assert await office.press.sign_waiting(UUID(workspace_id), PASS_TYPE) == 0
    draft = await office.call(
        "POST",
        f"/workspaces/{workspace_id}/templates",
        status=201,
        json=example("coupon"),
    )
    lint = await office.call(
        "GET", f"/workspaces/{workspace_id}/templates/{draft['template_id']}/lint"
    )
    assert "team_mismatch" in {each["code"] for each in lint["findings"]}
    assert (await give_nfc_identity(office, workspace_id, authority))["warnings"] == []
    assert await office.press.find_unsigned() == [(UUID(workspace_id), PASS_TYPE)]
    assert await office.press.sign_waiting(UUID(workspace_id), PASS_TYPE) == 2


async def test_what_has_no_nfc_any_more_is_signed_without_its_right(office, authority):
    workspace_id = await office.workspace()
    await give_nfc_identity(office, workspace_id, authority)
    template_id, _ = await published(office, workspace_id, example("eventTicket"))
    program_id = await office.program(
        workspace_id, template_id=template_id, protocol="EVENT_TICKET"
    )
    given = {"program_id": program_id, "fields": {"starts": "2030-01-01T12:00:00Z"}}
    base = f"/workspaces/{workspace_id}/passes"
    issued = await office.call("POST", base, status=201, json=given)
    await opened_on_an_iphone(office, workspace_id, issued)
    await give_nfc_identity(office, workspace_id, authority, nfc=False)
    await office.call("POST", f"{base}/{issued['pass_id']}/void", json={"reason": "used"})
    apple = (await office.events(PassRendered))[-1].apple
    assert "nfc" not in json.loads(apple.pass_json)
    assert apple.signature is not None
