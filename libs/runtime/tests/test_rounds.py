"""Work of one replica at a time."""

from __future__ import annotations

import asyncio

import pytest

from passferry_runtime.postgres import Database
from passferry_runtime.rounds import Rounds
from passferry_runtime.turn import Turn
from passferry_testing.harness import eventually


class FakeTurn:
    def __init__(self, *answers: bool | Exception) -> None:
        self.answers = list(answers)
        self.is_closed = False

    async def is_ours(self) -> bool:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self.is_closed = True


async def run_rounds(turn: FakeTurn, *, fail_first: bool = False) -> tuple[list[int], list[int]]:
    """Runs until the turn has no answer left; gives the rounds in which work was done, and those
    of another replica."""
    done: list[int] = []
    total = len(turn.answers)

    async def once() -> None:
        done.append(total - len(turn.answers))
        if fail_first and len(done) == 1:
            raise RuntimeError("planted")

    others: list[int] = []
    rounds = Rounds(
        "test",
        once,
        interval_s=0.001,
        turn=turn,
        otherwise=lambda: others.append(total - len(turn.answers)),
    )
    task = asyncio.create_task(rounds.run())
    await eventually(lambda: not turn.answers, what="the last round")
    rounds.stop()
    await task
    return done, others


@pytest.mark.unit
async def test_a_round_is_done_only_in_our_turn_and_a_failure_ends_nothing():
    turn = FakeTurn(True, False, OSError("gone"), True)
    assert await run_rounds(turn, fail_first=True) == ([1, 4], [2])
    assert turn.is_closed


@pytest.mark.unit
async def test_a_round_that_leaves_something_is_followed_by_the_next_without_a_pause():
    answers: list[object] = [True, True, 7]

    async def once() -> object:
        return answers.pop(0)

    rounds = Rounds("test", once, interval_s=3_600)
    task = asyncio.create_task(rounds.run())
    await eventually(lambda: not answers, what="the third round")
    await asyncio.sleep(0)
    # Another round would have failed for want of an answer; it waits for its time.
    assert not task.done()
    rounds.stop()
    await task


@pytest.mark.unit
async def test_rounds_that_always_leave_something_end_when_they_are_told_to():
    done: list[int] = []

    async def once() -> bool:
        done.append(1)
        return True

    rounds = Rounds("test", once, interval_s=3_600)
    task = asyncio.create_task(rounds.run())
    await eventually(lambda: len(done) > 3, what="some rounds")
    rounds.stop()
    await task


@pytest.mark.integration
async def test_one_replica_has_the_turn_until_it_lets_go(harness):
    await harness.migrate("ledger", "passferry_ledger.migrations")
    async with Database.open(harness.app_url("ledger"), service="ledger") as database:
        first, second, other = (Turn(database, name) for name in ("x", "x", "y"))
        try:
            assert await first.is_ours()
            assert await first.is_ours()
            assert not await second.is_ours()
            assert await other.is_ours(), "another name is another turn"
            first.close()
            await eventually(second.is_ours, what="the other takes over")
        finally:
            for turn in (first, second, other):
                turn.close()
