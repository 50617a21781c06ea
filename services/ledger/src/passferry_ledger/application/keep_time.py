"""What happens without anybody ordering it: points lapse, holds and tiers end, and what will
lapse soon is told.

Every command has a key of its subject, how that stood, and the day: two replicas at once do no
harm, and what was refused is asked again, but not again and again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from passferry_ledger.application.apply_commands import ApplyCommands
from passferry_ledger.application.ports import Submission, Workspaces
from passferry_ledger.domain.commands import Command, EntryKind
from passferry_ledger.metrics import DUE
from passferry_runtime.clock import Clock
from passferry_runtime.errors import RetryLater
from passferry_runtime.logging import get_logger

log = get_logger(__name__)

RECORDED_BY = "ledger:scheduler"
#: A control character, which no key from outside may have: nobody can use these keys up.
RESERVED = "\x1f"
#: Looks go on where the last one ended; so often they begin anew. So what could not be done (all of
#: it held, the program suspended) and what came in behind them is found then.
SWEEP_EVERY = timedelta(hours=1)
#: Rows of each workspace in one look: a large one does not keep the others waiting.
ROWS_PER_LOOK = 50
BEFORE_ALL = datetime(1970, 1, 1, tzinfo=UTC)


class Duty(StrEnum):
    """In the order in which they are done: what a hold lets go may have lapsed."""

    RELEASE_HOLDS = "release_holds"
    LAPSE_LOTS = "lapse_lots"
    #: Undated points lapse all together, by inactivity.
    LAPSE_UNDATED = "lapse_undated"
    REVIEW_TIERS = "review_tiers"
    ANNOUNCE_LOTS = "announce_lots"
    ANNOUNCE_UNDATED = "announce_undated"


ANNOUNCING = frozenset({Duty.ANNOUNCE_LOTS, Duty.ANNOUNCE_UNDATED})

#: A time, and which of the subjects of that time.
Place = tuple[datetime, UUID]


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """`subject_id` is a hold or a lot, else the pass. `is_ready` is false where nothing can be
    done now; then the rest may be missing."""

    workspace_id: UUID
    at: datetime
    subject_id: UUID
    is_ready: bool
    pass_id: UUID | None
    account_id: int | None
    version: int | None

    @property
    def place(self) -> Place:
        return self.at, self.subject_id


class DueStore(Protocol):
    def workspaces(self) -> AsyncIterator[list[UUID]]:
        """All that are known, at most 200 at a time."""
        ...

    async def find(
        self, duty: Duty, after: Mapping[UUID, Place], *, now: datetime, limit: int
    ) -> list[Due]:
        """What is due of each workspace behind a place, in order, at most `limit` of each."""
        ...

    async def announce(self, duty: Duty, due: Sequence[Due], *, now: datetime) -> int:
        """Tell what lapses soon and was not told yet; how many."""
        ...


class Turn(Protocol):
    async def is_ours(self) -> bool:
        """Whether this replica is the one that works now."""
        ...

    def close(self) -> None: ...


class KeepTime:
    """`run` does a round every `interval_s` until `stop`; without a `turn`, as the only replica."""

    def __init__(
        self,
        *,
        due: DueStore,
        apply: ApplyCommands,
        workspaces: Workspaces,
        clock: Clock,
        interval_s: float,
        turn: Turn | None = None,
    ) -> None:
        self._due = due
        self._apply = apply
        self._workspaces = workspaces
        self._turn = turn
        self._clock = clock
        self._interval_s = interval_s
        self._stopping = asyncio.Event()
        self._places: dict[Duty, dict[UUID, Place]] = {duty: {} for duty in Duty}
        self._swept_at = BEFORE_ALL

    async def run(self) -> None:
        try:
            while not self._stopping.is_set():
                await self._try_once()
                try:
                    async with asyncio.timeout(self._interval_s):
                        await self._stopping.wait()
                except TimeoutError:
                    continue
        finally:
            if self._turn is not None:
                self._turn.close()

    async def _try_once(self) -> None:
        try:
            await self.once()
        except RetryLater as error:
            log.warning("time_round_put_off", code=error.code)
        except Exception:
            # The balances are right without it: commands look at the clock themselves.
            log.exception("time_round_failed")

    def stop(self) -> None:
        self._stopping.set()

    async def once(self) -> None:
        """Everything that is due now. Suspended workspaces wait."""
        if self._turn is not None and not await self._turn.is_ours():
            return
        now = self._clock.now()
        if now - self._swept_at >= SWEEP_EVERY:
            self._places = {duty: {} for duty in Duty}
            self._swept_at = now
        has_more = True
        while has_more and not self._stopping.is_set():
            has_more = False
            async for known in self._due.workspaces():
                names = [name for name in known if self._is_open(name)]
                for duty in Duty:
                    if names and not self._stopping.is_set():
                        has_more |= await self._look(duty, names, now)

    def _is_open(self, workspace_id: UUID) -> bool:
        # Until the directory was read, nobody knows who is suspended.
        directory = self._workspaces
        return directory.is_known(workspace_id) and not directory.is_suspended(workspace_id)

    async def _look(self, duty: Duty, names: Sequence[UUID], now: datetime) -> bool:
        """Whether there may be more of it."""
        places = self._places[duty]
        # What lapses soon lapses after now, and the rest was due before.
        start = (now if duty in ANNOUNCING else BEFORE_ALL, UUID(int=0))
        after = {name: max(places.get(name, start), start) for name in names}
        found = await self._due.find(duty, after, now=now, limit=ROWS_PER_LOOK)
        ready = [due for due in found if due.is_ready]
        if duty in ANNOUNCING:
            done = await self._due.announce(duty, ready, now=now) if ready else 0
        else:
            done = await self._order([_command(duty, due, now) for due in ready])
        DUE.labels(duty.value).inc(done)
        counts: dict[UUID, int] = {}
        for due in found:
            counts[due.workspace_id] = counts.get(due.workspace_id, 0) + 1
            places[due.workspace_id] = due.place
        return any(count >= ROWS_PER_LOOK for count in counts.values())

    async def _order(self, commands: Sequence[Command]) -> int:
        """How many were applied. Several lots of one account are one command."""
        once = {(command.workspace_id, command.idempotency_key): command for command in commands}
        outcomes = await self._apply([Submission(command=command) for command in once.values()])
        return sum(outcome.is_applied and not outcome.is_replayed for outcome in outcomes)


def _command(duty: Duty, due: Due, now: datetime) -> Command:
    day = now.astimezone(UTC).date().isoformat()
    if duty is Duty.RELEASE_HOLDS:
        return Command(
            workspace_id=due.workspace_id,
            kind=EntryKind.RELEASE,
            pass_id=due.pass_id,
            hold_id=due.subject_id,
            idempotency_key=f"{RESERVED}hold-expired:{due.subject_id}:{day}",
            reason="hold_expired",
            recorded_by=RECORDED_BY,
        )
    kind = EntryKind.REVIEW if duty is Duty.REVIEW_TIERS else EntryKind.EXPIRE
    return Command(
        workspace_id=due.workspace_id,
        kind=kind,
        pass_id=due.pass_id,
        idempotency_key=f"{RESERVED}{kind.value}:{due.account_id}:{due.version}:{day}",
        recorded_by=RECORDED_BY,
    )
