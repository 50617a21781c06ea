"""Classes that wait for a credential come to Google by themselves. proves: A23, J7, J15"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from passferry_notifier.adapters.postgres_google import PostgresGoogle
from passferry_notifier.adapters.postgres_waiting_classes import (
    CLAIM_PER_WORKSPACE,
    PostgresWaitingClasses,
)
from passferry_notifier.application.ports import GoogleClassRow
from passferry_runtime.clock import SystemClock
from passferry_runtime.postgres import Database
from passferry_testing.google_simulator import GoogleFault
from passferry_testing.harness import Harness, eventually

pytestmark = pytest.mark.integration

ISSUER = "3388000000000000001"
#: Of another issuer than the shops': Google knows the account, and lets it change nothing of theirs.
STRANGER = "3388000000000000002"


def classes(world: Any) -> set[str]:
    return {each.body["id"] for each in world.google.catalogue.classes()}


async def said_of_classes(running: Any) -> str:
    (check,) = [each for each in running.checks if each.name == "google_classes"]
    result = await check.probe()
    assert (result.state == "ok") == (result.detail == "")
    return result.detail


async def waits(running: Any, shop: Any, reason: str) -> None:
    async def is_told() -> bool:
        said = await said_of_classes(running)
        return reason in said and str(shop.workspace_id) in said

    await eventually(is_told, what=f"the class waits for {reason}")


async def no_class_waits(running: Any) -> None:
    async def is_ok() -> bool:
        return await said_of_classes(running) == ""

    await eventually(is_ok)


async def shop_without_a_right(world: Any) -> Any:
    shop = await world.workspace()
    shop.google_account = world.google.create_service_account(issuer_id=STRANGER)
    await shop.tell_credentials()
    return shop


async def shop_with_an_account_for_another_issuer(world: Any) -> Any:
    shop = await world.workspace()
    shop.google_account = world.google.create_service_account(issuer_id=STRANGER)
    shop.issuer_id = STRANGER
    await shop.tell_credentials()
    return shop


async def gives_the_right_account(world: Any, shop: Any) -> None:
    shop.google_account, shop.issuer_id = world.google.create_service_account(), ISSUER
    await shop.tell_credentials()


async def test_a_class_that_is_refused_for_its_credential_comes_with_a_new_one(world: Any) -> None:
    shop = await shop_without_a_right(world)
    async with world.notifier() as running:
        await shop.tell_template(tiers=["gold"])
        await waits(running, shop, "permission_denied")
        assert classes(world) == set()
        shop.google_account = world.google.create_service_account()
        await shop.tell_credentials()
        await eventually(lambda: classes(world) == {shop.class_id, shop.gold})
        await no_class_waits(running)


async def test_a_class_that_lacks_a_credential_comes_when_it_is_there(world: Any) -> None:
    shop = await shop_with_an_account_for_another_issuer(world)
    async with world.notifier() as running:
        await shop.tell_template()
        await waits(running, shop, "credential_missing")
        await gives_the_right_account(world, shop)
        await eventually(lambda: classes(world) == {shop.class_id})
        await no_class_waits(running)


async def waits_for(harness: Harness, shop: Any) -> list[tuple[str | None, bool]]:
    """Of each class of the workspace why it waits, and whether it has a next time."""
    async with (
        Database.open(harness.app_url("notifier"), service="notifier") as database,
        database.transaction({shop.workspace_id}) as tx,
    ):
        rows = await tx.fetch(
            "SELECT waits_for, next_attempt_at IS NOT NULL AS is_timed FROM google_class"
            " WHERE workspace_id = $1 ORDER BY class_id",
            shop.workspace_id,
        )
    return [(each["waits_for"], each["is_timed"]) for each in rows]


async def test_a_workspace_without_an_account_of_google_is_no_fault_and_is_brought_when_it_has_one(
    world: Any, harness: Harness
) -> None:
    shop = await world.workspace()

    async def is_kept() -> bool:
        return await waits_for(harness, shop) == [("no_google_account", False)] * 2

    async def waits_no_more() -> bool:
        return await waits_for(harness, shop) == [(None, False)] * 2

    async with world.notifier() as running:
        await shop.tell_template(tiers=["gold"])
        await eventually(is_kept)
        assert await said_of_classes(running) == ""
        shop.google_account = world.google.create_service_account()
        await shop.tell_credentials()
        await eventually(lambda: classes(world) == {shop.class_id, shop.gold})
        await eventually(waits_no_more)


async def test_a_class_is_no_fault_any_more_once_its_workspace_removed_its_account(
    world: Any, harness: Harness
) -> None:
    shop = await shop_without_a_right(world)
    async with world.notifier() as running:
        await shop.tell_template()
        await waits(running, shop, "permission_denied")
        shop.google_account = None
        await shop.tell_credentials()
        await no_class_waits(running)
        assert await waits_for(harness, shop) == [("no_google_account", False)]
    # What came while nobody was there is heard of at the start.
    shop.google_account = world.google.create_service_account()
    await shop.tell_credentials()
    async with world.notifier():
        await eventually(lambda: classes(world) == {shop.class_id})


async def test_an_account_that_google_gives_no_token_is_told_and_made_good(world: Any) -> None:
    shop = await world.workspace(google=True)
    good = shop.google_account["private_key"]
    shop.google_account["private_key"] = world.google.create_service_account()["private_key"]
    await shop.tell_credentials()
    async with world.notifier() as running:
        await shop.tell_template()
        await waits(running, shop, "token_refused")
        shop.google_account["private_key"] = good
        await shop.tell_credentials()
        await eventually(lambda: classes(world) == {shop.class_id})


async def test_a_right_that_google_gives_later_needs_no_new_credential(world: Any) -> None:
    shop = await world.workspace(google=True)
    refused = GoogleFault(scope="loyaltyclass.insert", status=403, reason="forbidden")
    world.google.faults.add([refused])
    async with world.notifier() as running:
        await shop.tell_template()
        await waits(running, shop, "permission_denied")
        world.google.faults.clear()
        await eventually(lambda: classes(world) == {shop.class_id})


async def test_a_class_waits_over_a_restart_and_its_newest_version_is_what_comes(
    world: Any,
) -> None:
    shop = await shop_without_a_right(world)
    async with world.notifier() as running:
        await shop.tell_template(1)
        await waits(running, shop, "permission_denied")
        await shop.tell_template(2, name="Twelve coffees")
        await eventually(lambda: calls(world) >= 2)
    async with world.notifier() as running:
        await waits(running, shop, "permission_denied")
        shop.google_account = world.google.create_service_account()
        await shop.tell_credentials()
        await eventually(lambda: classes(world) == {shop.class_id})
        await no_class_waits(running)
    [written] = [each.body for each in world.google.catalogue.classes()]
    assert written["programName"] == "Twelve coffees"


def calls(world: Any) -> int:
    return sum(each["call"] == "loyaltyclass.insert" for each in world.google.log.since(0, 1_000))


async def test_a_class_that_is_refused_for_itself_in_the_end_waits_no_more(world: Any) -> None:
    shop = await shop_with_an_account_for_another_issuer(world)
    world.google.faults.add([GoogleFault(scope="loyaltyclass.insert", status=400)])
    async with world.notifier() as running:
        await shop.tell_template()
        await waits(running, shop, "credential_missing")
        await gives_the_right_account(world, shop)
        await no_class_waits(running)
    assert calls(world) == 1


async def test_a_suspended_workspace_brings_no_class_until_it_is_let_on_again(world: Any) -> None:
    shop, other = [await world.workspace(google=True) for _ in range(2)]
    await shop.tell_access(suspended=True)
    async with world.notifier() as running:
        for each in (shop, other):
            await each.tell_template()
        await eventually(lambda: classes(world) == {other.class_id})
        assert await said_of_classes(running) == "", "that is no fault of ours"
        await shop.tell_access()
        await eventually(lambda: classes(world) == {shop.class_id, other.class_id})


@pytest.fixture
async def database(harness: Harness) -> AsyncIterator[Database]:
    await harness.migrate("notifier", "passferry_notifier.migrations")
    async with Database.open(harness.app_url("notifier"), service="notifier") as opened:
        yield opened


def row(workspace_id: UUID, number: int = 1, version: int = 1) -> GoogleClassRow:
    return GoogleClassRow(
        workspace_id=workspace_id,
        class_id=f"1.club-{number}",
        template_id=uuid4(),
        issuer_id="1",
        vertical="loyalty",
        template_version=version,
        body={"name": f"v{version}"},
        body_sha256=f"sha-{version}",
        synced_sha256=None,
    )


async def test_what_waits_is_taken_by_one_replica_and_only_in_its_own_workspace(
    database: Database,
) -> None:
    """proves: J72"""
    now, (mine, theirs) = SystemClock().now(), (uuid4(), uuid4())
    store, waiting = PostgresGoogle(database), PostgresWaitingClasses(database)
    rows = [row(each, n) for each in (mine, theirs) for n in range(CLAIM_PER_WORKSPACE + 1)]
    await store.store_classes(rows)
    for each in rows:
        await waiting.wait(each, "credential_missing", attempts=3, until=now + timedelta(hours=1))
    later = now + timedelta(seconds=1)
    assert await waiting.claim([mine, theirs], now=later, lease_until=later) == []
    await waiting.make_due([mine], now=now)
    lease = {"now": later, "lease_until": later + timedelta(hours=1)}
    both = await asyncio.gather(*(waiting.claim([mine, theirs], **lease) for _ in range(2)))
    taken = [each.row.class_id for claimed in both for each in claimed]
    assert sorted(taken) == sorted(each.class_id for each in rows if each.workspace_id == mine)
    assert {each.row.workspace_id for claimed in both for each in claimed} == {mine}
    assert {each.attempts for claimed in both for each in claimed} == {0}
    [group] = await waiting.groups([theirs])
    assert (group.count, group.reason) == (CLAIM_PER_WORKSPACE + 1, "credential_missing")


async def test_a_class_that_google_has_never_waits_and_a_newer_version_begins_anew(
    database: Database,
) -> None:
    now, workspace_id = SystemClock().now(), uuid4()
    store, waiting = PostgresGoogle(database), PostgresWaitingClasses(database)
    first, second = row(workspace_id), row(workspace_id, version=2)
    await store.store_classes([first])
    await waiting.wait(first, "permission_denied", attempts=1, until=now)
    await store.store_classes([second])
    assert await waiting.groups([workspace_id]) == []
    await waiting.wait(second, "permission_denied", attempts=1, until=now)
    # What was found of the older one says nothing of the newer.
    await waiting.give_up(first)
    assert [each.count for each in await waiting.groups([workspace_id])] == [1]
    await store.class_synced(workspace_id, second.class_id, second.body_sha256)
    await waiting.wait(second, "permission_denied", attempts=1, until=now)
    assert await waiting.groups([workspace_id]) == []


async def test_what_waits_for_no_time_is_made_due_with_its_workspace_and_no_other(
    database: Database,
) -> None:
    """proves: J72"""
    now, (mine, theirs) = SystemClock().now(), (uuid4(), uuid4())
    store, waiting = PostgresGoogle(database), PostgresWaitingClasses(database)
    await store.store_classes([row(mine), row(theirs), row(mine, 2)])
    for each in (row(mine), row(theirs)):
        await waiting.wait(each, "no_google_account", attempts=0, until=None)
    assert await waiting.groups([mine, theirs]) == []
    await waiting.make_due([mine], now=now)
    due = await waiting.claim([mine, theirs], now=now, lease_until=now + timedelta(hours=1))
    assert [(each.row.workspace_id, each.row.class_id) for each in due] == [(mine, "1.club-1")]
