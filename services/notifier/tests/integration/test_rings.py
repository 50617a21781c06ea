"""Publications ring devices, on real Kafka, Postgres and Redis."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from prometheus_client import generate_latest
from redis.asyncio import Redis

from passferry_contracts.events.deliveries import DeliveryCompleted
from passferry_contracts.registry import DELIVERY_COMPLETED
from passferry_contracts.types import DeliveryOutcome
from passferry_runtime.redis import workspace_key
from passferry_testing.apns_simulator import ApnsFault
from passferry_testing.harness import eventually


async def rows(world: Any, sql: str, *arguments: Any) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(world.harness.admin_url)
    try:
        await connection.execute("SET search_path = notifier")
        return await connection.fetch(sql, *arguments)
    finally:
        await connection.close()


async def with_devices(world: Any, count: int, **registration: Any) -> tuple[Any, Any, list[Any]]:
    """A shop, a pass at revision 1, and phones that hold it."""
    shop, pass_id = await world.workspace(), uuid4()
    phones = [world.phone() for _ in range(count)]
    await shop.tell(
        shop.published(pass_id, 1),
        *(shop.registered(pass_id, phone, **registration) for phone in phones),
    )
    return shop, pass_id, phones


async def test_every_registered_device_is_rung_once_with_the_right_headers(world: Any) -> None:
    """proves: A17, J5, N9"""
    shop, pass_id, phones = await with_devices(world, 2)
    async with world.notifier(), world.harness.recording(DELIVERY_COMPLETED) as heard:
        await shop.tell(shop.published(pass_id, 2))
        pushes = await world.apns.journal.wait_for(2)
        done = await heard.expect(DeliveryCompleted, 2)
    assert {push.token for push in pushes} == {phone.token for phone in phones}
    for push in pushes:
        assert push.topic == shop.pass_type
        assert (push.priority, push.push_type) == (5, "background")
        assert push.expiration > push.time_ns // 10**9 + 23 * 3600
    assert {push.apns_id for push in pushes} == {str(each.delivery_id) for each in done}
    assert {each.outcome for each in done} == {DeliveryOutcome.DELIVERED}
    assert {each.notification_type for each in done} == {"balance_update"}
    assert {each.revision for each in done} == {2}
    assert world.apns.journal.accepted == 2


async def test_a_pass_on_no_device_makes_no_delivery(world: Any) -> None:
    """proves: J4"""
    shop = await world.workspace()
    lonely, held, phone = uuid4(), uuid4(), world.phone()
    async with world.notifier():
        await shop.tell(shop.published(lonely, 1), shop.published(lonely, 2))
        await shop.tell(shop.published(held, 1), shop.registered(held, phone))
        await shop.tell(shop.published(held, 2))
        await world.apns.journal.wait_for(1)
    assert await rows(world, "SELECT 1 FROM delivery WHERE pass_id = $1", lonely) == []


async def test_a_repeated_or_older_publication_rings_nobody(world: Any) -> None:
    """proves: N10, W14"""
    shop, pass_id, _ = await with_devices(world, 1)
    async with world.notifier(), world.harness.recording(DELIVERY_COMPLETED) as heard:
        await shop.tell(shop.published(pass_id, 3))
        await heard.expect(DeliveryCompleted, 1)
        await shop.tell(shop.published(pass_id, 3), shop.published(pass_id, 2))
        await shop.tell(shop.published(pass_id, 4))
        await heard.expect(DeliveryCompleted, 1, where=lambda each: each.revision == 4)
    assert world.apns.journal.accepted == 2


async def test_a_burst_is_few_rings_and_the_last_state_is_told(world: Any) -> None:
    """proves: A17, N5"""
    shop, pass_id, _ = await with_devices(world, 1)
    async with world.notifier(), world.harness.recording(DELIVERY_COMPLETED) as heard:
        for start in range(2, 52, 10):
            burst = [shop.published(pass_id, revision) for revision in range(start, start + 10)]
            await shop.tell(*burst)
        await heard.expect(DeliveryCompleted, 1, where=lambda each: each.revision == 51)
    assert 1 <= world.apns.journal.accepted <= 8


async def test_a_device_that_registers_after_the_last_ring_is_rung(world: Any) -> None:
    shop, pass_id = await world.workspace(), uuid4()
    current, late, rotated = (world.phone() for _ in range(3))
    async with world.notifier(), world.harness.recording(DELIVERY_COMPLETED) as heard:
        await shop.tell(
            shop.published(pass_id, 5),
            shop.registered(pass_id, current, seen_revision=5),
            shop.registered(pass_id, late, seen_revision=4),
            shop.registered(pass_id, rotated, is_new=False, seen_revision=None),
        )
        done = await heard.expect(DeliveryCompleted, 2)
    assert {push.token for push in world.apns.journal.since()} == {late.token, rotated.token}
    assert {each.revision for each in done} == {5}


async def test_an_unregistered_device_is_rung_no_more(world: Any) -> None:
    """proves: J19"""
    shop, pass_id, (gone, stays) = await with_devices(world, 2)
    async with world.notifier(), world.harness.recording(DELIVERY_COMPLETED) as heard:
        await shop.tell(shop.published(pass_id, 2))
        await heard.expect(DeliveryCompleted, 2)
        await shop.tell(shop.unregistered(pass_id, gone), shop.published(pass_id, 3))
        await heard.expect(DeliveryCompleted, 1, where=lambda each: each.revision == 3)
        key = workspace_key(shop.workspace_id, "pass", "devices", pass_id)
        async with Redis.from_url(world.harness.backends.redis_url) as redis:
            assert not await redis.sismember(key, gone.token)
    last = world.apns.journal.since(2)
    assert [push.token for push in last] == [stays.token]


async def test_the_cache_is_filled_whole_and_may_vanish_at_any_time(world: Any) -> None:
    """proves: J11"""
    shop, pass_id, phones = await with_devices(world, 2)
    key = workspace_key(shop.workspace_id, "pass", "devices", pass_id)
    async with (
        world.notifier(),
        world.harness.recording(DELIVERY_COMPLETED) as heard,
        Redis.from_url(world.harness.backends.redis_url) as redis,
    ):
        await shop.tell(shop.published(pass_id, 2))
        await heard.expect(DeliveryCompleted, 2)
        assert {each.decode() for each in await redis.smembers(key)} == {p.token for p in phones}
        assert 0 < await redis.ttl(key) <= 3600
        await redis.delete(key)
        await shop.tell(shop.published(pass_id, 3))
        await heard.expect(DeliveryCompleted, 4)
        assert await redis.scard(key) == 2
        # A token that the directory does not name is never used, wherever it comes from.
        await redis.sadd(key, "ab" * 32)
        await shop.tell(shop.published(pass_id, 4))
        await heard.expect(DeliveryCompleted, 6)
    assert {push.token for push in world.apns.journal.since()} == {p.token for p in phones}


async def test_without_redis_everybody_is_rung_all_the_same(world: Any) -> None:
    """proves: J11, R1"""
    shop, pass_id, _ = await with_devices(world, 2)
    async with (
        world.notifier(redis_url="redis://127.0.0.1:9/0"),
        world.harness.recording(DELIVERY_COMPLETED) as heard,
    ):
        await shop.tell(shop.published(pass_id, 2))
        await heard.expect(DeliveryCompleted, 2)
    assert world.apns.journal.accepted == 2


async def test_a_gone_token_is_dropped_but_not_when_it_registered_again_since(world: Any) -> None:
    """proves: J6, N2"""
    shop, pass_id, (gone, renewed, well) = await with_devices(world, 3)
    world.apns.devices.unregister(gone.token)
    world.apns.devices.unregister(renewed.token, timestamp_ms=1_600_000_000_000)
    async with world.notifier(), world.harness.recording(DELIVERY_COMPLETED) as heard:
        await shop.tell(shop.published(pass_id, 2))
        done = await heard.expect(DeliveryCompleted, 3)
        left = await rows(world, "SELECT push_token_sha256 FROM device_registration")
    by_device = {each.device_library_identifier: each for each in done}
    assert by_device[well.device].outcome is DeliveryOutcome.DELIVERED
    assert by_device[gone.device].outcome is DeliveryOutcome.DROPPED
    assert by_device[gone.device].reason == "unregistered"
    assert by_device[gone.device].token_gone_at is not None
    assert {row["push_token_sha256"] for row in left} == {renewed.sha256, well.sha256}


async def test_bad_tokens_everywhere_wipe_nobody_out(world: Any) -> None:
    """proves: N3, J6"""
    shop, pass_id, _ = await with_devices(world, 10)
    world.apns.faults.add([ApnsFault(action="answer", status=400, reason="BadDeviceToken")])
    async with world.notifier(), world.harness.recording(DELIVERY_COMPLETED) as heard:
        for revision in range(2, 7):
            await shop.tell(shop.published(pass_id, revision))
            await heard.expect(
                DeliveryCompleted, 10, where=lambda each, wanted=revision: each.revision == wanted
            )
        left = await rows(world, "SELECT 1 FROM device_registration")
    assert len(left) == 10
    assert {each.reason for each in heard.payloads(DeliveryCompleted)} == {"bad_device_token"}
    assert {each.token_gone_at for each in heard.payloads(DeliveryCompleted)} == {None}


async def test_one_bad_token_is_dropped_after_three_strikes(world: Any) -> None:
    """proves: J6"""
    shop, pass_id, phones = await with_devices(world, 6)
    bad = phones[0]
    fault = ApnsFault(
        action="answer", status=400, reason="BadDeviceToken", subject_prefix=bad.token, delay_ms=60
    )
    world.apns.faults.add([fault])
    async with world.notifier(), world.harness.recording(DELIVERY_COMPLETED) as heard:
        for revision in (2, 3, 4):
            await shop.tell(shop.published(pass_id, revision))
            await heard.expect(
                DeliveryCompleted, 6, where=lambda each, wanted=revision: each.revision == wanted
            )
        left = await rows(world, "SELECT push_token_sha256 FROM device_registration")
    told = [each.token_gone_at for each in heard.payloads(DeliveryCompleted) if each.token_gone_at]
    assert len(told) == 1
    assert bad.sha256 not in {row["push_token_sha256"] for row in left}
    assert len(left) == 5


@pytest.mark.parametrize(
    "fault",
    [
        ApnsFault(action="answer", status=500, reason="InternalServerError", count=2),
        ApnsFault(action="answer", status=503, reason="ServiceUnavailable", count=2),
        ApnsFault(action="answer", status=503, reason="Shutdown", count=2),
        ApnsFault(action="answer", status=503, count=1),
        ApnsFault(action="answer", status=400, reason="IdleTimeout", count=1),
        ApnsFault(action="answer", status=429, reason="TooManyRequests", retry_after_s=1, count=1),
        ApnsFault(action="refuse_stream", count=2),
        ApnsFault(action="goaway", count=1),
        ApnsFault(action="answer_lost", loss="reset", count=1),
        ApnsFault(action="answer_lost", loss="cut", skip=1, count=1),
    ],
    ids=lambda fault: f"{fault.action}-{fault.status}-{fault.reason}-{fault.loss}",
)
async def test_passing_errors_are_retried_with_the_same_id(world: Any, fault: ApnsFault) -> None:
    """proves: J15, N1"""
    shop, pass_id, phones = await with_devices(world, 3)
    world.apns.faults.add([fault])
    async with world.notifier(), world.harness.recording(DELIVERY_COMPLETED) as heard:
        await shop.tell(shop.published(pass_id, 2))
        done = await heard.expect(DeliveryCompleted, 3)
    assert {each.outcome for each in done} == {DeliveryOutcome.DELIVERED}
    pushes = world.apns.journal.since()
    assert {push.token for push in pushes} == {phone.token for phone in phones}
    assert {push.apns_id for push in pushes} == {str(each.delivery_id) for each in done}


async def test_what_never_works_fails_with_its_reason_after_a_bound(world: Any) -> None:
    """proves: J15, J101"""
    shop, pass_id, _ = await with_devices(world, 1)
    world.apns.faults.add([ApnsFault(action="answer", status=503, reason="ServiceUnavailable")])
    async with (
        world.notifier(delivery_max_attempts=3),
        world.harness.recording(DELIVERY_COMPLETED) as heard,
    ):
        await shop.tell(shop.published(pass_id, 2))
        (done,) = await heard.expect(DeliveryCompleted, 1)
    assert done.outcome is DeliveryOutcome.FAILED
    assert (done.reason, done.attempts) == ("service_unavailable", 3)


async def test_our_own_mistake_is_not_retried(world: Any) -> None:
    """proves: N1"""
    shop, pass_id, _ = await with_devices(world, 1)
    world.apns.faults.add([ApnsFault(action="answer", status=400, reason="BadTopic", count=1)])
    async with world.notifier(), world.harness.recording(DELIVERY_COMPLETED) as heard:
        await shop.tell(shop.published(pass_id, 2))
        (done,) = await heard.expect(DeliveryCompleted, 1)
    assert (done.outcome, done.reason, done.attempts) == (DeliveryOutcome.FAILED, "bad_topic", 1)


async def test_a_refused_certificate_waits_for_a_new_one_and_loses_nothing(world: Any) -> None:
    """proves: A23, J15, J10"""
    shop, pass_id, _ = await with_devices(world, 3)
    healthy, other_pass, (other_phone,) = await with_devices(world, 1)
    fault = ApnsFault(action="answer", status=403, reason="BadCertificate", scope=shop.pass_type)
    world.apns.faults.add([fault])
    async with world.notifier() as running, world.harness.recording(DELIVERY_COMPLETED) as heard:
        (check,) = [each for each in running.checks if each.name == "apple_wallet"]
        await shop.tell(shop.published(pass_id, 2))

        async def is_degraded() -> bool:
            return (await check.probe()).state == "degraded"

        await eventually(is_degraded)
        await healthy.tell(healthy.published(other_pass, 2))
        (fine,) = await heard.expect(DeliveryCompleted, 1)
        assert fine.device_library_identifier == other_phone.device
        assert len(await rows(world, "SELECT 1 FROM device_registration")) == 4
        world.apns.faults.clear()
        await shop.tell_credentials()
        await heard.expect(DeliveryCompleted, 4)
    assert world.apns.journal.accepted == 4


async def test_without_a_credential_deliveries_wait_visibly_until_it_comes(world: Any) -> None:
    """proves: A23"""
    shop, pass_id, phone = await world.workspace(apple=False), uuid4(), world.phone()
    async with world.notifier() as running, world.harness.recording(DELIVERY_COMPLETED) as heard:
        await shop.tell(shop.published(pass_id, 1), shop.registered(pass_id, phone))
        await shop.tell(shop.published(pass_id, 2))

        async def waits() -> bool:
            found = await rows(world, "SELECT state, reason FROM delivery")
            return [tuple(row) for row in found] == [("pending", "credential_missing")]

        await eventually(waits)
        (check,) = [each for each in running.checks if each.name == "apple_wallet"]
        result = await check.probe()
        assert result.state == "degraded"
        assert shop.pass_type in result.detail
        await shop.tell_credentials()
        await heard.expect(DeliveryCompleted, 1)
        assert (await check.probe()).state == "ok"
    assert world.apns.journal.accepted == 1


async def test_a_provider_token_is_made_once_for_many_pushes(world: Any) -> None:
    """proves: N8"""
    shop, pass_id, _ = await with_devices(world, 5)
    await shop.tell_credentials(entry=shop.provider_key())
    async with world.notifier(), world.harness.recording(DELIVERY_COMPLETED) as heard:
        await shop.tell(shop.published(pass_id, 2))
        done = await heard.expect(DeliveryCompleted, 5)
    # A restarted notifier is given the same token by Redis.
    async with world.notifier(), world.harness.recording(DELIVERY_COMPLETED) as heard:
        await shop.tell(shop.published(pass_id, 3))
        done = await heard.expect(DeliveryCompleted, 10)
    assert {each.outcome for each in done} == {DeliveryOutcome.DELIVERED}
    pushes = world.apns.journal.since()
    assert {push.auth_kind for push in pushes} == {"token"}
    assert len(pushes) == 10
    assert "429" not in str(world.apns.summary()["answers"])


async def test_a_suspended_workspace_rings_nobody_and_says_so(world: Any) -> None:
    shop, pass_id, _ = await with_devices(world, 1)
    await shop.tell_access(suspended=True)
    async with world.notifier(), world.harness.recording(DELIVERY_COMPLETED) as heard:
        await shop.tell(shop.published(pass_id, 2))
        (done,) = await heard.expect(DeliveryCompleted, 1)
    assert (done.outcome, done.reason) == (DeliveryOutcome.DROPPED, "workspace_suspended")
    assert world.apns.journal.accepted == 0


async def test_a_slow_workspace_delays_no_other(world: Any) -> None:
    """proves: N6"""
    slow, slow_pass, _ = await with_devices(world, 30)
    quick, quick_pass, _ = await with_devices(world, 1)
    world.apns.faults.add([ApnsFault(action="delay", delay_ms=4_000, scope=slow.pass_type)])
    async with (
        world.notifier(apns_in_flight_per_credential=5),
        world.harness.recording(DELIVERY_COMPLETED) as heard,
    ):
        await slow.tell(slow.published(slow_pass, 2))
        await asyncio.sleep(0.5)
        await quick.tell(quick.published(quick_pass, 2))
        (done,) = await heard.expect(DeliveryCompleted, 1, timeout_s=3)
        world.apns.faults.clear()
    assert done.pass_id == quick_pass


async def test_a_restart_sends_what_was_open_and_repeats_nothing_confirmed(world: Any) -> None:
    """proves: N7, N10"""
    shop, pass_id, phones = await with_devices(world, 4)
    other_pass, confirmed = uuid4(), world.phone()
    stuck = [
        ApnsFault(action="no_answer", subject_prefix=phone.token, count=1) for phone in phones[:2]
    ]
    world.apns.faults.add(stuck)
    async with world.harness.recording(DELIVERY_COMPLETED) as heard:
        async with world.notifier():
            await shop.tell(shop.published(other_pass, 1), shop.registered(other_pass, confirmed))
            await shop.tell(shop.published(other_pass, 2), shop.published(pass_id, 2))
            await heard.expect(DeliveryCompleted, 3)
        async with world.notifier():
            done = await heard.expect(DeliveryCompleted, 5, timeout_s=20)
    assert {each.outcome for each in done} == {DeliveryOutcome.DELIVERED}
    tokens = [push.token for push in world.apns.journal.since()]
    assert sorted(tokens) == sorted([confirmed.token, *(phone.token for phone in phones)])


async def test_two_workspaces_never_meet(world: Any) -> None:
    """proves: J10, N3"""
    one, one_pass, (one_phone,) = await with_devices(world, 1)
    two, _, _ = await with_devices(world, 1)
    async with world.notifier() as running, world.harness.recording(DELIVERY_COMPLETED) as heard:
        await one.tell(one.published(one_pass, 2))
        await heard.expect(DeliveryCompleted, 1)
        transport = httpx.ASGITransport(app=running.http)
        async with httpx.AsyncClient(transport=transport, base_url="http://notifier") as client:
            base = f"/api/v1/workspaces/{one.workspace_id}"
            own = {"authorization": f"Bearer {one.key.presented}"}
            others = {"authorization": f"Bearer {two.key.presented}"}
            page = (await client.get(f"{base}/deliveries", headers=own)).json()
            summary = (await client.get(f"{base}/deliveries/summary", headers=own)).json()
            count = (
                await client.get(f"{base}/passes/{one_pass}/devices/count", headers=own)
            ).json()
            blocked = await client.get(f"{base}/deliveries", headers=others)
    assert [push.token for push in world.apns.journal.since()] == [one_phone.token]
    assert [each["state"] for each in page["data"]] == ["delivered"]
    assert page["next_cursor"] is None
    assert summary["data"] == [
        {"channel": "apple_wallet", "state": "delivered", "reason": "", "count": 1}
    ]
    assert count == {"pass_id": str(one_pass), "devices": 1}
    assert blocked.status_code == 404


async def test_the_required_metrics_are_there_without_names_of_passes(world: Any) -> None:
    """proves: J62"""
    shop, pass_id, (phone,) = await with_devices(world, 1)
    async with world.notifier(), world.harness.recording(DELIVERY_COMPLETED) as heard:
        await shop.tell(shop.published(pass_id, 2))
        await heard.expect(DeliveryCompleted, 1)
    text = generate_latest().decode()
    own = f'workspace_id="{shop.workspace_id}"'
    sent = 'pass_notifications_sent_total{channel="apple_wallet"'
    assert f'{sent},notification_type="balance_update",{own}}} 1.0' in text
    name = "pass_notification_delivery_duration_seconds_bucket"
    edges = [line for line in text.splitlines() if line.startswith(name) and own in line]
    assert [line.split('le="')[1].split('"')[0] for line in edges] == [
        *("0.1", "0.5", "1.0", "2.0", "5.0", "10.0", "+Inf")
    ]
    assert f'pass_device_registrations_total{{device_type="apple",{own}}} 1.0' in text
    assert 'passferry_event_to_push_seconds_count{channel="apple_wallet"' in text
    for secret in (str(pass_id), phone.token, phone.device):
        assert secret not in text


async def test_an_expired_certificate_is_a_credential_fault_not_a_lost_ring(world: Any) -> None:
    """TLS 1.3 refuses it after the handshake. proves: A23"""
    shop, pass_id, _ = await with_devices(world, 1)
    expired = shop.certificate(not_after=datetime.now(UTC) - timedelta(days=1))
    await shop.tell_credentials(entry=expired)
    async with world.notifier() as running, world.harness.recording(DELIVERY_COMPLETED) as heard:
        (check,) = [each for each in running.checks if each.name == "apple_wallet"]
        await shop.tell(shop.published(pass_id, 2))

        async def is_refused() -> bool:
            return "certificate_refused" in (await check.probe()).detail

        await eventually(is_refused)
        await shop.tell_credentials()
        (done,) = await heard.expect(DeliveryCompleted, 1)
    assert done.outcome is DeliveryOutcome.DELIVERED
