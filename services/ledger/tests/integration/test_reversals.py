"""Taking back, by many at once: every entry once, and everything adds up again."""

from __future__ import annotations

import asyncio
import random
from typing import Any
from uuid import UUID, uuid4

import pytest

from passferry_ledger.application.ports import Opening, Submission

pytestmark = pytest.mark.integration

ENTRIES = 500
PASSES = 80
RICH = 100_000
TOTAL = "SELECT coalesce(sum(amount_minor), 0)::bigint FROM posting WHERE workspace_id = $1"


async def total(real: Any, workspace_id: UUID) -> int:
    async with real.database.transaction([workspace_id]) as transaction:
        return int(await transaction.fetchval(TOTAL, workspace_id))


@pytest.mark.parametrize("seed", [11, 12])
async def test_500_entries_reversed_twice_at_once_are_each_reversed_once(
    real: Any, make: Any, fleet: list[Any], seed: int
) -> None:
    # proves: P11
    chance = random.Random(seed)
    program = make.program(
        uuid4(), rules={"expiry": {"kind": "after_days", "days": 30}, "time_zone": "Europe/Berlin"}
    )
    await real.accounts.store_programs([program])
    accounts = [make.account(program, opening_balance_minor=RICH) for _ in range(PASSES)]
    assert set(await real.accounts.open_accounts(accounts)) == {Opening.OPENED}
    commands = []
    for _ in range(ENTRIES):
        giver, receiver = chance.sample(accounts, 2)
        kind = chance.choice(["earn", "load", "redeem", "adjust", "transfer"])
        more = {"to_pass_id": receiver.pass_id} if kind == "transfer" else {}
        commands.append(make.command(giver, kind, chance.randrange(1, 100), **more))
    entries = []
    for start in range(0, ENTRIES, 100):
        entries.extend(await real.apply(*commands[start : start + 100]))
    assert {outcome.code for outcome in entries} == {"applied"}
    twice = [
        make.command(account_of(accounts, outcome), "reverse", None, reverses=outcome.entry_id)
        for outcome in entries * 2
    ]
    chance.shuffle(twice)
    async with asyncio.timeout(90):
        told = await asyncio.gather(*(chance.choice(fleet).tell(command) for command in twice))
    codes = [outcome.code for outcome in told]
    assert codes.count("applied") == ENTRIES, seed
    assert codes.count("already_reversed") == ENTRIES, seed
    assert [await real.balance(account) for account in accounts] == [RICH] * PASSES, seed
    assert await total(real, program.workspace_id) == 0
    assert await real.findings() == []


def account_of(accounts: list[Any], outcome: Any) -> Any:
    return next(account for account in accounts if account.pass_id == outcome.pass_id)


async def test_partial_refunds_at_once_never_give_back_more_than_was_spent(
    real: Any, make: Any, fleet: list[Any]
) -> None:
    program = make.program(uuid4(), rules={"expiry": {"kind": "after_days", "days": 30}})
    account = await real.open_one(program, opening_balance_minor=100)
    (spent,) = await real.apply(make.command(account, "redeem", 95))
    refunds = [make.command(account, "reverse", 10, reverses=spent.entry_id) for _ in range(20)]
    told = await asyncio.gather(
        *(fleet[place % 3].tell(command) for place, command in enumerate(refunds))
    )
    codes = [outcome.code for outcome in told]
    assert (codes.count("applied"), codes.count("reversal_exceeds_entry")) == (9, 11)
    (rest,) = await real.apply(make.command(account, "reverse", None, reverses=spent.entry_id))
    assert (rest.change_minor, rest.balance_minor) == (5, 100)
    assert await real.findings() == []


async def test_a_reference_names_the_entry_in_the_batch_that_writes_it_too(
    real: Any, make: Any
) -> None:
    account = await real.open_one(opening_balance_minor=100)
    spend = make.command(account, "redeem", 30, reference="bill-1")
    refund = make.command(account, "reverse", None, reverses_reference="bill-1")
    again = make.command(account, "reverse", None, reverses_reference="bill-1")
    outcomes = await real.apply(spend, refund, again)
    assert [each.code for each in outcomes] == ["applied", "applied", "already_reversed"]
    assert outcomes[1].reverses == outcomes[0].entry_id
    assert await real.findings() == []


async def test_entries_of_another_workspace_cannot_be_reversed(real: Any, make: Any) -> None:
    # proves: J93
    one, other = await real.open_one(opening_balance_minor=9), await real.open_one()
    (spent,) = await real.apply(make.command(one, "redeem", 5, reference="bill-1"))
    by_id = make.command(other, "reverse", None, reverses=spent.entry_id)
    by_reference = make.command(other, "reverse", None, reverses_reference="bill-1")
    codes = [outcome.code for outcome in await real.apply(by_id, by_reference)]
    assert codes == ["entry_unknown", "entry_unknown"]
    # Not even when both are in one batch.
    told = await real.commands.apply(
        [
            Submission(command=make.command(other, "reverse", None, reverses=spent.entry_id)),
            Submission(command=make.command(one, "reverse", None, reverses=spent.entry_id)),
        ],
        suspended=(),
    )
    assert [outcome.code for outcome in told] == ["entry_unknown", "applied"]
