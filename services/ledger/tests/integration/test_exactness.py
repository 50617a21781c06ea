"""Exact to the cent, never below zero, and what is used up stays used up."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from passferry_ledger.domain.accounts import Closing, PassAddress

pytestmark = pytest.mark.integration

USES = 10_000
BATCH = 250


def voiding_of(account: Any) -> Closing:
    """What `pass.voided` asks for."""
    return Closing(
        workspace_id=account.workspace_id,
        pass_id=account.pass_id,
        reason="exhausted",
        closed_at=account.opened_at + timedelta(minutes=1),
    )


async def view_of(real: Any, account: Any) -> Any:
    address = PassAddress(workspace_id=account.workspace_id, pass_id=account.pass_id)
    return await real.reads.find_account(address)


async def test_cents_add_up_as_on_paper(real: Any, make: Any) -> None:
    # proves: A22
    account = await real.open_one(make.program(uuid4(), unit="EUR", unit_scale=2))
    outcomes = await real.apply(
        make.command(account, "load", 10), make.command(account, "load", 20)
    )
    assert outcomes[-1].balance_minor == 30
    (spent,) = await real.apply(make.command(account, "redeem", 30))
    assert (spent.code, spent.balance_minor) == ("applied", 0)
    dimes = await real.apply(*(make.command(account, "load", 10) for _ in range(10)))
    assert dimes[-1].balance_minor == 100
    # 4.35 times 100 is 434.99999999999994 for those who count in fractions.
    assert (await real.apply(make.command(account, "load", 435)))[0].balance_minor == 535
    (refused,) = await real.apply(make.command(account, "redeem", 536))
    assert (refused.code, refused.available_minor) == ("insufficient_balance", 535)


@pytest.mark.parametrize(
    ("unit", "scale", "amount"), [("JPY", 0, 1_000), ("EUR", 2, 2**53 + 1), ("KWD", 3, 2**62 + 1)]
)
async def test_every_scale_of_money_is_a_whole_number(
    real: Any, make: Any, unit: str, scale: int, amount: int
) -> None:
    # proves: A22
    account = await real.open_one(make.program(uuid4(), unit=unit, unit_scale=scale))
    loaded, spent = await real.apply(
        make.command(account, "load", amount), make.command(account, "redeem", 1)
    )
    assert (loaded.balance_minor, spent.balance_minor) == (amount, amount - 1)
    assert (spent.unit, spent.unit_scale) == (unit, scale)
    assert await real.balance(account) == amount - 1


async def test_ten_thousand_random_uses_of_a_coupon_never_go_negative_nor_un_void(
    real: Any, make: Any
) -> None:
    # proves: A22, A26, A18
    chance = random.Random(22)
    account = await real.open_one(
        make.program(uuid4(), protocol="COUPON", unit="EUR", unit_scale=2),
        opening_balance_minor=200_000,
    )
    left, exhausted, entries, refusals = 200_000, 0, [], set()
    for _ in range(USES // BATCH):
        batch = [
            make.command(account, chance.choice(["use", "redeem"]), chance.randrange(1, 60))
            for _ in range(BATCH)
        ]
        for command, outcome in zip(batch, await real.apply(*batch), strict=True):
            assert outcome.balance_minor >= 0
            if outcome.code == "applied":
                left -= command.amount_minor
                entries.append(outcome.entry_id)
                exhausted += outcome.is_exhausted
            else:
                refusals.add(outcome.code)
            assert outcome.balance_minor == left
        if left == 0:
            # pass-issuer hears `exhausted` and voids the pass.
            await real.accounts.close_accounts([voiding_of(account)])
        elif left < 60:
            await real.apply(make.command(account, "redeem", None, everything=True))
            left, exhausted = 0, exhausted + 1
    assert (left, exhausted) == (0, 1)
    assert refusals == {"insufficient_balance", "account_closed"}
    assert (await view_of(real, account)).status == "closed"
    await nothing_opens_it_again(real, make, account, chance.sample(entries, 20))
    assert await real.findings() == []


async def nothing_opens_it_again(real: Any, make: Any, account: Any, entries: list[Any]) -> None:
    """Late commands are refused; reversals give back, and nobody can spend what they give."""
    late = [
        make.command(account, "load", 500),
        make.command(account, "earn", 500),
        make.command(account, "adjust", 500),
        make.command(account, "use", 1),
    ]
    assert {outcome.code for outcome in await real.apply(*late)} == {"account_closed"}
    refunds = [make.command(account, "reverse", None, reverses=entry) for entry in entries]
    given = await real.apply(*refunds)
    assert {outcome.code for outcome in given} == {"applied"}
    assert {outcome.is_exhausted for outcome in given} == {False}
    view = await view_of(real, account)
    assert (view.status, view.available_minor) == ("closed", 0)
    assert view.balance_minor == sum(outcome.change_minor for outcome in given) > 0
    (refused,) = await real.apply(make.command(account, "redeem", 1))
    assert refused.code == "account_closed"
    # Whoever tells it twice closes it once.
    await real.accounts.close_accounts([voiding_of(account)])
    assert (await view_of(real, account)).closed_reason == "exhausted"


async def test_ten_thousand_random_moves_of_a_gift_card_are_exact(real: Any, make: Any) -> None:
    # proves: A22
    chance = random.Random(23)
    account = await real.open_one(
        make.program(uuid4(), protocol="GIFT_CARD", unit="EUR", unit_scale=2),
        opening_balance_minor=3_000,
    )
    left, codes = 3_000, set()
    for _ in range(USES // BATCH):
        batch = [
            make.command(
                account,
                chance.choice(["use", "redeem", "redeem", "load"]),
                chance.choice([10, 20, 30, chance.randrange(1, 500)]),
            )
            for _ in range(BATCH)
        ]
        for command, outcome in zip(batch, await real.apply(*batch), strict=True):
            change = command.amount_minor if command.kind == "load" else -command.amount_minor
            codes.add(outcome.code)
            assert outcome.code == ("applied" if left + change >= 0 else "insufficient_balance")
            left += change if outcome.code == "applied" else 0
            assert outcome.balance_minor == left >= 0
            assert outcome.is_exhausted is False
    assert codes == {"applied", "insufficient_balance"}
    assert await real.balance(account) == left
    assert (await view_of(real, account)).status == "open"
    assert await real.findings() == []
