"""Public links: what a phone, a computer and a crawler are given."""

from __future__ import annotations

import asyncio
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from passferry_contracts.events.wallet import PassDownloaded, PassLinkOpened
from passferry_contracts.types import PassStatus, Platform
from passferry_testing.pass_reader import read_pass
from passferry_wallet.barcode import qr_png, qr_svg

pytestmark = pytest.mark.integration

IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) Version/18.5 Safari/604.1"
ANDROID = "Mozilla/5.0 (Linux; Android 15; Pixel 9) Chrome/130 Mobile Safari/537.36"
DESKTOP = "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/130.0"
TOKEN = "L1nk-token_of-a-pass"


async def linked(stand: Any, *, signed: bool = True, **rendering: Any) -> Any:
    """A card that is published, with its link."""
    card = (await stand.open_shop()).card()
    await stand.take(card.rendered(signed=signed, **rendering), card.link(TOKEN))
    await stand.told()
    return card


async def visit(stand: Any, card: Any, agent: str, **more: Any) -> Any:
    address = f"/w/{card.shop.workspace_id}/p/{TOKEN}"
    method = more.pop("method", "GET")
    return await stand.http.request(method, address, headers={"User-Agent": agent}, **more)


async def test_an_iphone_is_handed_the_pass(stand, authority):
    """proves: J82, A25"""
    card = await linked(stand)
    answer = await visit(stand, card, IPHONE)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/vnd.apple.pkpass"
    assert answer.headers["cache-control"] == "no-store, private"
    disposition = answer.headers["content-disposition"]
    assert re.fullmatch(r'attachment; filename="[0-9a-f-]{36}\.pkpass"', disposition)
    assert read_pass(answer.content, root_pem=authority.root_pem).serial == card.serial
    opened, downloaded = await stand.told()
    assert isinstance(opened, PassLinkOpened)
    assert (opened.platform, opened.needs_rendering) == (Platform.APPLE, False)
    assert isinstance(downloaded, PassDownloaded)
    assert downloaded.revision == 1


async def test_whoever_opens_a_link_again_and_again_is_told_of_once(stand):
    card = await linked(stand)
    for _ in range(20):
        assert (await visit(stand, card, IPHONE)).status_code == 200
    assert len(await stand.told(PassLinkOpened)) == 1


async def test_an_iphone_waits_for_the_first_signature(stand):
    """proves: A25"""
    card = await linked(stand, signed=False)
    visiting = asyncio.create_task(visit(stand, card, IPHONE))
    await asyncio.sleep(0.3)
    (opened,) = await stand.told(PassLinkOpened)
    assert opened.needs_rendering
    await stand.take(card.rendered())
    assert (await visiting).status_code == 200


async def test_without_a_signature_in_time_the_browser_is_told_to_come_back(stand):
    """proves: A25, J82"""
    card = await linked(stand, signed=False)
    answer = await visit(stand, card, IPHONE)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "Open the link again" in answer.text
    await stand.take(card.rendered())
    assert (await visit(stand, card, IPHONE)).status_code == 200


async def test_too_many_visitors_do_not_wait(stand, start, monkeypatch):
    card = await linked(stand, signed=False)
    where = "passferry_wallet_webservice.entrypoints.link_routes.MAX_WAITING_VISITORS"
    monkeypatch.setattr(where, 1)
    async with start({}) as (_, http):
        path, agent = f"/w/{card.shop.workspace_id}/p/{TOKEN}", {"User-Agent": IPHONE}
        waiting = asyncio.create_task(http.get(path, headers=agent))
        await asyncio.sleep(0.3)
        answer = await http.get(path, headers=agent)
        assert (answer.status_code, waiting.done()) == (503, False)
        assert (await waiting).status_code == 503


async def test_a_link_may_be_known_before_its_pass(stand):
    card = (await stand.open_shop()).card()
    await stand.take(card.link(TOKEN))
    visiting = asyncio.create_task(visit(stand, card, IPHONE))
    await asyncio.sleep(0.2)
    await stand.take(card.rendered())
    assert (await visiting).status_code == 200


async def test_android_gets_a_page_with_the_google_button(stand):
    """proves: A25, J82"""
    card = await linked(stand, save_link="https://pay.google.com/gp/v/save/abc?x=1&y=2")
    answer = await visit(stand, card, ANDROID)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert 'href="https://pay.google.com/gp/v/save/abc?x=1&amp;y=2"' in answer.text
    assert "Kaffeefähre" in answer.text
    assert "rgb(27, 94, 75)" in answer.text
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "<script" not in answer.text
    (opened,) = await stand.told()
    assert (opened.platform, opened.needs_rendering) == (Platform.GOOGLE, False)


async def test_a_page_waits_for_its_save_link_and_does_without(stand):
    card = await linked(stand)
    visiting = asyncio.create_task(visit(stand, card, DESKTOP))
    await asyncio.sleep(0.3)
    (opened,) = await stand.told(PassLinkOpened)
    assert (opened.platform, opened.needs_rendering) == (Platform.OTHER, True)
    answer = await visiting
    assert answer.status_code == 200
    assert "is on its way" in answer.text

    visiting = asyncio.create_task(visit(stand, card, ANDROID))
    await asyncio.sleep(0.2)
    await stand.take(card.rendered(save_link="https://pay.google.com/gp/v/save/now"))
    assert "save/now" in (await visiting).text


async def test_a_stale_save_link_is_asked_for_anew(stand):
    card = await linked(stand, save_link="https://pay.google.com/gp/v/save/old")
    await stand.admin.execute(
        "UPDATE wallet_webservice.published_pass"
        " SET save_link_signed_at = now() - interval '13 hours'"
    )
    answer = await visit(stand, card, ANDROID)
    assert "save/old" in answer.text, "better than none"
    (opened,) = await stand.told(PassLinkOpened)
    assert opened.needs_rendering


