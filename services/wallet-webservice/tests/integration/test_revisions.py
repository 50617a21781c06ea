"""When a rendered revision becomes what devices are given."""

from __future__ import annotations

import asyncio
import hashlib
from random import Random
from typing import Any

import pytest

from passferry_contracts.events.wallet import DeviceUnregistered, PassPublished
from passferry_contracts.registry import LINK_CHANGED, PASS_RENDERED
from passferry_contracts.types import PassStatus

pytestmark = pytest.mark.integration


async def published(stand: Any) -> list[int]:
    """Revisions told of since the last call."""
    return [each.revision for each in await stand.told(PassPublished)]


async def test_a_revision_waits_for_its_template_and_each_of_its_images(stand):
    shop = stand.shop()
    device = stand.device(shop.card())
    await stand.take(device.card.rendered())
    assert await published(stand) == []
    assert (await device.get()).status_code == 401, "nothing is known yet"
    await stand.take(shop.template())
    first, second = shop.assets()
    await stand.take(first)
    assert await published(stand) == []
    await stand.take(second)
    assert await published(stand) == [1]
    assert (await device.get()).status_code == 200
    assert await stand.count("waiting_revision") == 0


async def test_images_may_come_before_their_template(stand):
    shop = stand.shop()
    device = stand.device(shop.card())
    await stand.take(*shop.assets(), device.card.rendered(), shop.template())
    assert await published(stand) == [1]


async def test_more_revisions_than_one_batch_wait_for_a_template(stand, monkeypatch):
    monkeypatch.setattr("passferry_wallet_webservice.adapters.postgres_revisions.WAITING_BATCH", 4)
    shop = stand.shop()
    cards = [shop.card() for _ in range(11)]
    await stand.take_batch([card.rendered(signed=False) for card in cards])
    await stand.take(*shop.assets(), shop.template())
    assert len(await published(stand)) == 11
    assert await stand.count("waiting_revision") == 0


async def test_a_death_between_completing_a_template_and_publishing_loses_nothing(stand):
    """Kafka then gives the record again, and nothing is left to complete."""
    shop = stand.shop()
    card = shop.card()
    await stand.take(card.rendered(), *shop.assets(), shop.template())
    await published(stand)
    late = shop.card()
    # What waited when the process died.
    await stand.admin.execute("UPDATE wallet_webservice.template SET is_complete = false")
    await stand.take(late.rendered())
    await stand.admin.execute("UPDATE wallet_webservice.template SET is_complete = true")
    assert await published(stand) == []
    await stand.take(shop.template())
    assert await published(stand) == [1]


async def test_older_and_equal_revisions_change_nothing(stand):
    device = await stand.phone()
    await stand.take(device.card.rendered(5))
    await published(stand)
    date = (await device.get()).headers["last-modified"]
    await stand.take(device.card.rendered(4), device.card.rendered(5), device.card.rendered(1))
    assert await published(stand) == []
    assert (await device.get(date)).status_code == 304
    assert await device.shown() == 5


async def test_a_batch_publishes_the_newest_of_each_pass_once(stand):
    shop = await stand.open_shop()
    one, two = shop.card(), shop.card()
    await stand.take_batch([one.rendered(1), two.rendered(1), one.rendered(3), one.rendered(2)])
    assert sorted(await published(stand)) == [1, 3]


async def test_a_pass_on_apple_keeps_its_old_revision_until_the_new_one_is_signed(stand):
    device = await stand.phone()
    await published(stand)
    tag = (await device.list()).json()["lastUpdated"]
    await stand.take(device.card.rendered(2, signed=False))
    assert await published(stand) == []
    assert (await device.list(tag)).status_code == 204
    assert await device.shown() == 1
    await stand.take(device.card.rendered(2))
    assert await published(stand) == [2]
    assert (await device.list(tag)).status_code == 200
    assert await device.shown() == 2
    assert await stand.count("waiting_revision") == 0


async def test_a_first_signature_can_be_fetched_and_rings_nobody(stand):
    device = stand.device((await stand.open_shop()).card())
    await stand.take(device.card.rendered(signed=False))
    assert await published(stand) == [1]
    unsigned = await device.get()
    assert (unsigned.status_code, unsigned.headers["retry-after"]) == (503, "1")
    await stand.take(device.card.rendered())
    assert await published(stand) == []
    assert (await device.get()).status_code == 200


async def test_devices_that_registered_before_the_signature_are_told_of_it(stand):
    """A device may know the token from elsewhere; then it waits for something to fetch."""
    shop = await stand.open_shop()
    device = stand.device(shop.card())
    await stand.take(device.card.rendered(signed=False))
    assert (await device.register()).status_code == 201
    # What it holds of this type moves its tag on meanwhile.
    other = stand.device(shop.card(), device=device.device)
    await stand.take(other.card.rendered())
    await other.register()
    tag = (await device.list()).json()["lastUpdated"]
    await published(stand)

    await stand.take(device.card.rendered(2, signed=False))
    assert await published(stand) == [], "it could not be fetched"
    await stand.take(device.card.rendered(1))
    told_published, told_device = await stand.told()
    assert (told_published.revision, told_device.is_new) == (1, False)
    assert told_device.seen_revision is None, "so that it is rung"
    assert (await device.list(tag)).json()["serialNumbers"] == [device.card.serial]
    await stand.take(device.card.rendered(2))
    assert await published(stand) == [2]


