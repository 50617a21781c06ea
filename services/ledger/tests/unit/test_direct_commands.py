"""Bulks and dry runs take turns, and share the keys in flight with single commands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest

from passferry_ledger.application.apply_commands import ApplyCommands
from passferry_ledger.application.direct_commands import DirectCommands
from passferry_ledger.application.keys_in_flight import KeysInFlight
from passferry_ledger.application.ports import Mode, Submission
from passferry_ledger.domain.outcomes import Outcome
from passferry_runtime.errors import Conflict, RetryLater, Unavailable


@dataclass
class FakeStore:
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    calls: list[tuple[list[Submission], Mode]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    fails_on: Callable[[Sequence[Submission]], Exception | None] = lambda batch: None

    async def apply(
        self,
        submissions: Sequence[Submission],
        *,
        suspended: Collection[UUID],
        mode: Mode = Mode.EACH,
    ) -> list[Outcome]:
        self.calls.append((list(submissions), mode))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.gate.wait()
        finally:
            self.at_once -= 1
        error = self.fails_on(submissions)
        if error is not None:
            raise error
        return [Outcome(code="applied", version=each.command.amount_minor) for each in submissions]


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def in_flight() -> KeysInFlight:
    return KeysInFlight()


@pytest.fixture
def direct(store: FakeStore, in_flight: KeysInFlight, make: Any) -> DirectCommands:
    apply = ApplyCommands(ledger=store, workspaces=make.workspaces(), max_batch=2)
    return DirectCommands(
        apply, in_flight=in_flight, at_once=2, max_bulks=2, max_waiting=3, turn_timeout_s=5
    )


@pytest.fixture
def earn(make: Any) -> Callable[..., Submission]:
    account = make.account(make.program(uuid4()))

    def submission(amount: int = 1, **changes: object) -> Submission:
        return Submission(command=make.command(account, "earn", amount, **changes))

    return submission


async def turns(number: int = 20) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_few_go_at_once_and_too_many_are_turned_away(
    direct: DirectCommands, store: FakeStore, earn: Callable[..., Submission]
) -> None:
    tasks = [asyncio.create_task(direct.try_out([earn()])) for _ in range(5)]
    await turns()
    assert len(store.calls) == 2
    with pytest.raises(Unavailable, match="ledger_overloaded"):
        await direct.try_out([earn()])
    store.gate.set()
    await asyncio.gather(*tasks)
    assert (len(store.calls), store.most_at_once) == (5, 2)


async def test_as_many_bulks_are_in_memory_as_may_be(direct: DirectCommands) -> None:
    refused = pytest.raises(Unavailable, match="ledger_overloaded")
    with direct.bulk(), direct.bulk(), refused, direct.bulk():
        pass
    with direct.bulk(), direct.bulk():
        pass


async def test_a_dry_run_comes_between_the_batches_of_a_bulk(
    direct: DirectCommands, store: FakeStore, earn: Callable[..., Submission]
) -> None:
    bulks = [asyncio.create_task(direct.each([earn() for _ in range(8)])) for _ in range(2)]
    await turns()
    tried = asyncio.create_task(direct.try_out([earn()]))
    await turns()
    store.gate.set()
    await asyncio.gather(*bulks, tried)
    modes = [mode for _, mode in store.calls]
    assert len(modes) == 9
    assert modes.index(Mode.TRY) <= 4


async def test_who_gets_no_turn_in_time_is_told_to_ask_again(
    store: FakeStore, in_flight: KeysInFlight, make: Any, earn: Callable[..., Submission]
) -> None:
    apply = ApplyCommands(ledger=store, workspaces=make.workspaces())
    direct = DirectCommands(apply, in_flight=in_flight, at_once=1, turn_timeout_s=0.01)
    first = asyncio.create_task(direct.each([earn(idempotency_key="a")]))
    await turns()
    with pytest.raises(Unavailable, match="ask again with the same key"):
        await direct.each([earn(idempotency_key="b")])
    store.gate.set()
    await first
    (outcome,) = await direct.each([earn(idempotency_key="b")])
    assert isinstance(outcome, Outcome)


async def test_keys_in_flight_elsewhere_are_refused_and_given_back_by_their_owner_alone(
    direct: DirectCommands,
    store: FakeStore,
    in_flight: KeysInFlight,
    earn: Callable[..., Submission],
) -> None:
    store.gate.set()
    taken, free = earn(7), earn(8)
    assert in_flight.take(taken.key)
    refused, applied, replayed = await direct.each([taken, free, free])
    assert isinstance(refused, Conflict)
    assert [refused.code, applied, replayed] == [
        "command_in_flight",
        Outcome(code="applied", version=8),
        Outcome(code="applied", version=8),
    ]
    aborted = await direct.all_or_none([free, taken])
    assert isinstance(aborted[0], Outcome)
    assert aborted[0].code == "bulk_aborted"
    assert isinstance(aborted[1], Conflict)
    assert not in_flight.take(taken.key)
    in_flight.give_back([taken.key])
    await direct.all_or_none([free, taken])
    assert store.calls[-1][1] is Mode.ALL_OR_NONE
    assert in_flight.take(taken.key)
    assert in_flight.take(free.key)


async def test_a_command_that_breaks_its_batch_fails_alone(
    direct: DirectCommands, store: FakeStore, earn: Callable[..., Submission]
) -> None:
    def breaks(batch: Sequence[Submission]) -> Exception | None:
        poison = any(each.command.amount_minor == 13 for each in batch)
        return ValueError("poison") if poison else None

    store.fails_on = breaks
    store.gate.set()
    decided = await direct.each([earn(1), earn(13), earn(2), earn(3)])
    assert isinstance(decided[1], ValueError)
    told = [each.version for each in decided if isinstance(each, Outcome)]
    assert told == [1, 2, 3]


async def test_storage_that_is_away_gives_the_keys_back(
    direct: DirectCommands,
    store: FakeStore,
    in_flight: KeysInFlight,
    earn: Callable[..., Submission],
) -> None:
    store.fails_on = lambda batch: RetryLater("storage_unavailable", "gone")
    store.gate.set()
    submission = earn()
    for way in (direct.each, direct.all_or_none, direct.try_out):
        with pytest.raises(Unavailable, match="storage_unavailable"):
            await way([submission])
    assert in_flight.take(submission.key)
