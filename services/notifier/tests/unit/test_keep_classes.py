"""Classes that wait: nobody's slow account holds up the others. proves: A23, J15"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from passferry_notifier.application.bring_classes import WaitingClass, WaitingGroup
from passferry_notifier.application.keep_classes import (
    BRINGING_AT_ONCE,
    LEASE_S,
    WORKSPACE_TIMEOUT_S,
    KeepClasses,
)
from passferry_notifier.application.ports import GoogleClassRow
from passferry_runtime.clock import FixedClock
from passferry_testing.harness import eventually

pytestmark = pytest.mark.unit

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def waiting_class(workspace_id: UUID) -> WaitingClass:
    row = GoogleClassRow(
        workspace_id=workspace_id,
        class_id="3388.card",
        issuer_id="3388",
        vertical="loyalty",
        template_version=1,
        body={},
        body_sha256="a",
        synced_sha256=None,
    )
    return WaitingClass(row=row, attempts=1)


@dataclass
class FakeWaiting:
    """One class of each workspace, with the time of its next attempt."""

    due_at: dict[UUID, datetime]
    made_due: list[UUID] = field(default_factory=list)

    async def make_due(self, workspaces: Sequence[UUID], *, now: datetime) -> None:
        self.made_due += workspaces
        self.due_at |= {each: now for each in workspaces if each in self.due_at}

    async def groups(self, workspaces: Sequence[UUID]) -> list[WaitingGroup]:
        return [
            WaitingGroup(
                workspace_id=each, issuer_id="3388", reason="x", count=1, due_at=self.due_at[each]
            )
            for each in workspaces
            if each in self.due_at
        ]

    async def claim(
        self, workspaces: Sequence[UUID], *, now: datetime, lease_until: datetime
    ) -> list[WaitingClass]:
        due = [each for each in workspaces if self.due_at.get(each, lease_until) <= now]
        self.due_at |= dict.fromkeys(due, lease_until)
        return [waiting_class(each) for each in due]


@dataclass
class FakeBring:
    """Brings at once, but of some workspaces only when they may go on."""

    waiting: FakeWaiting
    slow: dict[UUID, asyncio.Event] = field(default_factory=dict)
    brought: list[UUID] = field(default_factory=list)
    begun: list[UUID] = field(default_factory=list)

    async def again(self, classes: Sequence[WaitingClass]) -> None:
        for each in classes:
            workspace_id = each.row.workspace_id
            self.begun.append(workspace_id)
            if workspace_id in self.slow:
                await self.slow[workspace_id].wait()
            self.brought.append(workspace_id)
            del self.waiting.due_at[workspace_id]


@dataclass
class FakeDirectory:
    workspaces: list[UUID]

    async def active_workspaces(self) -> list[UUID]:
        return self.workspaces

    async def until_known(self) -> None: ...


@asynccontextmanager
async def keeping(bring: FakeBring, **bounds: float) -> AsyncIterator[KeepClasses]:
    directory: Any = FakeDirectory(list(bring.waiting.due_at))
    bringing: Any = bring
    waiting: Any = bring.waiting
    keep = KeepClasses(
        waiting=waiting,
        bring=bringing,
        deliveries=directory,
        credentials=directory,
        clock=FixedClock(NOW),
        **bounds,
    )
    running = asyncio.create_task(keep.run())
    try:
        yield keep
    finally:
        keep.stop()
        await running


def many(count: int) -> tuple[list[UUID], FakeBring]:
    """Workspaces whose classes are due, the first of them for longest."""
    workspaces = [uuid4() for _ in range(count)]
    due_at = {each: NOW - timedelta(minutes=count - at) for at, each in enumerate(workspaces)}
    return workspaces, FakeBring(FakeWaiting(due_at))


async def test_a_slow_account_holds_up_no_class_and_no_wake_up_of_another_workspace() -> None:
    workspaces, bring = many(BRINGING_AT_ONCE * 3)
    slow, *others = workspaces
    bring.slow = {slow: asyncio.Event()}
    asleep = others[-1]
    bring.waiting.due_at[asleep] = NOW + timedelta(minutes=5)
    async with keeping(bring) as keep:
        await eventually(lambda: bring.brought == others[:-1])
        keep.credentials_changed(asleep)
        await eventually(lambda: bring.brought == others)
        assert bring.begun.count(slow) == 1
        bring.slow[slow].set()
        await eventually(lambda: bring.brought == [*others, slow])


async def test_no_more_than_a_few_workspaces_are_brought_at_once() -> None:
    workspaces, bring = many(BRINGING_AT_ONCE + 2)
    bring.slow = {each: asyncio.Event() for each in workspaces}
    async with keeping(bring):
        await eventually(lambda: len(bring.begun) == BRINGING_AT_ONCE)
        bring.slow[workspaces[0]].set()
        await eventually(lambda: len(bring.begun) == BRINGING_AT_ONCE + 1)
        assert bring.begun == workspaces[: BRINGING_AT_ONCE + 1], "longest first"
        assert bring.brought == workspaces[:1]


async def test_who_takes_too_long_gives_its_place_to_the_next() -> None:
    workspaces, bring = many(BRINGING_AT_ONCE + 1)
    bring.slow = {each: asyncio.Event() for each in workspaces[:-1]}
    async with keeping(bring, workspace_timeout_s=0.05):
        await eventually(lambda: bring.brought == workspaces[-1:])
    assert WORKSPACE_TIMEOUT_S < LEASE_S, "else another replica is at it as well"


async def test_what_is_under_way_with_the_former_credential_is_made_due_once_more_after_it() -> (
    None
):
    [workspace_id], bring = many(1)
    bring.slow = {workspace_id: asyncio.Event()}
    async with keeping(bring) as keep:
        await eventually(lambda: bring.begun == [workspace_id])
        keep.credentials_changed(workspace_id)
        await eventually(lambda: bring.waiting.made_due == [workspace_id])
        bring.slow[workspace_id].set()
        await eventually(lambda: bring.waiting.made_due == [workspace_id] * 2)
        assert keep._changed == keep._changed_underway == set()


async def test_a_database_that_is_away_for_a_while_ends_nothing() -> None:
    [workspace_id], bring = many(1)
    claim, failures = bring.waiting.claim, [OSError("away"), TimeoutError()]

    async def fails(*args: Any, **more: Any) -> list[WaitingClass]:
        if failures:
            raise failures.pop()
        return await claim(*args, **more)

    bring.waiting.claim = fails  # type: ignore[method-assign]  # away at first
    async with keeping(bring):
        await eventually(lambda: bring.brought == [workspace_id])
