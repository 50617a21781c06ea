"""The whole service on real Kafka, Postgres and Redis, with a recorder as its sink."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from redis.asyncio import Redis

from passferry_contracts.events.balances import PassBalanceChanged
from passferry_contracts.registry import (
    DEAD_LETTERS,
    PASS_BALANCE_CHANGED,
    PASS_CREATED,
    PASS_REDEEMED,
    PASS_UPDATED,
    WALLET_ACTIVITY,
    WORKSPACE_ACCESS,
    Topic,
)
from passferry_event_bridge.app import service
from passferry_event_bridge.settings import BridgeSettings
from passferry_runtime.auth import NewApiKey, new_api_key
from passferry_runtime.crypto import KeyRing
from passferry_runtime.lifecycle import Service
from passferry_testing.dittofeed_recorder import DittofeedRecorder, IngestionFault, RecordedItem
from passferry_testing.harness import Harness, eventually, running

LETTERS = DEAD_LETTERS["event-bridge"]


@pytest.fixture
def topics() -> tuple[Topic, ...]:
    return (
        WORKSPACE_ACCESS,
        PASS_CREATED,
        PASS_UPDATED,
        PASS_BALANCE_CHANGED,
        PASS_REDEEMED,
        WALLET_ACTIVITY,
        LETTERS,
    )


class Bridge:
    """A running bridge with what a test asks of it."""

    def __init__(self, harness: Harness, make: SimpleNamespace, built: Service) -> None:
        self.harness = harness
        self.make = make
        self.built = built
        transport = httpx.ASGITransport(app=built.http)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://bridge")

    async def workspace(
        self, recorder: DittofeedRecorder | None, **changes: Any
    ) -> tuple[UUID, NewApiKey]:
        workspace, key = uuid4(), new_api_key()
        await self.harness.publish(WORKSPACE_ACCESS, self.make.access(workspace, key, **changes))
        await eventually(lambda: self.is_known(workspace, key))
        if recorder is not None:
            answer = await self.put_sink(recorder, workspace, key)
            assert answer.status_code == 200, answer.text
        return workspace, key

    async def is_known(self, workspace: UUID, key: NewApiKey) -> bool:
        return (await self.ask("GET", workspace, key, "")).status_code == 200

    async def put_sink(
        self, recorder: DittofeedRecorder, workspace: UUID, key: NewApiKey, **changes: Any
    ) -> httpx.Response:
        write_key = recorder.add_write_key(str(workspace))
        body = {
            "profile": "dittofeed",
            "base_url": recorder.url,
            "write_key": f"{write_key.secret_id}:{write_key.value}",
        }
        return await self.ask("PUT", workspace, key, "/dittofeed", json=body | changes)

    async def ask(
        self, method: str, workspace: UUID, key: NewApiKey, path: str, **body: Any
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key.presented}"}
        url = f"/api/v1/workspaces/{workspace}/sinks{path}"
        return await self.http.request(method, url, headers=headers, **body)

    async def status(self, workspace: UUID, key: NewApiKey) -> dict[str, Any]:
        answer = await self.ask("GET", workspace, key, "/dittofeed/status")
        result: dict[str, Any] = answer.json()
        return result


@asynccontextmanager
async def bridge(
    harness: Harness, make: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Bridge]:
    for name, value in environment(harness).items():
        monkeypatch.setenv(name, value)
    await harness.migrate("event-bridge", "passferry_event_bridge.migrations")
    async with service(BridgeSettings()) as built, running(built):
        yield Bridge(harness, make, built)


def environment(harness: Harness) -> dict[str, str]:
    ring = harness.directory / "key_ring.json"
    if not ring.exists():
        ring.write_text(KeyRing.generate())
        ring.chmod(0o600)
    return {
        **harness.environment("event-bridge"),
        "PASSFERRY_KEY_RING_FILE": str(ring),
        "PASSFERRY_SINK_ALLOWED_HOSTS": '["127.0.0.1"]',
        "PASSFERRY_SINK_TIMEOUT_S": "1.0",
    }


def tracks(items: list[RecordedItem]) -> list[dict[str, Any]]:
    return [each.item for each in items if each.item["type"] == "track"]


async def count(harness: Harness, table: str) -> int:
    connection = await asyncpg.connect(harness.admin_url)
    try:
        number: int = await connection.fetchval(f"SELECT count(*) FROM event_bridge.{table}")
        return number
    finally:
        await connection.close()


def versions_by_pass(items: list[RecordedItem]) -> dict[str, list[str]]:
    """New balances of each pass in the order of their first arrival."""
    seen: set[str] = set()
    found: dict[str, list[str]] = {}
    for item in tracks(items):
        if item["event"] != "pass.balance_updated" or item["messageId"] in seen:
            continue
        seen.add(item["messageId"])
        properties = item["properties"]
        found.setdefault(properties["passId"], []).append(properties["newBalance"])
    return found


async def test_events_reach_the_sink_of_their_workspace_in_order_and_are_counted(
    harness: Harness,
    make: SimpleNamespace,
    recorder: DittofeedRecorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # proves: J39, J42, J43, J44, J46
    async with bridge(harness, make, monkeypatch) as running_bridge:
        workspace, _ = await running_bridge.workspace(recorder)
        passes = [uuid4() for _ in range(5)]
        await harness.publish(PASS_CREATED, *(make.created(workspace, each) for each in passes))
        await recorder.wait_for(str(workspace), 10)
        changes = [
            make.balance_changed(workspace, each, version)
            for version in range(1, 31)
            for each in passes
        ]
        await harness.publish(PASS_BALANCE_CHANGED, *changes)
        await harness.publish(PASS_REDEEMED, make.redeemed(workspace, passes[0], 31))
        items = await recorder.wait_for(str(workspace), 10 + 2 * 150 + 2)
        assert versions_by_pass(items) == {
            str(each): [25 + version / 100 for version in range(1, 31)] for each in passes
        }
        async with Redis.from_url(harness.backends.redis_url) as redis:
            key = f"metrics:workspace:{workspace}:bridged_events"

            async def is_counted() -> bool:
                counted = await redis.hgetall(key)
                return counted == {
                    b"pass.created": b"5",
                    b"pass.balance_changed": b"150",
                    b"pass.redeemed": b"1",
                }

            await eventually(is_counted)
        assert await count(harness, "pending_event") == 0


async def test_a_refused_credential_parks_one_workspace_until_it_is_renewed(
    harness: Harness,
    make: SimpleNamespace,
    recorder: DittofeedRecorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # proves: J45
    async with bridge(harness, make, monkeypatch) as running_bridge:
        stopped, key = await running_bridge.workspace(recorder)
        neighbour, _ = await running_bridge.workspace(recorder)
        recorder.remove_write_keys(str(stopped))
        ours, theirs = uuid4(), uuid4()
        await harness.publish(
            PASS_CREATED, make.created(stopped, ours), make.created(neighbour, theirs)
        )
        for version in range(1, 11):
            await harness.publish(
                PASS_BALANCE_CHANGED,
                make.balance_changed(stopped, ours, version),
                make.balance_changed(neighbour, theirs, version),
            )
        await recorder.wait_for(str(neighbour), 22)

        async def is_stopped() -> bool:
            status = await running_bridge.status(stopped, key)
            return status["status"] == "stopped" and status["waiting_events"] == 11

        await eventually(is_stopped)
        status = await running_bridge.status(stopped, key)
        assert status["stopped_reason"] == "credential_refused"
        sinks = next(check for check in running_bridge.built.checks if check.name == "sinks")

        async def is_degraded() -> bool:
            return (await sinks.probe()).state == "degraded"

        await eventually(is_degraded)
        assert (await running_bridge.put_sink(recorder, stopped, key)).status_code == 200
        items = await recorder.wait_for(str(stopped), 22)
        assert versions_by_pass(items) == {
            str(ours): [25 + version / 100 for version in range(1, 11)]
        }


async def test_an_event_for_a_pass_of_another_workspace_never_leaves(
    harness: Harness,
    make: SimpleNamespace,
    recorder: DittofeedRecorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # proves: J40, J41
    monkeypatch.setenv("PASSFERRY_PARKING_MAX_ATTEMPTS", "3")
    async with (
        bridge(harness, make, monkeypatch) as running_bridge,
        harness.recording(LETTERS) as letters,
    ):
        victim, _ = await running_bridge.workspace(recorder)
        forger, _ = await running_bridge.workspace(recorder)
        target = uuid4()
        await harness.publish(PASS_CREATED, make.created(victim, target))
        await recorder.wait_for(str(victim), 2)
        await harness.publish(
            PASS_BALANCE_CHANGED,
            make.balance_changed(forger, target, 1),
            make.balance_changed(uuid4(), uuid4(), 1),
            make.balance_changed(victim, target, 1),
        )
        await recorder.wait_for(str(victim), 4)
        records = await letters.expect_records(2)
        reasons = {record.header("kafka_dlt-exception-fqcn") for record in records}
        assert reasons == {b"pass_unknown", b"workspace_unknown"}
        assert recorder.recorded(str(forger)) == []
        assert len(recorder.recorded(str(victim))) == 4


async def test_without_a_sink_or_while_suspended_nothing_is_sent_and_nothing_waits(
    harness: Harness,
    make: SimpleNamespace,
    recorder: DittofeedRecorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bridge(harness, make, monkeypatch) as running_bridge:
        without, key = await running_bridge.workspace(None)
        suspended, _ = await running_bridge.workspace(recorder)
        revised = make.access(suspended, suspended=True, revision=2)
        await harness.publish(WORKSPACE_ACCESS, revised)
        await asyncio.sleep(0.5)
        first, second = uuid4(), uuid4()
        await harness.publish(
            PASS_CREATED, make.created(without, first), make.created(suspended, second)
        )

        async def are_known() -> bool:
            return await count(harness, "known_pass") == 2

        await eventually(are_known)
        assert await count(harness, "pending_event") == 0
        await running_bridge.put_sink(recorder, without, key)
        await harness.publish(PASS_BALANCE_CHANGED, make.balance_changed(without, first, 1))
        items = await recorder.wait_for(str(without), 2)
        assert [item.item["userId"] for item in items] == [str(make.holder)] * 2
        assert recorder.recorded(str(suspended)) == []


async def test_a_killed_bridge_loses_nothing_and_repeats_with_equal_message_ids(
    harness: Harness,
    make: SimpleNamespace,
    recorder: DittofeedRecorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # proves: J45, W6
    passes = [uuid4() for _ in range(10)]
    async with bridge(harness, make, monkeypatch) as running_bridge:
        workspace, _ = await running_bridge.workspace(recorder)
        await harness.publish(PASS_CREATED, *(make.created(workspace, each) for each in passes))
        await recorder.wait_for(str(workspace), 20)
    recorder.faults.add([IngestionFault(action="answer_lost", probability=0.2)])
    recorder.faults.add([IngestionFault(action="delay", delay_ms=(20, 60))])
    process = await started(harness)
    published: list[str] = []
    for version in range(1, 41):
        events: list[PassBalanceChanged] = [
            make.balance_changed(workspace, each, version) for each in passes
        ]
        published += await harness.publish(PASS_BALANCE_CHANGED, *events)
        if version in {13, 27}:
            await recorder.wait_for(str(workspace), 20 + version * 4, timeout_s=30)
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
            process = await started(harness)
    recorder.faults.clear()
    try:
        wanted = {str(each): [25 + version / 100 for version in range(1, 41)] for each in passes}
        await eventually(
            lambda: versions_by_pass(recorder.recorded(str(workspace))) == wanted, timeout_s=60
        )
    finally:
        process.terminate()
        assert await process.wait() == 0
    bodies: dict[str, dict[str, Any]] = {}
    for item in recorder.recorded(str(workspace)):
        assert bodies.setdefault(item.item["messageId"], item.item) == item.item
    assert len(bodies) == 20 + 2 * len(published)


async def started(harness: Harness) -> asyncio.subprocess.Process:
    environment_ = {
        name: value for name, value in os.environ.items() if not name.startswith("PASSFERRY_")
    }
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "passferry_event_bridge",
        "serve",
        env=environment_ | environment(harness),
        stdout=asyncio.subprocess.DEVNULL,
    )


async def test_write_keys_go_in_and_never_come_out(
    harness: Harness,
    make: SimpleNamespace,
    recorder: DittofeedRecorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bridge(harness, make, monkeypatch) as running_bridge:
        workspace, key = await running_bridge.workspace(None)
        other, other_key = await running_bridge.workspace(recorder)
        put = await running_bridge.put_sink(recorder, workspace, key, write_key="id:s3cretvalue")
        got = await running_bridge.ask("GET", workspace, key, "/dittofeed")
        listed = await running_bridge.ask("GET", workspace, key, "")
        status = await running_bridge.ask("GET", workspace, key, "/dittofeed/status")
        assert [each.status_code for each in (put, got, listed, status)] == [200] * 4
        assert not any("s3cretvalue" in each.text for each in (put, got, listed, status))
        connection = await asyncpg.connect(harness.admin_url)
        stored = await connection.fetch("SELECT * FROM event_bridge.sink")
        audited = await connection.fetch("SELECT * FROM event_bridge.audit_log")
        await connection.close()
        assert "s3cretvalue" not in f"{stored} {audited}"
        assert b"s3cretvalue" not in b"".join(row["credential_ciphertext"] for row in stored)

        for change, field in [
            ({"profile": "braze"}, "profile"),
            ({"base_url": "http://169.254.169.254"}, "base_url"),
            ({"write_key": "without a colon"}, "write_key"),
        ]:
            refused = await running_bridge.put_sink(recorder, workspace, key, **change)
            assert refused.status_code == 422
            assert refused.json()["errors"][0]["field"] == field
            assert "without a colon" not in refused.text

        foreign = await running_bridge.ask("GET", workspace, other_key, "/dittofeed")
        assert foreign.status_code == 404
        nothing = await running_bridge.http.get(f"/api/v1/workspaces/{workspace}/sinks")
        assert nothing.status_code == 401
        resumed = await running_bridge.ask("POST", workspace, key, "/dittofeed/resume")
        assert resumed.json()["status"] == "active"
        deleted = await running_bridge.ask("DELETE", workspace, key, "/dittofeed")
        again = await running_bridge.ask("DELETE", workspace, key, "/dittofeed")
        assert (deleted.status_code, again.status_code) == (204, 404)
        assert (await running_bridge.ask("GET", other, other_key, "/dittofeed")).status_code == 200


async def test_a_failing_sink_holds_up_neither_its_neighbours_nor_the_order_of_its_own(
    harness: Harness,
    make: SimpleNamespace,
    recorder: DittofeedRecorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # proves: J45
    async with bridge(harness, make, monkeypatch) as running_bridge:
        failing, _ = await running_bridge.workspace(recorder)
        silent, _ = await running_bridge.workspace(recorder)
        neighbour, _ = await running_bridge.workspace(recorder)
        passes = {each: uuid4() for each in (failing, silent, neighbour)}
        recorder.faults.add(
            [
                IngestionFault(action="answer", status=503, subject_prefix=str(failing), count=3),
                IngestionFault(action="no_answer", subject_prefix=str(silent), count=2),
            ]
        )
        await harness.publish(PASS_CREATED, *(make.created(*each) for each in passes.items()))
        for version in range(1, 6):
            await harness.publish(
                PASS_BALANCE_CHANGED,
                *(make.balance_changed(*each, version) for each in passes.items()),
            )
        await recorder.wait_for(str(neighbour), 12, timeout_s=1.5)
        for workspace in (failing, silent):
            await recorder.wait_for(str(workspace), 12, timeout_s=20)
            assert versions_by_pass(recorder.recorded(str(workspace))) == {
                str(passes[workspace]): [25 + version / 100 for version in range(1, 6)]
            }


async def test_two_bridges_share_the_work_and_keep_the_order(
    harness: Harness,
    make: SimpleNamespace,
    recorder: DittofeedRecorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # proves: J39
    async with (
        bridge(harness, make, monkeypatch) as first,
        service(BridgeSettings()) as second,
        running(second),
    ):
        workspace, _ = await first.workspace(recorder)
        passes = [uuid4() for _ in range(12)]
        events = [make.created(workspace, each) for each in passes]
        await harness.publish(PASS_CREATED, *events)
        for version in range(1, 21):
            changes = [make.balance_changed(workspace, each, version) for each in passes]
            await harness.publish(PASS_BALANCE_CHANGED, *changes)
        wanted = {str(each): [25 + version / 100 for version in range(1, 21)] for each in passes}
        await eventually(
            lambda: versions_by_pass(recorder.recorded(str(workspace))) == wanted, timeout_s=30
        )
        for built in (first.built, second):
            consumer = next(each for each in built.checks if each.name.startswith("consumer"))
            assert not (await consumer.probe()).detail.startswith("0 partitions")
