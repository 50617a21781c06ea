"""What happens without anybody ordering it: points lapse, holds and tiers end, and what will
lapse soon is told.

Every command has a key of its subject and day, so that any number of replicas may do this at once,
and a refusal is asked again on the next day.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from passferry_ledger.application.apply_commands import ApplyCommands
from passferry_ledger.application.ports import Submission, Workspaces
from passferry_ledger.domain.commands import Command, EntryKind
from passferry_runtime.clock import Clock
from passferry_runtime.errors import RetryLater
from passferry_runtime.logging import get_logger

log = get_logger(__name__)

RECORDED_BY = "ledger:scheduler"
#: A control character, which no key from outside may have: nobody can use these keys up.
RESERVED = "\x1f"
#: Pages of announcements in one round of a workspace: the rest is told in the next round.
MAX_ANNOUNCEMENT_PAGES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class DuePass:
    workspace_id: UUID
    pass_id: UUID
    account_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DueHold:
    workspace_id: UUID
    pass_id: UUID
    hold_id: UUID


class DueStore(Protocol):
    """Reads page by page; each page is in the order of its keys, so that nothing is read twice."""

    def workspaces(self) -> AsyncIterator[list[UUID]]: ...

    def lapsed(self, workspaces: Sequence[UUID], now: datetime) -> AsyncIterator[list[DuePass]]: ...

    def tiers(self, workspaces: Sequence[UUID], now: datetime) -> AsyncIterator[list[DuePass]]: ...

    def holds(self, workspaces: Sequence[UUID], now: datetime) -> AsyncIterator[list[DueHold]]: ...

    async def announce(self, workspaces: Sequence[UUID], now: datetime) -> int: ...


class KeepTime:
    """`run` does a round every `interval_s` until `stop`."""

    def __init__(
        self,
        *,
        due: DueStore,
        apply: ApplyCommands,
        workspaces: Workspaces,
        clock: Clock,
        interval_s: float,
    ) -> None:
        self._due = due
        self._apply = apply
        self._workspaces = workspaces
        self._clock = clock
        self._interval_s = interval_s
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        while not self._stopping.is_set():
            try:
                await self.once()
            except RetryLater as error:
                log.warning("time_round_put_off", code=error.code)
            try:
                async with asyncio.timeout(self._interval_s):
                    await self._stopping.wait()
            except TimeoutError:
                continue

    def stop(self) -> None:
        self._stopping.set()

    async def once(self) -> None:
        """Everything that is due now. Suspended workspaces wait."""
        now = self._clock.now()
        async for known in self._due.workspaces():
            names = [name for name in known if self._is_open(name)]
            if not names:
                continue
            # Holds first: what they let go may have lapsed.
            async for holds in self._due.holds(names, now):
                await self._order([_release(hold, now) for hold in holds])
            async for passes in self._due.lapsed(names, now):
                await self._order([_expire(each, now) for each in passes])
            async for passes in self._due.tiers(names, now):
                await self._order([_review(each, now) for each in passes])
            for _ in range(MAX_ANNOUNCEMENT_PAGES):
                if self._stopping.is_set() or not await self._due.announce(names, now):
                    break

    def _is_open(self, workspace_id: UUID) -> bool:
        # Until the directory was read, nobody knows who is suspended.
        directory = self._workspaces
        return directory.is_known(workspace_id) and not directory.is_suspended(workspace_id)

    async def _order(self, commands: list[Command]) -> None:
        await self._apply([Submission(command=command) for command in commands])


def _release(hold: DueHold, now: datetime) -> Command:
    return Command(
        workspace_id=hold.workspace_id,
        kind=EntryKind.RELEASE,
        pass_id=hold.pass_id,
        hold_id=hold.hold_id,
        idempotency_key=f"{RESERVED}hold-expired:{hold.hold_id}:{_day(now)}",
        reason="hold_expired",
        recorded_by=RECORDED_BY,
    )


def _expire(due: DuePass, now: datetime) -> Command:
    return Command(
        workspace_id=due.workspace_id,
        kind=EntryKind.EXPIRE,
        pass_id=due.pass_id,
        idempotency_key=f"{RESERVED}expire:{due.account_id}:{_day(now)}",
        recorded_by=RECORDED_BY,
    )


def _review(due: DuePass, now: datetime) -> Command:
    return Command(
        workspace_id=due.workspace_id,
        kind=EntryKind.REVIEW,
        pass_id=due.pass_id,
        idempotency_key=f"{RESERVED}review:{due.account_id}:{_day(now)}",
        recorded_by=RECORDED_BY,
    )


def _day(now: datetime) -> str:
    return now.astimezone(UTC).date().isoformat()
