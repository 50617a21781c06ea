"""Several ledgers on one database, many callers on few passes: as if one did it one by one."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest

from passferry_ledger.application.ports import Submission
from passferry_ledger.domain.commands import Command
from passferry_ledger.domain.outcomes import Outcome

pytestmark = pytest.mark.integration

CALLERS = 30
COMMANDS_PER_CALLER = 25


@dataclass(frozen=True)
class Call:
    began_ns: int
    ended_ns: int
    outcome: Outcome


@dataclass(frozen=True)
class Change:
    """What a call says of one pass."""

    version: int
    before: int
    after: int
    call: Call


async def call(replica: Any, command: Command) -> Call:
    began = time.perf_counter_ns()
    outcome = await replica.tell(command)
    return Call(began, time.perf_counter_ns(), outcome)


def changes_of(calls: list[Call], pass_id: UUID) -> list[Change]:
    """In the order of versions, each once."""
    found = {}
    for each in calls:
        outcome = each.outcome
        if outcome.code != "applied" or outcome.is_replayed:
            continue
        for side in (outcome, outcome.other):
            if side is not None and side.pass_id == pass_id:
                change = Change(side.version, side.previous_balance_minor, side.balance_minor, each)
                assert found.setdefault(side.version, change) is change, "a version came twice"
    return [found[version] for version in sorted(found)]


def check_history(calls: list[Call], pass_id: UUID, opening: int) -> None:
    changes = changes_of(calls, pass_id)
    # The opening was version 1.
    assert [each.version for each in changes] == list(range(2, len(changes) + 2))
    balances = {1: opening} | {each.version: each.after for each in changes}
    assert all(each.before == balances[each.version - 1] for each in changes)
    for earlier, later in pairwise(changes):
        assert earlier.after == later.before
    last_began = 0
    for change in changes:
        # Whatever came before by its version must not have begun after this had ended.
        last_began = max(last_began, change.call.began_ns)
        assert change.call.ended_ns > last_began, change
    check_refusals(calls, pass_id, changes, balances)


def check_refusals(
    calls: list[Call], pass_id: UUID, changes: list[Change], balances: dict[int, int]
) -> None:
    """A refusal is a read: it tells a balance that was true at some time during the call."""
    for each in calls:
        outcome = each.outcome
        if outcome.pass_id != pass_id or outcome.code != "insufficient_balance":
            continue
        if outcome.is_replayed:
            continue
        assert outcome.balance_minor == balances[outcome.version]
        known = [change.version for change in changes if change.call.ended_ns < each.began_ns]
        future = [change.version for change in changes if change.call.began_ns > each.ended_ns]
        assert max(known, default=1) <= outcome.version < min(future, default=2**63)


@pytest.mark.parametrize("seed", [1, 2])
async def test_each_pass_has_one_history_that_agrees_with_the_clock(
    real: Any, make: Any, fleet: list[Any], seed: int
) -> None:
    # proves: P11
    chance = random.Random(seed)
    program = make.program(uuid4())
    accounts = [await real.open_one(program, opening_balance_minor=60) for _ in range(5)]
    said: list[Command] = []

    def next_command() -> Command:
        if said and chance.random() < 0.1:
            return chance.choice(said)
        account, other = chance.sample(accounts, 2)
        kind = chance.choice(["earn", "redeem", "redeem", "transfer", "transfer", "adjust"])
        more = {"to_pass_id": other.pass_id} if kind == "transfer" else {}
        command: Command = make.command(account, kind, chance.randrange(1, 40), **more)
        said.append(command)
        return command

    async def caller() -> list[Call]:
        return [
            await call(chance.choice(fleet), next_command()) for _ in range(COMMANDS_PER_CALLER)
        ]

    histories = await asyncio.gather(*(caller() for _ in range(CALLERS)))
    calls = [each for history in histories for each in history]
    codes = {each.outcome.code for each in calls}
    assert codes == {"applied", "insufficient_balance"}, seed
    assert any(each.outcome.is_replayed for each in calls), seed
    for account in accounts:
        check_history(calls, account.pass_id, 60)
    assert await real.findings() == []


def test_a_history_that_does_not_agree_with_the_clock_is_found(make: Any) -> None:
    pass_id = uuid4()

    def applied(began: int, ended: int, version: int, balance: int) -> Call:
        outcome = Outcome(
            code="applied",
            pass_id=pass_id,
            version=version,
            previous_balance_minor=balance - 1,
            balance_minor=balance,
        )
        return Call(began, ended, outcome)

    check_history([applied(1, 4, 2, 11), applied(2, 3, 3, 12)], pass_id, 10)
    faulty = [
        [applied(5, 6, 2, 11), applied(1, 2, 3, 12)],
        [applied(1, 2, 2, 11), applied(3, 4, 4, 12)],
        [applied(1, 2, 2, 11), applied(3, 4, 3, 13)],
        [applied(1, 2, 2, 11), applied(3, 4, 2, 11)],
    ]
    for history in faulty:
        with pytest.raises(AssertionError):
            check_history(history, pass_id, 10)


async def test_transfers_both_ways_at_once_neither_stand_still_nor_lose_anything(
    real: Any, make: Any, fleet: list[Any]
) -> None:
    # proves: P11
    program = make.program(uuid4())
    accounts = [await real.open_one(program, opening_balance_minor=10_000) for _ in range(4)]
    chance = random.Random(5)

    def batch() -> list[Submission]:
        """In no order at all: the ledger takes the locks in its own."""
        pairs = [chance.sample(accounts, 2) for _ in range(20)]
        return [
            Submission(command=make.command(giver, "transfer", 1, to_pass_id=receiver.pass_id))
            for giver, receiver in pairs
        ]

    async with asyncio.timeout(30):
        told = await asyncio.gather(
            *(replica.store.apply(batch(), suspended=()) for replica in fleet * 15)
        )
    assert {outcome.code for outcomes in told for outcome in outcomes} == {"applied"}
    balances = [await real.balance(account) for account in accounts]
    assert sum(balances) == 40_000
    assert await real.findings() == []


async def test_one_key_at_several_ledgers_is_applied_once(
    real: Any, make: Any, fleet: list[Any]
) -> None:
    # proves: P11
    account = await real.open_one(opening_balance_minor=100)
    command = make.command(account, "redeem", 7)
    outcomes = await asyncio.gather(*(replica.tell(command) for replica in fleet * 10))
    assert sum(not outcome.is_replayed for outcome in outcomes) == 1
    assert {outcome.version for outcome in outcomes} == {2}
    assert await real.balance(account) == 93
