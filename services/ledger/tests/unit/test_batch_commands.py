"""Commands that come at the same time share a transaction, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest

from passferry_ledger.application.batch_commands import BatchCommands
from passferry_ledger.application.ports import Submission
from passferry_ledger.domain.outcomes import Outcome
from passferry_runtime.errors import Conflict, RetryLater, Unavailable


@dataclass
class FakeApply:
    """Holds every batch until the gate is open."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    batches: list[list[Submission]] = field(default_factory=list)
    fails_on: Callable[[Sequence[Submission]], Exception | None] = lambda batch: None

    async def __call__(self, submissions: Sequence[Submission]) -> list[Outcome]:
        self.batches.append(list(submissions))
        await self.gate.wait()
        error = self.fails_on(submissions)
        if error is not None:
            raise error
        return [Outcome(code="applied", version=each.command.amount_minor) for each in submissions]


@asynccontextmanager
async def working(apply: FakeApply, **bounds: Any) -> AsyncIterator[BatchCommands]:
    batch = BatchCommands(apply, **bounds)
    task = asyncio.create_task(batch.run())
    try:
        yield batch
    finally:
        apply.gate.set()
        batch.stop()
        await asyncio.wait_for(task, 5)


@pytest.fixture
def earn(make: Any) -> Callable[..., Submission]:
    account = make.account(make.program(uuid4()))

    def submission(amount: int = 1, **changes: object) -> Submission:
        return Submission(command=make.command(account, "earn", amount, **changes))

    return submission


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # the batcher has nothing that tests could wait for
            await asyncio.sleep(0)


async def test_what_arrives_while_a_batch_is_on_its_way_makes_the_next(
    earn: Callable[..., Submission],
) -> None:
    apply = FakeApply()
    async with working(apply, lanes=1, max_batch=4) as batch:
        first = asyncio.create_task(batch(earn(1)))
        await until(lambda: bool(apply.batches))
        rest = [asyncio.create_task(batch(earn(number))) for number in range(2, 8)]
        await until(lambda: batch.queued == 6)
        apply.gate.set()
        outcomes = await asyncio.gather(first, *rest)
    assert [outcome.version for outcome in outcomes] == [1, 2, 3, 4, 5, 6, 7]
    assert [len(each) for each in apply.batches] == [1, 4, 2]


async def test_the_same_key_is_refused_while_it_is_in_flight(
    earn: Callable[..., Submission],
) -> None:
    apply = FakeApply()
    async with working(apply) as batch:
        first = asyncio.create_task(batch(earn(idempotency_key="k")))
        await asyncio.sleep(0)
        with pytest.raises(Conflict) as refused:
            await batch(earn(idempotency_key="k"))
        assert (refused.value.code, refused.value.retry_after_s) == ("command_in_flight", 1)
        apply.gate.set()
        await first
        assert (await batch(earn(idempotency_key="k"))).code == "applied"


async def test_a_full_queue_turns_callers_away(earn: Callable[..., Submission]) -> None:
    apply = FakeApply()
    async with working(apply, lanes=1, max_queued_per_lane=2) as batch:
        tasks = [asyncio.create_task(batch(earn()))]
        await until(lambda: bool(apply.batches))
        tasks += [asyncio.create_task(batch(earn())) for _ in range(2)]
        await until(lambda: batch.queued == 2)
        with pytest.raises(Unavailable, match="ledger_overloaded"):
            await batch(earn())
        apply.gate.set()
        await asyncio.gather(*tasks)


async def test_a_command_that_breaks_its_batch_fails_alone(
    earn: Callable[..., Submission],
) -> None:
    def breaks(batch: Sequence[Submission]) -> Exception | None:
        poison = any(each.command.amount_minor == 13 for each in batch)
        return ValueError("poison") if poison else None

    apply = FakeApply(fails_on=breaks)
    async with working(apply, lanes=1) as batch:
        tasks = [asyncio.create_task(batch(earn(amount))) for amount in (1, 13, 2)]
        await until(lambda: batch.queued == 3)
        apply.gate.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(outcomes[1], ValueError)
        assert [outcomes[0].version, outcomes[2].version] == [1, 2]  # type: ignore[union-attr]  # outcomes


async def test_storage_that_is_away_answers_ask_again(earn: Callable[..., Submission]) -> None:
    apply = FakeApply(fails_on=lambda batch: RetryLater("storage_unavailable", "gone"))
    apply.gate.set()
    async with working(apply) as batch:
        with pytest.raises(Unavailable, match="storage_unavailable"):
            await batch(earn())


async def test_a_caller_that_hangs_up_does_not_stop_its_command(
    earn: Callable[..., Submission],
) -> None:
    apply = FakeApply()
    async with working(apply) as batch:
        caller = asyncio.create_task(batch(earn(idempotency_key="k")))
        await until(lambda: bool(apply.batches))
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        with pytest.raises(Conflict):
            await batch(earn(idempotency_key="k"))
    assert len(apply.batches) == 1


async def test_no_answer_in_time_is_ambiguous_and_said_so(
    earn: Callable[..., Submission],
) -> None:
    apply = FakeApply()
    async with working(apply, answer_timeout_s=0.01) as batch:
        with pytest.raises(Unavailable, match="ask again with the same key"):
            await batch(earn())


async def test_stopping_finishes_what_is_queued_and_takes_nothing_new(
    earn: Callable[..., Submission],
) -> None:
    apply = FakeApply()
    async with working(apply, lanes=1) as batch:
        tasks = [asyncio.create_task(batch(earn())) for _ in range(3)]
        await until(lambda: batch.queued == 3)
        batch.stop()
        with pytest.raises(Unavailable, match="ledger_stopping"):
            await batch(earn())
        apply.gate.set()
        assert len(await asyncio.gather(*tasks)) == 3
