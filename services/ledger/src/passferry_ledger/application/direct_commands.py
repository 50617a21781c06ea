"""Bulks and dry runs: past the lanes, a few at a time, so that single commands keep their pace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

from passferry_ledger.application.apply_commands import ApplyCommands
from passferry_ledger.application.keys_in_flight import KeysInFlight, command_in_flight
from passferry_ledger.application.ports import Mode, Submission
from passferry_ledger.domain.outcomes import ABORTED, Outcome, aborted
from passferry_runtime.errors import RetryLater, Unavailable

AT_ONCE = 2
#: Bulks that are in memory, from the first byte of their body.
MAX_BULKS = 32
#: Dry runs that wait for their turn.
MAX_WAITING = 128
TURN_TIMEOUT_S = 15.0

#: What became of one command; an error where the ledger did not decide.
Decision = Outcome | Exception


class DirectCommands:
    """All raise `Unavailable` when it cannot be said what became of the commands: the caller asks
    again with the same keys."""

    def __init__(
        self,
        apply: ApplyCommands,
        *,
        in_flight: KeysInFlight,
        at_once: int = AT_ONCE,
        max_bulks: int = MAX_BULKS,
        max_waiting: int = MAX_WAITING,
        turn_timeout_s: float = TURN_TIMEOUT_S,
    ) -> None:
        self._apply = apply
        self._in_flight = in_flight
        self._turns = asyncio.Semaphore(at_once)
        self._bulks = 0
        self._max_bulks = max_bulks
        self._waiting = 0
        self._max_waiting = max_waiting
        self._turn_timeout_s = turn_timeout_s

    @contextmanager
    def bulk(self) -> Iterator[None]:
        """Around a bulk, its reading included."""
        if self._bulks >= self._max_bulks:
            raise Unavailable("ledger_overloaded", "Too many bulks at once.", retry_after_s=1)
        self._bulks += 1
        try:
            yield
        finally:
            self._bulks -= 1

    async def try_out(
        self, submissions: Sequence[Submission], *, all_or_none: bool = False
    ) -> list[Outcome]:
        """What would become of them, one after the other; nothing is written or remembered."""
        if self._waiting >= self._max_waiting:
            raise Unavailable("ledger_overloaded", "Too many commands wait.", retry_after_s=1)
        async with self._turn():
            outcomes = await self._apply.together(submissions, Mode.TRY)
        if all_or_none and not all(outcome.is_applied for outcome in outcomes):
            return aborted(outcomes, [submission.key for submission in submissions])
        return outcomes

    async def each(self, submissions: Sequence[Submission]) -> list[Decision]:
        """Each for itself; `Conflict` for those whose key is in flight elsewhere."""
        names = [submission.key for submission in submissions]
        # A key twice in one bulk is one key: its second command is a replay.
        mine = {name for name in dict.fromkeys(names) if self._in_flight.take(name)}
        try:
            ready = [submissions[place] for place, name in enumerate(names) if name in mine]
            decided = iter(await self._apply_in_batches(ready))
            return [next(decided) if name in mine else command_in_flight() for name in names]
        finally:
            self._in_flight.give_back(mine)

    async def all_or_none(self, submissions: Sequence[Submission]) -> list[Decision]:
        """In one transaction. When any is refused or in flight, the others are aborted."""
        names = [submission.key for submission in submissions]
        mine = {name for name in dict.fromkeys(names) if self._in_flight.take(name)}
        try:
            if not mine.issuperset(names):
                return [
                    Outcome(code=ABORTED) if name in mine else command_in_flight() for name in names
                ]
            async with self._turn():
                return list(await self._apply.together(submissions, Mode.ALL_OR_NONE))
        finally:
            self._in_flight.give_back(mine)

    async def _apply_in_batches(self, submissions: Sequence[Submission]) -> list[Decision]:
        decisions: list[Decision] = []
        for start in range(0, len(submissions), self._apply.max_batch):
            # A turn each: whoever wants to know one thing need not wait for a whole bulk.
            async with self._turn():
                batch = submissions[start : start + self._apply.max_batch]
                decisions.extend(await self._apply_batch(batch))
        return decisions

    async def _apply_batch(self, batch: Sequence[Submission]) -> Sequence[Decision]:
        try:
            return await self._apply.together(batch)
        except RetryLater:
            raise
        except Exception:
            # A command that breaks its batch must not take its neighbours with it.
            return [await self._apply_alone(each) for each in batch]

    async def _apply_alone(self, submission: Submission) -> Decision:
        try:
            return (await self._apply.together([submission]))[0]
        except RetryLater:
            raise
        except Exception as error:
            return error

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        self._waiting += 1
        try:
            async with asyncio.timeout(self._turn_timeout_s):
                await self._turns.acquire()
        except TimeoutError as error:
            raise Unavailable(
                "ledger_busy", "No turn in time; ask again with the same key.", retry_after_s=1
            ) from error
        finally:
            self._waiting -= 1
        try:
            yield
        except RetryLater as error:
            raise Unavailable(error.code, error.detail, retry_after_s=1) from error
        finally:
            self._turns.release()
