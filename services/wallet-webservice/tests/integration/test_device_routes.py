"""Apple's web service, as a device meets it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from random import Random
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from passferry_contracts.events.deliveries import DeliveryCompleted
from passferry_contracts.events.wallet import DeviceRegistered, DeviceUnregistered, PassPublished
from passferry_contracts.types import Channel, DeliveryOutcome
from passferry_testing.pass_reader import read_pass, verify_with_openssl
from passferry_testing.sample_pass import SAMPLE_PASS_TYPE

pytestmark = pytest.mark.integration


async def test_registering_is_201_once_and_200_again_with_the_new_token_kept(stand):
    """proves: W1, A7, A8, J18, J20"""
    device = await stand.phone()
    (first,) = await stand.told(DeviceRegistered)
    assert (first.is_new, first.seen_revision) == (True, 1)
    assert first.workspace_id == device.card.shop.workspace_id

    assert (await device.register()).status_code == 200
    assert await stand.told(DeviceRegistered) == [], "nothing new to tell"

    before = await stand.admin.fetchrow("SELECT * FROM wallet_webservice.device_registration")
    device.push_token = secrets.token_hex(32)
    answer = await device.register()
    assert (answer.status_code, answer.content) == (200, b"")
    after = await stand.admin.fetchrow("SELECT * FROM wallet_webservice.device_registration")
    assert after["push_token_sha256"] == hashlib.sha256(device.push_token.encode()).hexdigest()
    assert after["updated_at"] > before["updated_at"]
    assert after["registered_at"] == before["registered_at"]
    (renewed,) = await stand.told(DeviceRegistered)
    assert (renewed.is_new, renewed.seen_revision) == (False, None)


async def test_a_push_token_is_encrypted_at_rest_and_bound_to_its_device(stand):
    # proves: J54
    device = await stand.phone()
    stored = await stand.admin.fetchval(
        "SELECT push_token_ciphertext FROM wallet_webservice.device_registration"
    )
    assert device.push_token.encode() not in stored
    context = f"push_token:{device.card.shop.workspace_id}:{device.device}"
    assert stand.ring.decrypt(stored, context=context) == device.push_token.encode()


async def test_unregistering_is_200_also_when_nothing_was_registered(stand):
    """proves: W2, A9, J19, J20"""
    device = await stand.phone()
    await stand.told()
    answer = await device.unregister()
    assert (answer.status_code, answer.content) == (200, b"")
    (gone,) = await stand.told(DeviceUnregistered)
    assert gone.reason == "requested"
    assert gone.push_token_sha256 == hashlib.sha256(device.push_token.encode()).hexdigest()
    assert await stand.count("device_registration") == 0

    assert (await device.unregister()).status_code == 200
    assert await stand.told() == []


async def test_every_refusal_looks_the_same(stand):
    """proves: W3, A20, J17, J73, A8, A9"""
    device = await stand.phone()
    other_card = device.card.shop.card()
    foreign_shop = await stand.open_shop()
    foreign = foreign_shop.card(serial=device.card.serial)
    await stand.take(other_card.rendered(), foreign.rendered())
    await stand.told()

    workspace = device.card.shop.workspace_id
    right, serial, kind = (
        device.authorization["Authorization"],
        device.card.serial,
        (SAMPLE_PASS_TYPE),
    )
    cases = [
        (workspace, kind, serial, None),
        (workspace, kind, serial, ""),
        (workspace, kind, serial, device.card.token),
        (workspace, kind, serial, f"Bearer {device.card.token}"),
        (workspace, kind, serial, f"ApplePass  {device.card.token}"),
        (workspace, kind, serial, f"applepass {device.card.token}"),
        (workspace, kind, serial, f"ApplePass {device.card.token}x"),
        (workspace, kind, serial, f"ApplePass {device.card.token[:-1]}"),
        (workspace, kind, serial, "ApplePass short"),
        (workspace, kind, serial, "ApplePass " + "a" * 4000),
        (workspace, kind, serial, f"ApplePass {other_card.token}"),
        (workspace, kind, serial, f"ApplePass {foreign.token}"),
        (workspace, kind, "no-such-serial", right),
        (workspace, kind, "s" * 3000, right),
        (workspace, kind, other_card.serial, right),
        (workspace, "pass.org.example.other", serial, right),
        (foreign_shop.workspace_id, kind, serial, right),
        (uuid4(), kind, serial, right),
        ("not-a-workspace", kind, serial, right),
    ]
    answers = set()
    for place, pass_type, number, authorization in cases:
        headers = {} if authorization is None else {"Authorization": authorization}
        registration = f"/w/{place}/v1/devices/{device.device}/registrations/{pass_type}/{number}"
        for request in (
            stand.http.post(registration, headers=headers, json={"pushToken": "ab" * 32}),
            stand.http.delete(registration, headers=headers),
            stand.http.get(f"/w/{place}/v1/passes/{pass_type}/{number}", headers=headers),
        ):
            answer = await request
            shown = {k: v for k, v in answer.headers.items() if k != "x-request-id"}
            answers.add((answer.status_code, answer.content, tuple(sorted(shown.items()))))
    assert {status for status, _, _ in answers} == {401}, answers
    assert len(answers) == 1
    assert await stand.told() == []
    assert await stand.count("device_registration") == 1


async def test_a_refused_body_is_not_read(stand):
    """proves: W3"""
    device = stand.device((await stand.open_shop()).card())
    read = False

    async def body() -> Any:
        nonlocal read
        read = True
        yield b"{}"

    answer = await stand.http.post(
        f"{device.registrations}/{device.card.serial}",
        headers=device.authorization,
        content=body(),
    )
    assert (answer.status_code, read) == (401, False)


async def test_the_first_list_names_all_and_its_tag_then_lists_nothing(stand):
    """proves: W4, A10, J90"""
    shop = await stand.open_shop()
    device = await stand.phone(shop)
    second = stand.device(shop.card(), device=device.device)
    await stand.take(second.card.rendered())
    await second.register()
    # Of the same type, but not on this device.
    await stand.phone(shop)

    first = await device.list()
    assert first.status_code == 200
    assert first.headers["content-type"] == "application/json"
    body = first.json()
    assert sorted(body["serialNumbers"]) == sorted([device.card.serial, second.card.serial])
    assert isinstance(body["lastUpdated"], str)

    again = await device.list(body["lastUpdated"])
    assert (again.status_code, again.content) == (204, b"")

    await stand.take(second.card.rendered(2))
    changed = (await device.list(body["lastUpdated"])).json()
    assert changed["serialNumbers"] == [second.card.serial]
    assert changed["lastUpdated"] != body["lastUpdated"]


async def test_two_changes_in_one_moment_both_reach_the_device(stand):
    """proves: W5, W8, A10, A11"""
    shop = await stand.open_shop()
    device = await stand.phone(shop)
    other = stand.device(shop.card(), device=device.device)
    await stand.take(other.card.rendered())
    await other.register()
    tag = (await device.list()).json()["lastUpdated"]
    date = (await device.get()).headers["last-modified"]

    await stand.take_batch([device.card.rendered(2), other.card.rendered(2)])
    listed = (await device.list(tag)).json()
    assert set(listed["serialNumbers"]) == {device.card.serial, other.card.serial}

    second = await device.get(date)
    await stand.take(device.card.rendered(3))
    third = await device.get(second.headers["last-modified"])
    assert [second.status_code, third.status_code] == [200, 200]
    dates = [
        parsedate_to_datetime(d)
        for d in (date, second.headers["last-modified"], third.headers["last-modified"])
    ]
    assert dates[0] < dates[1] < dates[2]


async def test_a_change_that_commits_late_is_listed_next_time(stand):
    """A transaction that was given its tag first keeps the second from overtaking it.

    proves: W6, A10
    """
    shop = await stand.open_shop()
    early, late = await stand.phone(shop), None
    late = stand.device(shop.card(), device=early.device)
    await stand.take(late.card.rendered())
    await late.register()
    tag = (await early.list()).json()["lastUpdated"]

    held = await stand.admin.fetchval("SELECT max(value) FROM wallet_webservice.update_counter")
    transaction = stand.admin.transaction()
    await transaction.start()
    await stand.admin.execute("UPDATE wallet_webservice.update_counter SET value = value + 1")
    await stand.admin.execute(
        "UPDATE wallet_webservice.published_pass SET update_tag = $1 WHERE serial_number = $2",
        held + 1,
        early.card.serial,
    )
    storing = asyncio.create_task(stand.take(late.card.rendered(2)))
    await asyncio.sleep(0.2)
    assert not storing.done()
    assert (await early.list(tag)).status_code == 204
    await transaction.commit()
    await storing

    body = (await early.list(tag)).json()
    assert set(body["serialNumbers"]) == {early.card.serial, late.card.serial}


async def test_a_polling_device_never_misses_an_update_of_concurrent_writers(stand):
    """proves: W5, W6, A10, A11"""
    shop = await stand.open_shop()
    first = await stand.phone(shop)
    devices = [first] + [stand.device(shop.card(), device=first.device) for _ in range(11)]
    for device in devices[1:]:
        await stand.take(device.card.rendered())
        await device.register()
    by_serial = {device.card.serial: device for device in devices}
    shown: dict[str, int] = {}
    tag: str | None = None
    newest = 8

    async def write(mine: list[Any]) -> None:
        for revision in range(2, newest + 1):
            await stand.take_batch([device.card.rendered(revision) for device in mine])

    async def poll() -> None:
        nonlocal tag
        answer = await first.list(tag)
        if answer.status_code == 204:
            return
        body = answer.json()
        assert body["lastUpdated"] != tag, "a tag that stands still is logged by devices"
        tag = body["lastUpdated"]
        for serial in body["serialNumbers"]:
            shown[serial] = await by_serial[serial].shown()

    writers = [asyncio.create_task(write(devices[start::3])) for start in range(3)]
    while not all(writer.done() for writer in writers):
        await poll()
    await asyncio.gather(*writers)
    await poll()
    assert shown == dict.fromkeys(by_serial, newest)


async def test_a_tag_that_is_not_ours_lists_everything(stand):
    """proves: W7"""
    device = await stand.phone()
    odd = ("garbage", "", "0", "-1", "99999999", "9" * 18, "9" * 400, "1.5", "1e3", "１", "null")
    for tag in odd:
        answer = await device.list(tag)
        assert answer.status_code == 200, tag
        assert answer.json()["serialNumbers"] == [device.card.serial]


async def test_a_pass_is_fetched_once_and_is_then_unchanged(stand, authority):
    """proves: W8, A11, J89"""
    device = await stand.phone()
    answer = await device.get()
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/vnd.apple.pkpass"
    assert answer.headers["cache-control"] == "no-store, private"
    date = answer.headers["last-modified"]
    assert date == format_datetime(parsedate_to_datetime(date), usegmt=True)
    held = read_pass(answer.content, root_pem=authority.root_pem)
    assert (held.serial, held.fields["points"]) == (device.card.serial, 1)
    verify_with_openssl(answer.content, root_pem=authority.root_pem)

    replay = await device.get(date)
    assert (replay.status_code, replay.content) == (304, b"")
    assert replay.headers["last-modified"] == date

    await stand.take(device.card.rendered(2))
    newer = await device.get(date)
    assert newer.status_code == 200
    assert parsedate_to_datetime(newer.headers["last-modified"]) > parsedate_to_datetime(date)
    assert await device.shown() == 2


async def test_an_unreadable_date_gets_the_pass(stand):
    """proves: W8"""
    device = await stand.phone()
    beyond = "Mon, 01 Jan 99999999999 00:00:00 GMT"
    far_zone = "Mon, 01 Jan 2026 00:00:00 +99999999999999999999"
    for date in ("", "yesterday", "Thu, 99 Foo 2026", "\x7f", "0", "-1", beyond, far_zone):
        assert (await device.get(date)).status_code == 200, date


async def test_a_date_without_a_zone_is_read_as_utc(stand):
    """proves: W8"""
    device = await stand.phone()
    date = (await device.get()).headers["last-modified"].removesuffix(" GMT")
    assert (await device.get(date)).status_code == 304


async def test_a_change_and_its_reversal_leave_a_device_current(stand):
    """proves: W8"""
    device = await stand.phone()
    date = (await device.get()).headers["last-modified"]
    await stand.take(device.card.rendered(2, points=5), device.card.rendered(3, points=1))
    answer = await device.get(date)
    assert answer.status_code == 304
    assert answer.headers["last-modified"] != date


async def test_head_gives_the_same_headers_and_no_body(stand):
    """proves: W9, A11"""
    device = await stand.phone()
    full = await device.get()
    head = await stand.http.head(device.address, headers=device.authorization)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("last-modified", "content-type", "content-length", "cache-control"):
        assert head.headers[name] == full.headers[name]
    assert (await stand.http.head(device.address)).status_code == 401


async def test_odd_serials_and_devices_survive_percent_encoding(stand):
    """proves: W10, J16"""
    shop = await stand.open_shop()
    for odd in ("a/b", "ä ö/%", "x+y z", "...", "a//b", "日本 🎟", "%2F", "q?x=1#y"):
        device = stand.device(shop.card(serial=odd))
        await stand.take(device.card.rendered())
        encoded = quote(odd, safe="")
        base = f"{device.base}/v1/devices/{encoded}/registrations/{SAMPLE_PASS_TYPE}"
        registration = f"{base}/{encoded}"
        answer = await stand.http.post(
            registration, headers=device.authorization, json={"pushToken": "ab" * 32}
        )
        assert answer.status_code == 201, odd
        assert (await stand.http.get(base)).json()["serialNumbers"] == [odd]
        fetched = await stand.http.get(
            f"{device.base}/v1/passes/{SAMPLE_PASS_TYPE}/{encoded}", headers=device.authorization
        )
        assert fetched.status_code == 200
        gone = await stand.http.delete(registration, headers=device.authorization)
        assert gone.status_code == 200
        assert await stand.count("device_registration") == 0


REGISTRATIONS = [
    (b"x" * 4_097, 413),
    (b'{"pushToken": "' + b"ab" * 2_500 + b'"}', 413),
    (b"", 400),
    (b"not json", 400),
    (b"\xff\xfe", 400),
    (b"[" * 4_000, 400),
    (b"[]", 400),
    (b'"text"', 400),
    (b"null", 400),
    (b"{}", 400),
    (b'{"pushToken": null}', 400),
    (b'{"pushToken": 7}', 400),
    (b'{"pushToken": ""}', 400),
    (b'{"pushToken": "abc"}', 400),
    (b'{"pushToken": "zz"}', 400),
    (b'{"pushToken": "ab/../cd"}', 400),
    (b'{"pushToken": "abab\\n"}', 400),
    (b'{"pushToken": "\\ud800"}', 400),
    (json.dumps({"pushToken": "ab" * 101}).encode(), 400),
    (json.dumps({"pushToken": "AB" * 100}).encode(), 201),
]


async def test_registering_checks_its_body(stand):
    """proves: W11, J16"""
    device = stand.device((await stand.open_shop()).card())
    await stand.take(device.card.rendered())
    for body, status in REGISTRATIONS:
        answer = await stand.http.post(
            f"{device.registrations}/{device.card.serial}",
            headers=device.authorization,
            content=body,
        )
        assert (answer.status_code, answer.content) == (status, b""), body[:40]
        assert await stand.count("device_registration") == (status == 201)


async def test_a_device_has_a_short_plain_identifier(stand):
    """proves: J16"""
    card = (await stand.open_shop()).card()
    await stand.take(card.rendered())
    for identifier, status in (("d", 201), ("d" * 128, 201), ("d" * 129, 400), ("a\x01b", 400)):
        device = stand.device(card, device=quote(identifier, safe=""))
        assert (await device.register()).status_code == status, identifier


async def test_log_lines_of_nobody_are_taken_and_dropped(stand):
    """proves: W12, A12"""
    for workspace in (uuid4(), "not-a-workspace"):
        answer = await stand.http.post(f"/w/{workspace}/v1/log", json={"logs": ["line"]})
        assert (answer.status_code, answer.content) == (200, b"")
    assert await stand.count("device_log") == 0


async def test_a_log_that_cannot_be_read_is_no_failure(stand):
    """proves: W12, A12"""
    for body, status in (
        (b"x" * 16_385, 413),
        (b"not json", 200),
        (b"[" * 16_000, 200),
        (b'{"logs": "text"}', 200),
        (b"[]", 200),
    ):
        answer = await stand.http.post(f"/w/{uuid4()}/v1/log", content=body)
        assert (answer.status_code, answer.content) == (status, b"")


async def test_an_unknown_device_has_nothing_to_fetch(stand):
    """proves: W13, A10"""
    device = await stand.phone()
    unknown = stand.device(device.card)
    for answer in (
        await unknown.list(),
        await stand.http.get(f"{device.registrations}.other"),
        await stand.http.get(device.registrations.replace("/w/", "/w/x")),
        await stand.http.get(f"/w/{uuid4()}/v1/devices/d/registrations/{SAMPLE_PASS_TYPE}"),
    ):
        assert (answer.status_code, answer.content) == (204, b"")


async def test_a_revision_that_shows_the_same_moves_nothing(stand):
    """proves: W14"""
    device = await stand.phone()
    tag = (await device.list()).json()["lastUpdated"]
    date = (await device.get()).headers["last-modified"]
    await stand.told()
    await stand.take(device.card.rendered(2, points=1))
    assert await stand.told(PassPublished) == []
    assert (await device.list(tag)).status_code == 204
    assert (await device.get(date)).status_code == 304
    revision = await stand.admin.fetchval("SELECT revision FROM wallet_webservice.published_pass")
    assert revision == 2


async def test_a_web_service_url_may_end_with_a_slash(stand):
    """proves: W15"""
    device = await stand.phone()
    slashed = f"{device.base}//v1"
    for path, status in (
        (f"/devices/{device.device}/registrations/{SAMPLE_PASS_TYPE}", 200),
        (f"/passes/{SAMPLE_PASS_TYPE}/{device.card.serial}", 200),
        ("/log", 405),
    ):
        answer = await stand.http.get(slashed + path, headers=device.authorization)
        assert answer.status_code == status


async def test_workspaces_with_equal_serials_and_devices_see_nothing_of_each_other(stand):
    """proves: A20, J17, J18, J73"""
    mine = await stand.phone()
    other_shop = await stand.open_shop()
    theirs = stand.device(
        other_shop.card(serial=mine.card.serial),
        device=mine.device,
        push_token=mine.push_token,
    )
    await stand.take(theirs.card.rendered(1, points=77))
    assert mine.card.token != theirs.card.token
    assert (await theirs.list()).status_code == 204
    assert (await theirs.register()).status_code == 201
    assert await stand.count("device_registration") == 2

    tag = (await mine.list()).json()["lastUpdated"]
    await stand.take(theirs.card.rendered(2, points=78))
    assert (await mine.list(tag)).status_code == 204
    assert await mine.shown() == 1
    assert await theirs.shown() == 78

    await theirs.unregister()
    assert (await mine.list()).status_code == 200
    assert (await theirs.list()).status_code == 204


async def test_only_the_newest_devices_of_a_pass_are_kept(stand):
    device = await stand.phone()
    for _ in range(50):
        await stand.device(device.card).register()
    assert await stand.count("device_registration") == 50
    (gone,) = await stand.told(DeviceUnregistered)
    assert (gone.reason, gone.device_library_identifier) == ("replaced", device.device)


def told_gone(device: Any, gone_at: datetime) -> DeliveryCompleted:
    return DeliveryCompleted(
        workspace_id=device.card.shop.workspace_id,
        pass_id=device.card.pass_id,
        delivery_id=uuid4(),
        channel=Channel.APPLE_WALLET,
        notification_type="balance_update",
        device_library_identifier=device.device,
        push_token_sha256=hashlib.sha256(device.push_token.encode()).hexdigest(),
        outcome=DeliveryOutcome.DROPPED,
        reason="unregistered",
        token_gone_at=gone_at,
        attempts=1,
        completed_at=datetime.now(UTC),
    )


async def test_a_token_that_is_gone_takes_all_its_registrations_along(stand):
    shop = await stand.open_shop()
    device = await stand.phone(shop)
    second = stand.device(shop.card(), device=device.device, push_token=device.push_token)
    await stand.take(second.card.rendered())
    await second.register()
    # The same token in another workspace is another matter.
    foreign = stand.device(
        (await stand.open_shop()).card(), device=device.device, push_token=device.push_token
    )
    await stand.take(foreign.card.rendered())
    await foreign.register()
    await stand.told()
    await stand.take(told_gone(device, datetime.now(UTC)))
    gone = await stand.told(DeviceUnregistered)
    assert [each.reason for each in gone] == ["token_gone"] * 2
    assert {each.workspace_id for each in gone} == {shop.workspace_id}
    assert await stand.count("device_registration") == 1


async def test_a_token_that_came_back_since_stays_and_is_told_of_again(stand):
    """proves: N2"""
    device = await stand.phone()
    await stand.told()
    await stand.take(told_gone(device, datetime.now(UTC) - timedelta(minutes=5)))
    (told,) = await stand.told()
    assert isinstance(told, DeviceRegistered)
    assert (told.is_new, told.seen_revision) == (False, None)
    assert await stand.count("device_registration") == 1


OTHER_ADDRESSES = [
    ("GET", "/v1/log", 405),
    ("PUT", "/v1/log", 405),
    ("POST", "/v1/passes/a/b", 405),
    ("DELETE", "/v1/passes/a/b", 405),
    ("POST", "/v1/devices/a/registrations/b", 405),
    ("GET", "/v1/devices/a/registrations/b/c", 405),
    ("GET", "/", 404),
    ("GET", "/v1", 404),
    ("GET", "/v2/passes/a/b", 404),
    ("GET", "/v1/passes/a", 404),
    ("GET", "/v1/passes/a/b/c", 404),
    ("POST", "/v1/passes/a/b/personalize", 404),
]


async def test_other_addresses_and_methods_do_nothing(stand):
    """proves: J89"""
    for method, path, status in OTHER_ADDRESSES:
        answer = await stand.http.request(method, f"/w/{uuid4()}{path}")
        assert answer.status_code == status, (method, path)
        assert ("allow" in answer.headers) == (status == 405)


async def test_no_path_breaks_the_device_routes(stand):
    """proves: W10, A20"""
    pieces = ["", "a", "..", "%2f", "%00", "%ff", "%ed%a0%80", "%0a", "%", "%zz", "é", "~", ";x"]
    random = Random(20260514)
    for _ in range(250):
        parts = [random.choice(pieces) + random.choice(pieces) for _ in range(4)]
        path = random.choice(
            (
                "/w/{0}/v1/devices/{1}/registrations/{2}/{3}",
                "/w/{0}/v1/devices/{1}/registrations/{2}",
                "/w/{0}/v1/passes/{2}/{3}",
                "/w/{0}/{1}/{2}",
                "/w/{0}/p/{1}",
            )
        ).format(*random.sample([*parts[:3], str(uuid4())], 4))
        method = random.choice(("GET", "HEAD", "POST", "DELETE"))
        headers = {"Authorization": f"ApplePass {'a' * 40}"}
        request = stand.http.build_request(method, path, headers=headers)
        answer = await stand.http.send(request)
        assert answer.status_code in {200, 204, 400, 401, 404, 405}, (method, path)
