"""Messages reach Google Wallet once, on real Kafka, Postgres and Redis and a strict simulator.

proves: J7, J15
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from passferry_contracts.events.deliveries import DeliveryCompleted
from passferry_contracts.registry import DELIVERY_COMPLETED, PASS_RENDERED
from passferry_contracts.types import DeliveryOutcome
from passferry_notifier.adapters.postgres_messages import PostgresMessages
from passferry_notifier.application.send_messages import GoogleMessage
from passferry_runtime.kafka.producer import OutgoingRecord
from passferry_runtime.postgres import Database
from passferry_testing.google_simulator import GoogleFault
from passferry_testing.harness import eventually

WORDS = "Closed on Monday"


def of_message(each: DeliveryCompleted) -> bool:
    return each.message_id is not None


def sent(world: Any, name: str) -> list[dict[str, Any]]:
    """The messages of a class or object at Google."""
    held = [*world.google.catalogue.classes(), *world.google.catalogue.objects()]
    [body] = [each.body for each in held if each.body["id"] == name]
    return list(body.get("messages", []))


def ids_on(world: Any, class_id: str) -> list[str]:
    """Of the messages of a class that may not be there yet."""
    names = [each.body["id"] for each in world.google.catalogue.classes()]
    return [each["id"] for each in sent(world, class_id)] if class_id in names else []


async def on_google(shop: Any, heard: Any, pass_id: UUID | None = None) -> UUID:
    """A pass that Google has."""
    pass_id = pass_id or uuid4()
    await shop.tell_rendered(pass_id, 1, points=1)
    await heard.expect(DeliveryCompleted, 1, where=lambda each: each.pass_id == pass_id)
    return pass_id


async def stored(world: Any) -> list[Any]:
    connection = await asyncpg.connect(world.harness.admin_url)
    try:
        return list(
            await connection.fetch("SELECT * FROM notifier.google_message ORDER BY created_at")
        )
    finally:
        await connection.close()


async def forget(world: Any, shop: Any, pass_id: UUID) -> None:
    headers = (("ce_workspaceid", str(shop.workspace_id).encode()),)
    record = OutgoingRecord(PASS_RENDERED.name, str(pass_id).encode(), None, headers)
    await world.harness.send(record)


async def test_a_message_is_put_on_its_object_once_and_told_of_once(world: Any) -> None:
    shop = await world.workspace(google=True)
    await shop.tell_template()
    async with world.notifier(), world.harness.recording(DELIVERY_COMPLETED) as heard:
        pass_id = await on_google(shop, heard)
        for _ in range(2):
            await shop.tell_message("m-1", WORDS, pass_id=pass_id, header="Hello")
        await shop.tell_message("m-2", "Quiet", pass_id=pass_id, notify=False)
        done = await heard.expect(DeliveryCompleted, 2, where=of_message)
    assert {(each.message_id, each.outcome) for each in done} == {
        ("m-1", DeliveryOutcome.DELIVERED),
        ("m-2", DeliveryOutcome.DELIVERED),
    }
    assert {each.notification_type for each in done} == {"message"}
    assert sorted(sent(world, shop.object_id(pass_id)), key=lambda each: each["id"]) == [
        {"id": "m-1", "header": "Hello", "body": WORDS, "messageType": "TEXT_AND_NOTIFY"},
        {"id": "m-2", "body": "Quiet", "messageType": "TEXT"},
    ]
    assert world.google.log.violation_count == 0


async def test_a_message_for_all_is_one_call_per_class_and_tells_of_no_pass(world: Any) -> None:
    shop, other = await world.workspace(google=True), await world.workspace(google=True)
    for each in (shop, other):
        await each.tell_template(tiers=["gold"])
    async with world.notifier():
        # It may come before its template does.
        await shop.tell_message("m-1", WORDS)
        names = [shop.class_id, f"{shop.class_id}-gold"]

        def is_there() -> bool:
            classes = [each.body["id"] for each in world.google.catalogue.classes()]
            return set(names) <= set(classes) and all(sent(world, name) for name in names)

        await eventually(is_there)
    calls = [each["call"] for each in world.google.log.since(0, 1_000)]
    assert calls.count("loyaltyclass.addmessage") == 2
    assert [[each["id"] for each in sent(world, name)] for name in names] == [["m-1"], ["m-1"]]
    assert sent(world, other.class_id) == []


async def test_a_lost_answer_makes_no_second_message(world: Any) -> None:
    shop = await world.workspace(google=True)
    await shop.tell_template()
    lost = GoogleFault(scope="loyaltyobject.addmessage", status=503, when="after", count=1)
    async with world.notifier(), world.harness.recording(DELIVERY_COMPLETED) as heard:
        pass_id = await on_google(shop, heard)
        world.google.faults.add([lost])
        await shop.tell_message("m-1", WORDS, pass_id=pass_id)
        [done] = await heard.expect(DeliveryCompleted, 1, where=of_message)
    assert done.outcome is DeliveryOutcome.DELIVERED
    assert [each["id"] for each in sent(world, shop.object_id(pass_id))] == ["m-1"]


async def test_the_fourth_notification_of_a_day_is_silent_and_those_of_the_class_count(
    world: Any,
) -> None:
    shop = await world.workspace(google=True)
    await shop.tell_template()
    async with world.notifier(), world.harness.recording(DELIVERY_COMPLETED) as heard:
        pass_id = await on_google(shop, heard)
        await shop.tell_message("all", "For all")
        await eventually(lambda: bool(sent(world, shop.class_id)))
        outcomes = []
        for number in range(3):
            await shop.tell_message(f"m-{number}", WORDS, pass_id=pass_id)
            done = await heard.expect(DeliveryCompleted, number + 1, where=of_message)
            outcomes.append(done[-1].outcome)
    assert outcomes == [DeliveryOutcome.DELIVERED] * 2 + [DeliveryOutcome.DELIVERED_SILENT]
    kinds = [each["messageType"] for each in sent(world, shop.object_id(pass_id))]
    assert kinds == ["TEXT_AND_NOTIFY"] * 2 + ["TEXT"]


async def test_a_message_that_its_object_shows_too_costs_one_notification_and_quiet_ones_none(
    world: Any,
) -> None:
    """proves: J7"""
    shop = await world.workspace(google=True)
    await shop.tell_template()
    async with world.notifier(), world.harness.recording(DELIVERY_COMPLETED) as heard:
        pass_id = await on_google(shop, heard)
        outcomes = []
        for revision in range(2, 6):
            is_loud = revision > 2
            # The object shows it, as its template says: that is another record.
            await shop.tell_rendered(pass_id, revision, points=revision, cause="message.issued")
            message_id = f"m-{revision}"
            await shop.tell_message(message_id, WORDS, pass_id=pass_id, notify=is_loud)
            done = await heard.expect(DeliveryCompleted, revision - 1, where=of_message)
            outcomes.append(done[-1].outcome)
            await heard.expect(
                DeliveryCompleted, 1, where=lambda each, number=revision: each.revision == number
            )
    patches = [each for each in world.google.log.since(0, 1_000) if each["call"].endswith("patch")]
    assert len(patches) == 4
    [held] = world.google.catalogue.objects()
    assert held.body.get("notifyPreference") != "NOTIFY_ON_UPDATE"
    # One was quiet, and each of the three notifications of the day went with a message.
    assert outcomes == [DeliveryOutcome.DELIVERED] * 4
    kinds = [each["messageType"] for each in sent(world, shop.object_id(pass_id))]
    assert kinds == ["TEXT"] + ["TEXT_AND_NOTIFY"] * 3


async def test_googles_own_quota_makes_a_message_silent(world: Any) -> None:
    shop = await world.workspace(google=True)
    await shop.tell_template()
    spent = GoogleFault(
        scope="loyaltyobject.addmessage", status=403, message="QuotaExceededException", count=1
    )
    async with world.notifier(), world.harness.recording(DELIVERY_COMPLETED) as heard:
        pass_id = await on_google(shop, heard)
        world.google.faults.add([spent])
        await shop.tell_message("m-1", WORDS, pass_id=pass_id)
        [done] = await heard.expect(DeliveryCompleted, 1, where=of_message)
    assert done.outcome is DeliveryOutcome.DELIVERED_SILENT
    assert [each["messageType"] for each in sent(world, shop.object_id(pass_id))] == ["TEXT"]


async def test_the_oldest_message_makes_room_and_a_templates_own_never_does(world: Any) -> None:
    shop = await world.workspace(google=True)
    await shop.tell_template(messages=["hello"])
    async with world.notifier(), world.harness.recording(DELIVERY_COMPLETED) as heard:
        pass_id = await on_google(shop, heard)
        for number in range(11):
            await shop.tell_message(f"m-{number}", WORDS, pass_id=pass_id, notify=False)
            await heard.expect(DeliveryCompleted, number + 1, where=of_message)
        for number in range(10):
            await shop.tell_message(f"c-{number}", WORDS, notify=False)
            newest = f"c-{number}"
            await eventually(lambda newest=newest: sent(world, shop.class_id)[-1]["id"] == newest)
    on_object = [each["id"] for each in sent(world, shop.object_id(pass_id))]
    on_class = [each["id"] for each in sent(world, shop.class_id)]
    assert on_object == [f"m-{number}" for number in range(1, 11)]
    assert on_class == ["hello", *(f"c-{number}" for number in range(1, 10))]
    assert world.google.log.violation_count == 0


async def test_a_pass_that_google_has_not_gets_none_and_its_words_are_not_kept(world: Any) -> None:
    shop, pass_id = await world.workspace(google=True), uuid4()
    await shop.tell_template()
    async with world.notifier(), world.harness.recording(DELIVERY_COMPLETED) as heard:
        await shop.tell_rendered(pass_id, 1, points=1, is_wanted=False)
        await shop.tell_message("m-1", WORDS, pass_id=pass_id)
        [done] = await heard.expect(DeliveryCompleted, 1, where=of_message)
        there = await on_google(shop, heard)
        await shop.tell_message("m-2", WORDS, pass_id=there)
        await heard.expect(DeliveryCompleted, 2, where=of_message)
        rows = await stored(world)
        # Erasure: the tombstone of the rendering takes along what is known of messages.
        await forget(world, shop, there)

        async def is_forgotten() -> bool:
            return [each["message_id"] for each in await stored(world)] == ["m-1"]

        await eventually(is_forgotten)
    assert (done.outcome, done.reason) == (DeliveryOutcome.DROPPED, "not_on_google")
    assert [(each["message_id"], each["body"], each["header"]) for each in rows] == [
        ("m-1", None, None),
        ("m-2", None, None),
    ]


async def test_a_message_for_a_pass_on_apple_alone_is_dropped_at_once_and_nothing_is_kept(
    world: Any,
) -> None:
    """proves: J71"""
    shop, pass_id = await world.workspace(google=True), uuid4()
    async with world.notifier(), world.harness.recording(DELIVERY_COMPLETED) as heard:
        for number in range(3):
            await shop.tell_message(
                f"m-{number}", WORDS, pass_id=pass_id, has_google_part=False, header="Hello"
            )
        done = await heard.expect(DeliveryCompleted, 3, where=of_message)
        rows = await stored(world)
    assert {(each.outcome, each.reason, each.attempts) for each in done} == {
        (DeliveryOutcome.DROPPED, "not_on_google", 0)
    }
    assert {each.message_id for each in done} == {"m-0", "m-1", "m-2"}
    assert rows == []
    assert world.google.log.since(0, 1_000) == []


async def test_a_pass_that_ended_gets_no_message(world: Any) -> None:
    shop = await world.workspace(google=True)
    await shop.tell_template()
    async with world.notifier(), world.harness.recording(DELIVERY_COMPLETED) as heard:
        pass_id = await on_google(shop, heard)
        await shop.tell_rendered(pass_id, 2, points=1, state="INACTIVE")
        await heard.expect(DeliveryCompleted, 1, where=lambda each: each.revision == 2)
        await shop.tell_message("m-1", WORDS, pass_id=pass_id)
        [done] = await heard.expect(DeliveryCompleted, 1, where=of_message)
    assert (done.outcome, done.reason) == (DeliveryOutcome.DROPPED, "pass_ended")
    assert sent(world, shop.object_id(pass_id)) == []


async def test_a_message_of_one_workspace_reaches_no_pass_of_another(world: Any) -> None:
    mine, theirs = [await world.workspace(google=True) for _ in range(2)]
    for each in (mine, theirs):
        await each.tell_template()
    async with (
        world.notifier(delivery_max_attempts=2),
        world.harness.recording(DELIVERY_COMPLETED) as heard,
    ):
        pass_id = await on_google(theirs, heard)
        await mine.tell_message("m-1", WORDS, pass_id=pass_id)
        [done] = await heard.expect(DeliveryCompleted, 1, where=of_message)
    assert (done.workspace_id, done.outcome) == (mine.workspace_id, DeliveryOutcome.FAILED)
    assert done.reason == "not_known_yet"
    assert sent(world, theirs.object_id(pass_id)) == []


async def class_message(world: Any) -> Any:
    [row] = [each for each in await stored(world) if each["is_for_class"]]
    return row


async def test_a_message_for_all_waits_for_a_credential_and_the_health_report_says_so(
    world: Any,
) -> None:
    """proves: J15"""
    shop = await world.workspace(google=True)
    account, shop.google_account = shop.google_account, None
    await shop.tell_credentials()
    async with (
        world.notifier(delivery_max_attempts=2) as running,
        world.harness.recording(DELIVERY_COMPLETED) as heard,
    ):
        (check,) = [each for each in running.checks if each.name == "google_wallet"]
        await shop.tell_template()
        await shop.tell_message("m-1", WORDS)

        async def waits() -> bool:
            rows = await stored(world)
            return [each["reason"] for each in rows] == ["credential_missing"]

        await eventually(waits)
        assert (await check.probe()).state == "degraded"
        shop.google_account = account
        await shop.tell_credentials()
        # Its class comes with the first object.
        await on_google(shop, heard)
        await eventually(lambda: ids_on(world, shop.class_id) == ["m-1"])

        async def is_told() -> bool:
            return (await class_message(world))["state"] == "delivered"

        await eventually(is_told)


async def test_a_class_that_is_refused_for_a_while_gets_its_message_when_it_is_there(
    world: Any,
) -> None:
    """proves: J15"""
    shop = await world.workspace(google=True)
    refused = GoogleFault(scope="loyaltyclass.insert", status=400, subject_prefix=shop.gold)
    world.google.faults.add([refused])
    async with (
        world.notifier(delivery_max_attempts=2),
        world.harness.recording(DELIVERY_COMPLETED) as heard,
    ):
        await shop.tell_template(tiers=["gold"])
        await shop.tell_message("m-1", WORDS)

        async def waits() -> bool:
            return (await class_message(world))["reason"] == "class_not_there"

        await eventually(lambda: ids_on(world, shop.class_id) == ["m-1"])
        await eventually(waits)
        world.google.faults.clear()
        pass_id = uuid4()
        await shop.tell_rendered(pass_id, 1, points=1, tier="gold")
        await heard.expect(DeliveryCompleted, 1, where=lambda each: each.pass_id == pass_id)
        await eventually(lambda: ids_on(world, shop.gold) == ["m-1"])
    # Who had it before was not told a second time.
    assert ids_on(world, shop.class_id) == ["m-1"]


async def test_a_message_whose_class_never_comes_ends_with_a_line_in_the_log(
    world: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """proves: J15"""
    shop = await world.workspace(google=True)
    async with world.notifier(delivery_max_age_s=1):
        await shop.tell_message("m-1", WORDS)

        async def has_ended() -> bool:
            rows = await stored(world)
            return [each["state"] for each in rows] == ["failed"]

        await eventually(has_ended)
    row = await class_message(world)
    assert (row["reason"], row["header"], row["body"]) == ("class_not_there", None, None)
    told = [each.fields for each in caplog.records if each.message == "class_message_not_delivered"]
    assert told == [
        {
            "workspace_id": shop.workspace_id,
            "template_id": shop.template_id,
            "message_id": "m-1",
            "outcome": "failed",
            "reason": "class_not_there",
        }
    ]


@pytest.mark.parametrize("is_suspended", [True, False])
async def test_a_suspended_workspace_and_one_without_a_credential_send_nothing(
    world: Any, is_suspended: bool
) -> None:
    shop = await world.workspace(google=True)
    await shop.tell_template()
    async with world.notifier() as running, world.harness.recording(DELIVERY_COMPLETED) as heard:
        pass_id = await on_google(shop, heard)
        (check,) = [each for each in running.checks if each.name == "google_wallet"]
        if is_suspended:
            await shop.tell_access(suspended=True)
        else:
            account, shop.google_account = shop.google_account, None
            await shop.tell_credentials()

        async def is_heard() -> bool:
            await shop.tell_message(str(uuid4()), WORDS, pass_id=pass_id)
            if is_suspended:
                return any(each.reason == "workspace_suspended" for each in done_ones(heard))
            return (await check.probe()).state == "degraded"

        await eventually(is_heard)
        if not is_suspended:
            told = [each["message_id"] for each in await stored(world)]

            async def waits() -> bool:
                reasons = {each["reason"] for each in await stored(world) if each["body"]}
                return reasons == {"credential_missing"}

            await eventually(waits)
            shop.google_account = account
            await shop.tell_credentials()
            await eventually(lambda: set(told) <= {each.message_id for each in done_ones(heard)})


def done_ones(heard: Any) -> list[DeliveryCompleted]:
    return [each for each in heard.payloads(DeliveryCompleted) if of_message(each)]


def calls(world: Any, scope: str) -> int:
    return [each["call"] for each in world.google.log.since(0, 1_000)].count(scope)


@asynccontextmanager
async def one_waiting(world: Any) -> AsyncIterator[tuple[Any, UUID, Any]]:
    """A shop, its pass, and a message of that which waits for a credential that is not told yet."""
    shop = await world.workspace(google=True)
    await shop.tell_template()
    async with world.harness.recording(DELIVERY_COMPLETED) as heard:
        async with world.notifier():
            pass_id = await on_google(shop, heard)
        account, shop.google_account = shop.google_account, None
        await shop.tell_credentials()
        # What was told before it begins is known before it sends anything.
        async with world.notifier():
            await shop.tell_message("m-1", WORDS, pass_id=pass_id)

            async def is_waiting() -> bool:
                return [each["reason"] for each in await stored(world)] == ["credential_missing"]

            await eventually(is_waiting)
            shop.google_account = account
            yield shop, pass_id, heard


async def claimed(store: PostgresMessages, shop: Any, lease_s: float = 0.0) -> list[GoogleMessage]:
    now = datetime.now(UTC) + timedelta(minutes=2)
    lease_until = datetime.now(UTC) + timedelta(seconds=lease_s)
    return await store.claim([shop.workspace_id], now=now, lease_until=lease_until)


async def test_a_message_that_only_waited_is_not_asked_for_first(world: Any) -> None:
    async with one_waiting(world) as (shop, _, heard):
        await shop.tell_credentials()
        [done] = await heard.expect(DeliveryCompleted, 1, where=of_message)
    assert (done.outcome, done.attempts) == (DeliveryOutcome.DELIVERED, 1)
    assert calls(world, "loyaltyobject.addmessage") == 1
    assert calls(world, "loyaltyobject.get") == 0


async def test_one_that_was_begun_and_never_reported_is_asked_for(world: Any) -> None:
    async with one_waiting(world) as (shop, _, heard):
        async with Database.open(world.harness.app_url("notifier"), service="notifier") as database:
            store = PostgresMessages(database)
            [message] = await claimed(store, shop)
            # As by a replica that went away then.
            assert await store.begin(message)
        await shop.tell_credentials()
        [done] = await heard.expect(DeliveryCompleted, 1, where=of_message)
    assert (done.outcome, done.attempts) == (DeliveryOutcome.DELIVERED, 2)
    assert calls(world, "loyaltyobject.get") == 1


async def test_a_text_that_google_refuses_costs_no_other_message(world: Any) -> None:
    shop = await world.workspace(google=True)
    await shop.tell_template()
    refused = GoogleFault(scope="loyaltyobject.addmessage", status=400, message="Invalid body")
    async with world.notifier(), world.harness.recording(DELIVERY_COMPLETED) as heard:
        pass_id = await on_google(shop, heard)
        for number in range(10):
            await shop.tell_message(f"m-{number}", WORDS, pass_id=pass_id, notify=False)
            await heard.expect(DeliveryCompleted, number + 1, where=of_message)
        before = sent(world, shop.object_id(pass_id))
        world.google.faults.add([refused])
        await shop.tell_message("m-10", "<b>", pass_id=pass_id)
        done = await heard.expect(DeliveryCompleted, 11, where=of_message)
    assert (done[-1].outcome, done[-1].reason) == (DeliveryOutcome.FAILED, "status_400")
    assert sent(world, shop.object_id(pass_id)) == before


@pytest.mark.parametrize("is_erased", [False, True])
async def test_what_ended_while_its_message_was_in_line_gets_none(
    world: Any, is_erased: bool
) -> None:
    async with (
        one_waiting(world) as (shop, pass_id, _),
        Database.open(world.harness.app_url("notifier"), service="notifier") as database,
    ):
        store = PostgresMessages(database)
        [message] = await claimed(store, shop, lease_s=600.0)
        [target] = (await store.targets([message]))[message.key]
        if is_erased:
            await forget(world, shop, pass_id)
        else:
            await shop.tell_rendered(pass_id, 2, points=1, state="INACTIVE")

        async def has_ended() -> bool:
            found = (await store.targets([message])).get(message.key, [])
            return not any(each.is_active for each in found)

        await eventually(has_ended)
        assert target.is_active
        assert not await store.begin(message)