async def test_a_pass_without_google_has_a_page_without_the_button(stand):
    card = await linked(stand, google=None)
    started = time.monotonic()
    answer = await visit(stand, card, DESKTOP)
    assert time.monotonic() - started < 1.0, "there is nothing to wait for"
    assert "Google" not in answer.text
    assert "qr.svg" in answer.text


async def test_a_pass_for_google_alone_gives_an_iphone_the_page(stand):
    card = await linked(stand, apple=False, save_link="https://pay.google.com/gp/v/save/abc")
    answer = await visit(stand, card, IPHONE)
    assert answer.status_code == 200
    assert "save/abc" in answer.text


async def test_the_qr_code_is_of_the_link(stand):
    """proves: J83"""
    card = await linked(stand)
    address = f"https://wallet.example/w/{card.shop.workspace_id}/p/{TOKEN}"
    svg = await visit(stand, card, DESKTOP, params={"format": "qr.svg"})
    png = await visit(stand, card, DESKTOP, params={"format": "qr.png"})
    assert (svg.headers["content-type"], svg.text) == ("image/svg+xml", qr_svg(address))
    assert (png.headers["content-type"], png.content) == ("image/png", qr_png(address))
    assert (await visit(stand, card, DESKTOP, params={"format": "exe"})).status_code == 404
    assert await stand.told() == [], "looking at a code is no visit"


async def test_head_looks_without_opening(stand):
    card = await linked(stand)
    pass_head = await visit(stand, card, IPHONE, method="HEAD")
    assert (pass_head.status_code, pass_head.content) == (200, b"")
    assert pass_head.headers["content-type"] == "application/vnd.apple.pkpass"
    full = await visit(stand, card, IPHONE)
    assert pass_head.headers["content-length"] == full.headers["content-length"]
    await stand.told()
    assert (await visit(stand, card, DESKTOP, method="HEAD")).status_code == 200
    assert await stand.told() == []


async def test_links_that_are_not_known_are_equal(stand):
    """proves: J82, A25"""
    card = await linked(stand)
    other = await stand.open_shop()
    paths = [
        f"/w/{card.shop.workspace_id}/p/another",
        f"/w/{card.shop.workspace_id}/p/" + "x" * 129,
        f"/w/{other.workspace_id}/p/{TOKEN}",
        f"/w/{uuid4()}/p/{TOKEN}",
        f"/w/nobody/p/{TOKEN}",
    ]
    for agent in (IPHONE, DESKTOP):
        answers = [await stand.http.get(path, headers={"User-Agent": agent}) for path in paths]
        assert {(each.status_code, each.text) for each in answers} == {(404, answers[0].text)}
    assert await stand.told() == []


async def test_links_that_are_over_are_410(stand):
    """proves: J82, A25"""
    card = (await stand.open_shop()).card()
    await stand.take(card.rendered())
    past = datetime.now(UTC) - timedelta(seconds=1)
    for token, ending in (("revoked", {"revoked": True}), ("expired", {"expires_at": past})):
        await stand.take(card.link(token, **ending))
        for query in ("", "?format=qr.svg"):
            answer = await stand.http.get(f"/w/{card.shop.workspace_id}/p/{token}{query}")
            assert answer.status_code == 410
            assert "new one" in answer.text


async def test_several_links_of_one_pass_open_and_close_each_alone(stand):
    """proves: J82"""
    card = (await stand.open_shop()).card()
    mail, poster = card.link("mail"), card.link("poster")
    await stand.take(card.rendered(), mail, poster)
    await stand.told()

    async def status(token: str) -> int:
        path = f"/w/{card.shop.workspace_id}/p/{token}"
        answer = await stand.http.get(path, headers={"User-Agent": IPHONE})
        return int(answer.status_code)

    assert [await status("mail"), await status("poster")] == [200, 200]
    opened = await stand.told(PassLinkOpened)
    # Both are told of, although they are of one pass: who counts by link needs both.
    assert {each.link_id for each in opened} == {mail.link_id, poster.link_id}
    await stand.take(mail.model_copy(update={"revoked": True}))
    assert [await status("mail"), await status("poster")] == [410, 200]


async def test_a_pass_that_is_over_is_not_handed_out(stand):
    """proves: A25"""
    for status in (PassStatus.VOIDED, PassStatus.EXPIRED, PassStatus.DELETED):
        card = await linked(stand, status=status)
        for agent in (IPHONE, ANDROID):
            answer = await visit(stand, card, agent)
            assert answer.status_code == 410
            assert "no longer valid" in answer.text
    assert await stand.told() == []


async def test_googles_crawler_is_let_in(stand):
    """proves: J91"""
    answer = await stand.http.get("/robots.txt")
    assert "User-agent: Googlebot\nAllow: /" in answer.text


async def test_a_name_cannot_break_out_of_the_page(stand):
    shop = await stand.open_shop()
    card = shop.card()
    rendered = card.rendered(save_link="javascript:alert(1)")
    evil = rendered.apple.pass_json.replace("Kaffeefähre", "<script>alert(1)</script>")
    evil = evil.replace("rgb(27, 94, 75)", "red;position:fixed")
    apple = rendered.apple.model_copy(update={"pass_json": evil})
    await stand.take(rendered.model_copy(update={"apple": apple}), card.link(TOKEN))
    text = (await visit(stand, card, ANDROID)).text
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "position:fixed" not in text
    assert "javascript:" not in text
