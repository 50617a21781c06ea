"""Renderings reach Google Wallet, on real Kafka, Postgres and Redis and a strict simulator."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

from passferry_contracts.events.deliveries import DeliveryCompleted
from passferry_contracts.events.wallet import PassInstalled
from passferry_contracts.registry import DELIVERY_COMPLETED, WALLET_ACTIVITY
from passferry_contracts.types import DeliveryOutcome, Platform
from passferry_testing.google_simulator import GoogleFault
from passferry_testing.google_simulator.catalogue import TYPES
from passferry_testing.harness import eventually


def calls(world: Any) -> list[str]:
    return [f"{each['call']} {each['status']}" for each in world.google.log.since(0, 1_000)]


async def class_is_there(world: Any) -> None:
    """Topics have no order among them: what comes after its template waits for it."""
    await eventually(lambda: any(each.startswith("loyaltyclass") for each in calls(world)))


async def delivered(shop: Any, heard: Any, pass_id: Any, revision: int, **rendering: Any) -> Any:
    await shop.tell_rendered(pass_id, revision, points=revision * 10, **rendering)
    found = await heard.expect(
        DeliveryCompleted,
        1,
        where=lambda each: each.revision == revision and each.pass_id == pass_id,
    )
    return found[0]


async def test_the_first_wanted_revision_inserts_class_and_object_later_ones_patch(
    world: Any,
) -> None:
    """proves: J7"""
    shop, pass_id = await world.workspace(google=True), uuid4()
    await shop.tell_template()
    async with world.notifier(), world.harness.recording(DELIVERY_COMPLETED) as heard:
        await class_is_there(world)
        await shop.tell_rendered(pass_id, 1, points=5, is_wanted=False)
        first = await delivered(shop, heard, pass_id, 2)
        second = await delivered(shop, heard, pass_id, 3)
        # The same content again, now with a save link, is no news.
        await shop.tell_rendered(pass_id, 3, points=30)
        third = await delivered(shop, heard, pass_id, 4)
    assert [each.outcome for each in (first, second, third)] == [DeliveryOutcome.DELIVERED] * 3
    assert first.google_object_id == shop.object_id(pass_id)
    wanted = [
        "loyaltyclass.insert 200",
        "loyaltyobject.insert 200",
        "loyaltyobject.patch 200",
        "loyaltyobject.patch 200",
    ]
    assert [each for each in calls(world) if not each.startswith("token")] == wanted
    assert world.google.log.violation_count == 0


async def test_a_change_that_is_taken_back_while_it_is_on_its_way_is_taken_back_at_google_too(
    world: Any,
) -> None:
    """proves: J7"""
    shop, pass_id = await world.workspace(google=True), uuid4()
    await shop.tell_template()
    async with world.notifier(), world.harness.recording(DELIVERY_COMPLETED) as heard:
        await delivered(shop, heard, pass_id, 1)
        slow = GoogleFault(scope="loyaltyobject.patch", delay_ms=1_000, count=1)
        world.google.faults.add([slow])
        await shop.tell_rendered(pass_id, 2, points=77)
        await asyncio.sleep(0.5)
        await shop.tell_rendered(pass_id, 3, points=10)
        await heard.expect(DeliveryCompleted, 1, where=lambda each: each.revision == 3)
    assert world.google.phone(shop.object_id(pass_id))["balance"] == 10


async def test_a_pass_moves_to_the_class_of_its_tier_which_was_brought_before(world: Any) -> None:
    """proves: J86"""
    shop, pass_id = await world.workspace(google=True), uuid4()
    await shop.tell_template(tiers=["silver", "gold"])
    async with world.notifier(), world.harness.recording(DELIVERY_COMPLETED) as heard:
        seen = []
        for revision, tier in enumerate([None, "gold", "silver"], start=1):
            await delivered(shop, heard, pass_id, revision, tier=tier)
            seen.append(world.google.phone(shop.object_id(pass_id))["class_id"])
    plain = shop.class_id
    assert seen == [plain, f"{plain}-gold", f"{plain}-silver"]
    tiers = {
        each.body["id"]: each.body.get("rewardsTier") for each in world.google.catalogue.classes()
    }
    assert tiers == {plain: None, f"{plain}-silver": "silver", f"{plain}-gold": "gold"}
    assert world.google.log.violation_count == 0


async def test_the_fourth_notification_of_a_day_is_silent(world: Any) -> None:
    """proves: J7"""
    shop, pass_id = await world.workspace(google=True), uuid4()
    await shop.tell_template()
    async with world.notifier(), world.harness.recording(DELIVERY_COMPLETED) as heard:
        outcomes = [
            (await delivered(shop, heard, pass_id, revision)).outcome for revision in range(1, 6)
        ]
    assert outcomes == [DeliveryOutcome.DELIVERED] * 4 + [DeliveryOutcome.DELIVERED_SILENT]


async def test_without_redis_updates_are_silent(world: Any) -> None:
    shop, pass_id = await world.workspace(google=True), uuid4()
    await shop.tell_template()
    async with (
        world.notifier(redis_url=None),
        world.harness.recording(DELIVERY_COMPLETED) as heard,
    ):
        await delivered(shop, heard, pass_id, 1)
        done = await delivered(shop, heard, pass_id, 2)
    assert done.outcome is DeliveryOutcome.DELIVERED_SILENT


async def test_what_exists_already_is_patched_and_what_vanished_is_inserted(world: Any) -> None:
    """A lost answer leads to 409; so does a save link that made the object. proves: J7, J15"""
    shop, pass_id = await world.workspace(google=True), uuid4()
    await shop.tell_template()
    lost = GoogleFault(scope="loyaltyobject.insert", status=503, when="after", count=1)
    world.google.faults.add([lost])
    async with world.notifier(), world.harness.recording(DELIVERY_COMPLETED) as heard:
        await class_is_there(world)
        done = await delivered(shop, heard, pass_id, 1)
    assert done.outcome is DeliveryOutcome.DELIVERED
    assert calls(world).count("loyaltyobject.insert 409") == 1
    assert "loyaltyobject.patch 200" in calls(world)


async def test_a_class_that_changed_is_patched_before_the_next_object(world: Any) -> None:
    shop, pass_id = await world.workspace(google=True), uuid4()
    await shop.tell_template(1)
    async with world.notifier(), world.harness.recording(DELIVERY_COMPLETED) as heard:
        await delivered(shop, heard, pass_id, 1)
        await shop.tell_template(2, name="Twelve coffees")

        async def is_known() -> bool:
            await delivered(shop, heard, uuid4(), 1)
            return "loyaltyclass.patch 200" in calls(world)

        await eventually(is_known)


async def test_a_new_version_keeps_the_messages_that_were_sent_to_its_class_by_themselves(
    world: Any,
) -> None:
    """Google replaces a list whole. proves: J7"""
    shop, shown = await world.workspace(google=True), []
    versions = [
        {"name": "first", "messages": ["hello", "old"]},
        {"name": "second", "messages": ["hello", "new"], "former_messages": ["old"]},
        {"name": "third", "messages": [], "former_messages": ["hello", "old", "new"]},
    ]
    async with world.notifier():
        for version, said in enumerate(versions, start=1):
            await shop.tell_template(version, **said)
            await eventually(
                lambda said=said: the_class(world, shop)["programName"] == said["name"]
            )
            shown.append([each["id"] for each in the_class(world, shop).get("messages", [])])
            if version == 1:
                sent = {"id": "sent", "body": "Closed on Monday", "messageType": "TEXT_AND_NOTIFY"}
                world.google.catalogue.add_message(
                    TYPES["loyaltyclass"],
                    shop.class_id,
                    {"message": sent},
                    issuer_id=shop.class_id.partition(".")[0],
                )
    assert shown == [["hello", "old"], ["hello", "new", "sent"], ["sent"]]
    # What stays is not told of a second time.
    [kept] = the_class(world, shop)["messages"]
    assert kept == {"id": "sent", "body": "Closed on Monday", "messageType": "TEXT"}
    assert world.google.log.violation_count == 0


def the_class(world: Any, shop: Any) -> dict[str, Any]:
    bodies = {each.body["id"]: each.body for each in world.google.catalogue.classes()}
    return bodies.get(shop.class_id, {"programName": None})


async def test_passing_errors_are_retried_and_quota_answers_respected(world: Any) -> None:
    """proves: J15"""
    shop, pass_id = await world.workspace(google=True), uuid4()
    await shop.tell_template()
    faults = [
        GoogleFault(scope="loyaltyobject.insert", status=500, count=1),
        GoogleFault(scope="loyaltyobject.insert", status=429, reason="rateLimitExceeded", count=1),
        GoogleFault(
            scope="loyaltyobject.patch", status=403, message="QuotaExceededException", count=1
        ),
    ]
    world.google.faults.add(faults)
    async with world.notifier(), world.harness.recording(DELIVERY_COMPLETED) as heard:
        first = await delivered(shop, heard, pass_id, 1)
        second = await delivered(shop, heard, pass_id, 2)
    assert (first.outcome, first.attempts) == (DeliveryOutcome.DELIVERED, 3)
    assert (second.outcome, second.attempts) == (DeliveryOutcome.DELIVERED_SILENT, 1)


async def test_a_missing_google_credential_is_visible_and_made_good(world: Any) -> None:
    """proves: A23"""
    shop, pass_id = await world.workspace(google=False), uuid4()
    await shop.tell_template()
    async with world.notifier() as running, world.harness.recording(DELIVERY_COMPLETED) as heard:
        (check,) = [each for each in running.checks if each.name == "google_wallet"]
        await shop.tell_rendered(pass_id, 1, points=1)

        async def is_degraded() -> bool:
            return (await check.probe()).state == "degraded"

        await eventually(is_degraded)
        shop.google_account = world.google.create_service_account()
        await shop.tell_credentials()
        (done,) = await heard.expect(DeliveryCompleted, 1)
    assert done.outcome is DeliveryOutcome.DELIVERED


async def test_a_key_file_cannot_make_the_notifier_talk_to_anybody(world: Any) -> None:
    shop, pass_id = await world.workspace(google=True), uuid4()
    shop.google_account["token_uri"] = "http://169.254.169.254/token"
    await shop.tell_credentials()
    await shop.tell_template()
    async with world.notifier() as running:
        (check,) = [each for each in running.checks if each.name == "google_wallet"]
        await shop.tell_rendered(pass_id, 1, points=1)

        async def is_refused() -> bool:
            return "token_refused" in (await check.probe()).detail

        await eventually(is_refused)


async def test_the_first_holder_that_google_reports_is_told_once(world: Any) -> None:
    shop, pass_id = await world.workspace(google=True), uuid4()
    await shop.tell_template()
    async with (
        world.notifier(),
        world.harness.recording(DELIVERY_COMPLETED, WALLET_ACTIVITY) as heard,
    ):
        await delivered(shop, heard, pass_id, 1)
        assert world.google.save(shop.object_id(pass_id))
        await delivered(shop, heard, pass_id, 2)
        await delivered(shop, heard, pass_id, 3)
        (told,) = heard.payloads(PassInstalled)
    assert (told.pass_id, told.platform) == (pass_id, Platform.GOOGLE)
