"""Random histories: Postgres against the ledger written a second time."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from passferry_ledger.application.ports import Opening, Submission
from passferry_ledger.domain.commands import Command

LARGEST = 2**63 - 1
COMPARED = (
    "code",
    "is_replayed",
    "version",
    "previous_balance_minor",
    "balance_minor",
    "available_minor",
    "is_exhausted",
)


def random_command(
    chance: random.Random, make: Any, accounts: list[Any], said: list[Command]
) -> Command:
    """Mostly sensible, sometimes repeated, sometimes at the edges."""
    if said and chance.random() < 0.15:
        repeated = chance.choice(said)
        if chance.random() < 0.3:
            return replace(repeated, amount_minor=7)
        return repeated
    account = chance.choice(accounts)
    amount = chance.choice([1, 2, 5, 20, 100, chance.randrange(1, 300), LARGEST])
    kind = chance.choice(["earn", "earn", "redeem", "redeem", "redeem", "adjust"])
    if kind == "adjust" and chance.random() < 0.5:
        amount = -amount
    changes: dict[str, Any] = {"idempotency_key": f"k{chance.randrange(10**6)}"}
    if chance.random() < 0.2:
        changes["reference"] = f"r{chance.randrange(40)}"
    if chance.random() < 0.1:
        changes["unit"] = chance.choice(["points", "EUR"])
    if chance.random() < 0.3:
        changes |= {"pass_id": None, "external_id": account.external_id}
    return make.command(account, kind, amount, **changes)


@pytest.mark.parametrize("seed", range(4))
async def test_every_outcome_is_that_of_the_single_threaded_model(
    real: Any, make: Any, seed: int
) -> None:
    # proves: P11, A22
    chance = random.Random(seed)
    fake = make.fake_ledger()
    workspace, other = uuid4(), uuid4()
    programs = [
        make.program(workspace),
        make.program(workspace, protocol="COUPON", max_entry_minor=50),
        make.program(other, floor_minor=-30, max_balance_minor=400),
        make.program(other, max_per_day_minor=200),
    ]
    accounts = [make.account(each, opening_balance_minor=50) for each in programs for _ in "123"]
    stranger = make.account(programs[0])
    for store in (fake, real.accounts):
        await store.store_programs(programs)
        assert set(await store.open_accounts(accounts)) == {Opening.OPENED}
    said: list[Command] = []
    for _ in range(25):
        batch = [
            random_command(chance, make, [*accounts, stranger], said)
            for _ in range(chance.randrange(1, 60))
        ]
        said.extend(batch)
        submissions = [Submission(command=command) for command in batch]
        expected = await fake.apply(submissions, suspended=())
        actual = await real.commands.apply(submissions, suspended=())
        for command, right, found in zip(batch, expected, actual, strict=True):
            if right.version is None:
                assert found.code == right.code, (seed, command)
                continue
            for name in COMPARED:
                assert getattr(found, name) == getattr(right, name), (seed, name, command)
    assert await real.findings() == []


async def test_concurrent_redemptions_of_one_pass_never_overspend(real: Any, make: Any) -> None:
    account = await real.open_one(opening_balance_minor=100)
    outcomes = await asyncio.gather(
        *(real.apply(make.command(account, "redeem", 7)) for _ in range(40))
    )
    codes = [outcome.code for (outcome,) in outcomes]
    assert codes.count("applied") == 14
    assert codes.count("insufficient_balance") == 26
    assert await real.balance(account) == 2
    assert await real.findings() == []


async def test_one_key_sent_by_many_at_once_is_applied_once(real: Any, make: Any) -> None:
    account = await real.open_one()
    earn = make.command(account, "earn", 5)
    outcomes = await asyncio.gather(*(real.apply(earn) for _ in range(30)))
    assert sum(not outcome.is_replayed for (outcome,) in outcomes) == 1
    assert await real.balance(account) == 5


async def test_one_key_sent_for_two_passes_at_once_is_applied_to_one(real: Any, make: Any) -> None:
    program = make.program(uuid4())
    for _ in range(15):
        one, other = await real.open_one(program), await real.open_one(program)
        earn = make.command(one, "earn", 5)
        both = [earn, replace(earn, pass_id=other.pass_id)]
        outcomes = await asyncio.gather(*(real.apply(each) for each in both))
        assert sorted(outcome.code for (outcome,) in outcomes) == ["applied", "key_reused"]


async def test_one_reference_sent_for_two_passes_at_once_is_written_once(
    real: Any, make: Any
) -> None:
    program = make.program(uuid4())
    for number in range(15):
        one, other = await real.open_one(program), await real.open_one(program)
        outcomes = await asyncio.gather(
            *(
                real.apply(make.command(each, "earn", 5, reference=f"bill-{number}"))
                for each in (one, other)
            )
        )
        assert sorted(outcome.code for (outcome,) in outcomes) == ["applied", "reference_used"]


async def test_batches_that_cross_one_another_do_not_stand_still(real: Any, make: Any) -> None:
    chance = random.Random(7)
    program = make.program(uuid4())
    await real.accounts.store_programs([program])
    accounts = [make.account(program, opening_balance_minor=1_000) for _ in range(30)]
    await real.accounts.open_accounts(accounts)
    keys = [f"shared-{number}" for number in range(200)]

    def batch() -> list[Command]:
        chosen = chance.choices(accounts, k=25)
        return [
            make.command(account, "redeem", 1, idempotency_key=chance.choice(keys))
            for account in chosen
        ]

    results = await asyncio.gather(*(real.apply(*batch()) for _ in range(40)))
    applied = sum(
        outcome.code == "applied" and not outcome.is_replayed
        for outcomes in results
        for outcome in outcomes
    )
    total = 0
    for account in accounts:
        total += await real.balance(account)
    assert applied > 0
    assert total == 30_000 - applied
    assert await real.findings() == []


async def test_random_partial_uses_are_exact(real: Any, make: Any) -> None:
    # proves: A22
    chance = random.Random(3)
    account = await real.open_one(
        make.program(uuid4(), protocol="GIFT_CARD", unit="EUR", unit_scale=2),
        opening_balance_minor=150_000,
    )
    expected = 150_000
    for _ in range(10):
        batch = [
            make.command(account, "redeem", chance.choice([10, 20, 30, chance.randrange(1, 999)]))
            for _ in range(200)
        ]
        for command, outcome in zip(batch, await real.apply(*batch), strict=True):
            if expected >= command.amount_minor:
                expected -= command.amount_minor
                assert outcome.code == "applied"
            else:
                assert outcome.code == "insufficient_balance"
            assert outcome.balance_minor == expected >= 0
    assert expected < 1_000
    assert await real.findings() == []
