"""One at a time of those who change the same thing."""

from __future__ import annotations

import asyncio

from passferry_notifier.application.turns import Turns


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