async def test_a_signature_survives_a_repetition_without_it(stand):
    shop = stand.shop()
    device = stand.device(shop.card())
    await stand.take(
        device.card.rendered(), device.card.rendered(signed=False, save_link="https://g/1")
    )
    await stand.take(shop.template(), *shop.assets())
    assert (await device.get()).status_code == 200
    await stand.take(device.card.rendered(signed=False, save_link="https://g/2"))
    assert (await device.get()).status_code == 200
    save_link = await stand.admin.fetchval("SELECT save_link FROM wallet_webservice.published_pass")
    assert save_link == "https://g/2"


async def test_a_pass_may_be_for_google_alone_and_come_to_apple_later(stand):
    device = stand.device((await stand.open_shop()).card())
    await stand.take(device.card.rendered(1, apple=False))
    assert await published(stand) == []
    assert (await device.get()).status_code == 401
    await stand.take(device.card.rendered(2))
    assert await published(stand) == [2]
    assert (await device.get()).status_code == 200


async def test_a_deleted_pass_is_gone_with_its_devices_and_what_waited(stand):
    device = await stand.phone()
    await stand.take(device.card.rendered(2, signed=False))
    await stand.told()
    await stand.bury(PASS_RENDERED, device.card.shop.workspace_id, device.card.pass_id)
    (gone,) = await stand.told(DeviceUnregistered)
    assert gone.reason == "pass_deleted"
    assert (await device.get()).status_code == 401
    assert (await device.list()).status_code == 204
    for table in ("published_pass", "waiting_revision", "device_registration"):
        assert await stand.count(table) == 0


async def test_a_tombstone_of_another_workspace_deletes_nothing(stand):
    device = await stand.phone()
    other = await stand.open_shop()
    await stand.bury(PASS_RENDERED, other.workspace_id, device.card.pass_id)
    assert (await device.get()).status_code == 200


async def test_a_deleted_link_is_unknown(stand):
    card = (await stand.open_shop()).card()
    link = card.link("token")
    await stand.take(link)
    await stand.bury(LINK_CHANGED, card.shop.workspace_id, link.link_id)
    assert await stand.count("link") == 0


async def test_one_batch_may_span_workspaces(stand):
    shops = [await stand.open_shop() for _ in range(3)]
    cards = [shop.card() for shop in shops for _ in range(2)]
    await stand.take_batch([card.rendered() for card in cards])
    events = await stand.told(PassPublished)
    assert {(e.workspace_id, e.pass_id) for e in events} == {
        (card.shop.workspace_id, card.pass_id) for card in cards
    }


async def test_a_voided_pass_can_still_be_fetched_by_its_devices(stand):
    device = await stand.phone()
    await stand.take(device.card.rendered(2, status=PassStatus.VOIDED))
    assert await device.shown() == 2


@pytest.mark.parametrize("seed", range(3))
async def test_any_order_of_arrival_ends_with_the_newest_revision(stand, seed):
    """Templates are completed beside the revisions that wait for them."""
    random = Random(seed)
    shop = stand.shop()
    devices = [stand.device(shop.card()) for _ in range(6)]

    async def revisions(device: Any) -> None:
        for revision in range(1, 7):
            if random.random() < 0.5:
                await stand.take(device.card.rendered(revision, signed=False))
            await stand.take(device.card.rendered(revision))
            await asyncio.sleep(random.random() / 50)

    async def template() -> None:
        parts = [shop.template(), *shop.assets()]
        random.shuffle(parts)
        for part in parts:
            await asyncio.sleep(random.random() / 10)
            await stand.take(part)

    await asyncio.gather(template(), *(revisions(device) for device in devices))
    assert [await device.shown() for device in devices] == [6] * 6
    assert await stand.count("waiting_revision") == 0
    told: dict[Any, list[int]] = {}
    for event in await stand.told(PassPublished):
        told.setdefault(event.pass_id, []).append(event.revision)
    assert all(each == sorted(set(each)) and each[-1] == 6 for each in told.values())


async def test_devices_of_whoever_had_the_pass_before_are_rung_no_more(stand):
    # proves: J93
    device = await stand.phone()
    await stand.told()
    rendered = device.card.rendered(2)
    token = "a-token-of-the-new-holder"
    digest = hashlib.sha256(token.encode()).hexdigest()
    apple = rendered.apple.model_copy(update={"authentication_token_sha256": digest})
    await stand.take(rendered.model_copy(update={"apple": apple}))
    gone, publication = await stand.told()
    assert (type(gone), gone.reason) == (DeviceUnregistered, "handed_over")
    assert gone.device_library_identifier == device.device
    assert (type(publication), publication.revision) == (PassPublished, 2)
    assert await stand.count("device_registration") == 0
    assert (await device.get()).status_code == 401
    device.card.token = token
    assert (await device.register()).status_code == 201
    assert (await device.get()).status_code == 200
