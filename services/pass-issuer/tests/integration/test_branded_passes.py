"""The brand on real passes: the same template, drawn and signed for two workspaces."""

from __future__ import annotations

import base64
import io
from uuid import UUID

import pytest
from PIL import Image

from passferry_contracts.events.directory import TemplateAssetStored, TemplatePublished
from passferry_contracts.events.rendered import PassRendered
from passferry_contracts.events.wallet import PassLinkOpened
from passferry_contracts.types import Platform
from passferry_testing.pass_reader import read_pass
from passferry_testing.pki import DemoAuthority
from passferry_wallet.apple.bundle import BundleTemplate

pytestmark = pytest.mark.integration

BLUE, RED = (0, 0, 120), (120, 0, 0)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return DemoAuthority.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def office(harness, make, authority):
    async with make.open_office(harness, authority=authority) as opened:
        yield opened


def colour(shade):
    return f"rgb({shade[0]},{shade[1]},{shade[2]})"


def brand_of(shade, name):
    return {
        "organization_name": name,
        "background_color": colour(shade),
        "foreground_color": "#ffffff",
        "hex_background_color": "#" + "".join(f"{each:02x}" for each in shade),
        "logo_url": f"https://{name.lower()}.example/logo.png",
    }


async def branded(office, authority, shade, name):
    workspace_id = await office.workspace(name=name)
    await office.give_identity(workspace_id, authority)
    path = f"/workspaces/{workspace_id}/brand"
    await office.call("PUT", path, json=brand_of(shade, name))
    buffer = io.BytesIO()
    Image.new("RGB", (600, 600), shade).save(buffer, "PNG")
    for role in ("icon", "logo"):
        await office.call("POST", f"{path}/images/{role}", content=buffer.getvalue())
    return workspace_id


async def issued(office, workspace_id, template):
    base = f"/workspaces/{workspace_id}"
    made = await office.call("POST", f"{base}/templates", status=201, json=template)
    await office.call("POST", f"{base}/templates/{made['template_id']}/publish")
    program_id = await office.program(workspace_id, template_id=made["template_id"])
    given = {"program_id": program_id, "code": "CARD0001"}
    return await office.call("POST", f"{base}/passes", status=201, json=given)


async def on_an_iphone(office, authority, workspace_id, pass_id):
    """The pass as a device reads it, put together from what the web service hears."""
    await office.hear(
        PassLinkOpened(
            workspace_id=UUID(workspace_id),
            pass_id=UUID(pass_id),
            platform=Platform.APPLE,
            needs_rendering=True,
            occurred_at=office.clock.now(),
        )
    )
    apple = (await office.events(PassRendered))[-1].apple
    event = await class_of(office, workspace_id)
    stored = {
        each.sha256: base64.b64decode(each.content)
        for each in await office.events(TemplateAssetStored)
        if str(each.workspace_id) == workspace_id
    }
    bundle = BundleTemplate({name: stored[each.sha256] for name, each in event.assets.items()})
    data = bundle.assemble(
        pass_json=apple.pass_json.encode(),
        manifest=apple.manifest.encode(),
        signature=base64.b64decode(apple.signature),
    )
    return read_pass(data, root_pem=authority.root_pem)


async def class_of(office, workspace_id):
    told = await office.events(TemplatePublished)
    return next(each for each in told if str(each.workspace_id) == workspace_id)


def logo_shade(read):
    return Image.open(io.BytesIO(read.files["logo@2x.png"])).convert("RGB").getpixel((20, 20))


async def test_passes_of_one_template_show_the_brand_of_their_workspace(office, authority, make):
    # proves: C10
    template = make.template_json(google={"title": "Card"})
    for name in ("organization_name", "background_color"):
        del template["apple"][name]
    for shade, name in ((BLUE, "Blue"), (RED, "Red")):
        workspace_id = await branded(office, authority, shade, name)
        wallet_pass = await issued(office, workspace_id, template)
        read = await on_an_iphone(office, authority, workspace_id, wallet_pass["pass_id"])
        assert read.pass_json["organizationName"] == name
        assert read.pass_json["backgroundColor"] == colour(shade)
        assert logo_shade(read) == shade
        google = (await class_of(office, workspace_id)).google_class.class_body
        brand = brand_of(shade, name)
        assert google["issuerName"] == name
        assert google["hexBackgroundColor"] == brand["hex_background_color"]
        assert google["programLogo"]["sourceUri"]["uri"] == brand["logo_url"]

        # Another brand changes no pass of a version that is published.
        path = f"/workspaces/{workspace_id}/brand"
        await office.call("PUT", path, json=brand_of((9, 9, 9), "Other"))
        await office.call("DELETE", f"{path}/images/logo")
        base = f"/workspaces/{workspace_id}/passes"
        await office.call(
            "PATCH", f"{base}/{wallet_pass['pass_id']}", json={"fields": {"favourite": "Tea"}}
        )
        again = await on_an_iphone(office, authority, workspace_id, wallet_pass["pass_id"])
        assert "Tea" in str(again.pass_json)
        assert again.pass_json["backgroundColor"] == colour(shade)
        assert logo_shade(again) == shade
