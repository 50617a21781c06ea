"""One at a time of those who change the same thing. proves: J7"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from passferry_notifier.adapters import postgres_turns
from passferry_notifier.adapters.postgres_turns import MAX_AT_ONCE, PostgresReplicaTurns
from passferry_notifier.application.turns import Turns, TurnTaken


async def test_those_who_wait_have_their_turn_alone_also_when_others_come_meanwhile() -> None:
    turns, inside, most, waited = Turns(), 0, 0, []

    async def change() -> None:
        nonlocal inside, most
        async with turns.of("class") as was_taken:
            waited.append(was_taken)
            inside += 1
            most = max(most, inside)
            for _ in range(3):
                await asyncio.sleep(0)
            inside -= 1

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(change())
            # Some come just as another one leaves.
            await asyncio.sleep(0)
    assert (most, len(waited)) == (1, 20)
    assert waited[0] is False
    assert any(waited[1:])


async def test_different_things_wait_for_nobody_and_nothing_is_kept_of_them() -> None:
    turns = Turns()
    async with turns.of("one") as first, turns.of("other") as second:
        assert (first, second) == (False, False)
    assert not turns._turns


async def test_who_waits_too_long_in_this_process_goes_and_leaves_the_turn_as_it_was() -> None:
    turns = Turns(patience_s=0.05)
    async with turns.of("class"):
        with pytest.raises(TurnTaken):
            async with turns.of("class"):
                raise AssertionError
    async with turns.of("class") as was_taken:
        assert was_taken is False
    assert not turns._turns


class FakeTurn:
    """Everybody has it at once; of the name `away` the database does not answer."""

    def __init__(self, _database: object, name: str) -> None:
        self.name = name

    async def is_ours(self) -> bool:
        if self.name == "away":
            raise TimeoutError
        return True

    def close(self) -> None: ...


@pytest.fixture
def replicas(monkeypatch: pytest.MonkeyPatch) -> PostgresReplicaTurns:
    monkeypatch.setattr(postgres_turns, "Turn", FakeTurn)
    nothing: Any = None
    return PostgresReplicaTurns(nothing, patience_s=0.05)


async def test_who_waits_too_long_for_room_among_the_connections_goes_too(
    replicas: PostgresReplicaTurns,
) -> None:
    async with AsyncExitStack() as stack:
        for number in range(MAX_AT_ONCE):
            await stack.enter_async_context(replicas.of(f"class {number}"))
        with pytest.raises(TurnTaken):
            # Without a bound of its own it would wait until the test is ended.
            async with asyncio.timeout(5), replicas.of("one more"):
                raise AssertionError
    async with replicas.of("one more"):
        pass


async def test_a_database_that_does_not_answer_is_not_told_as_a_turn_that_is_taken(
    replicas: PostgresReplicaTurns,
) -> None:
    for _ in range(MAX_AT_ONCE + 1):
        with pytest.raises(TimeoutError):
            async with replicas.of("away"):
                raise AssertionError
