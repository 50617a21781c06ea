"""Two notifiers and one class at Google. proves: J7"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest

from passferry_contracts.events.deliveries import MessageIssued
from passferry_notifier.adapters.postgres_google import PostgresGoogle
from passferry_notifier.adapters.postgres_turns import PostgresReplicaTurns
from passferry_notifier.application.dispatch import Work
from passferry_notifier.application.ports import GoogleAnswer, GoogleClassRow
from passferry_notifier.application.send_messages import (
    AddMessages,
    GoogleMessage,
    MessageDetail,
    MessageTarget,
)
from passferry_notifier.application.send_messages import (
    _message as message_of,
)
from passferry_notifier.application.turns import CLASS_TAKEN, Turns, TurnTaken
from passferry_notifier.application.update_google import SendToGoogle
from passferry_notifier.domain.credentials import GoogleCredential
from passferry_notifier.domain.deliveries import Action
from passferry_runtime.clock import SystemClock
from passferry_runtime.postgres import Database
from passferry_testing.harness import Harness

WORKSPACE, TEMPLATE = uuid4(), uuid4()

pytestmark = pytest.mark.integration


@pytest.fixture
async def databases(harness: Harness) -> AsyncIterator[list[Database]]:
    await harness.migrate("notifier", "passferry_notifier.migrations")
    async with AsyncExitStack() as stack:
        url = harness.app_url("notifier")
        yield [
            await stack.enter_async_context(Database.open(url, service="notifier"))
            for _ in range(2)
        ]


@dataclass
class FakeGoogle:
    """One class. The PATCH of v1 waits until it is let go on, between its GET and its effect."""

    held: dict[str, Any] = field(default_factory=lambda: {"name": "v0", "messages": []})
    is_patching: asyncio.Event = field(default_factory=asyncio.Event)
    may_go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def call(
        self, _credential: GoogleCredential, method: str, path: str, body: Any = None
    ) -> GoogleAnswer:
        if path.endswith("/addMessage"):
            self.held["messages"] = [*(self.held["messages"] or ()), body["message"]]
        elif method == "POST":
            return GoogleAnswer(409, {})
        elif method == "PATCH":
            self.is_patching.set()
            if body["name"] == "v1":
                await self.may_go_on.wait()
            self.held |= body
        return GoogleAnswer(200, dict(self.held))


class FakeMessages:
    async def begin(self, _message: GoogleMessage) -> bool:
        return True


def row(version: int) -> GoogleClassRow:
    body = {"name": f"v{version}", "messages": []}
    return GoogleClassRow(
        workspace_id=WORKSPACE,
        class_id="1.club",
        template_id=TEMPLATE,
        issuer_id="1",
        vertical="loyalty",
        template_version=version,
        body=body,
        body_sha256=f"sha-{version}",
        synced_sha256=None,
    )


def credential() -> GoogleCredential:
    return GoogleCredential(workspace_id=WORKSPACE, key="key", issuer_id="1", service_account={})


def message() -> Work[MessageDetail]:
    data = MessageIssued(
        workspace_id=WORKSPACE,
        template_id=uuid4(),
        message_id="sent",
        body="Closed on Monday",
        notify=False,
        issued_at=SystemClock().now(),
    )
    told = message_of(data, SystemClock().now())
    target = MessageTarget(issuer_id="1", vertical="loyalty", kind="Class", name="1.club")
    return Work(told.delivery, "lane", "queue", MessageDetail(credential(), told, [target]))


def replica(database: Database, google: Any, **more: Any) -> tuple[SendToGoogle, AddMessages]:
    turns = Turns(PostgresReplicaTurns(database, **more))
    parts: dict[str, Any] = {"gateway": google, "budget": None, "clock": SystemClock()}
    messages: Any = FakeMessages()
    send = SendToGoogle(store=PostgresGoogle(database), turns=turns, **parts)
    return send, AddMessages(store=messages, turns=turns, **parts)


async def test_a_message_that_another_replica_sends_is_not_lost_when_a_version_is_written(
    databases: list[Database],
) -> None:
    google, (first, second) = FakeGoogle(), databases
    await PostgresGoogle(first).store_classes([row(1)])
    send, _ = replica(first, google)
    _, add = replica(second, google)
    async with asyncio.TaskGroup() as group:
        group.create_task(send.write_class(credential(), row(1)))
        await google.is_patching.wait()
        adding = group.create_task(add(message()))
        done, _ = await asyncio.wait([adding], timeout=0.5)
        assert not done, "it waits for the one that has read the list"
        google.may_go_on.set()
    assert adding.result().action is Action.DELIVERED
    assert (google.held["name"], [each["id"] for each in google.held["messages"]]) == (
        "v1",
        ["sent"],
    )


async def test_the_version_that_came_last_is_the_one_that_stays(databases: list[Database]) -> None:
    google, (first, second) = FakeGoogle(), databases
    store = PostgresGoogle(first)
    await store.store_classes([row(1)])
    early, late = (replica(each, google)[0] for each in databases)
    async with asyncio.TaskGroup() as group:
        group.create_task(early.write_class(credential(), row(1)))
        await google.is_patching.wait()
        await PostgresGoogle(second).store_classes([row(2)])
        writing = group.create_task(late.write_class(credential(), row(2)))
        # Without turns it would be written before the older one is.
        await asyncio.wait([writing], timeout=0.5)
        google.may_go_on.set()
    assert google.held["name"] == "v2"
    known = await store.class_of(WORKSPACE, "1.club")
    assert known is not None
    assert (known.body_sha256, known.synced_sha256) == ("sha-2", "sha-2")


async def test_what_an_older_version_brought_is_not_told_of_the_newer_one(
    databases: list[Database],
) -> None:
    store = PostgresGoogle(databases[0])
    await store.store_classes([row(1)])
    await store.store_classes([row(2)])
    await store.class_synced(WORKSPACE, "1.club", "sha-1")
    known = await store.class_of(WORKSPACE, "1.club")
    assert known is not None
    assert known.synced_sha256 is None


async def test_who_waits_too_long_comes_again_and_a_lost_replica_lets_go(
    databases: list[Database],
) -> None:
    google, (first, second) = FakeGoogle(), databases
    await PostgresGoogle(first).store_classes([row(1)])
    send, _ = replica(first, google)
    other_send, add = replica(second, google, patience_s=0.2)
    task = asyncio.create_task(send.write_class(credential(), row(1)))
    await google.is_patching.wait()
    assert await add(message()) == CLASS_TAKEN
    assert await other_send.write_class(credential(), row(1)) == CLASS_TAKEN
    turns = PostgresReplicaTurns(second, patience_s=0.2)
    async with turns.of(f"class:{uuid4()}:1.club"):
        # Another workspace's class of the same name waits for nobody.
        with pytest.raises(TurnTaken):
            async with turns.of(f"class:{WORKSPACE}:1.club"):
                raise AssertionError
    task.cancel()
    await asyncio.wait([task])
    google.may_go_on.set()
    _, patient = replica(second, google)
    assert (await patient(message())).action is Action.DELIVERED
