"""Sequences that once made, lost or overdrew points, or stopped their neighbours."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from passferry_ledger.adapters.postgres_due import PostgresDue
from passferry_ledger.application.apply_commands import ApplyCommands
from passferry_ledger.application.keep_time import KeepTime
from passferry_ledger.domain.accounts import Closing
from passferry_runtime.errors import RetryLater
from passferry_runtime.postgres import Transaction

LARGEST = 2**63 - 1
MONTH = {"expiry": {"kind": "end_of_month", "months": 0}}


@pytest.fixture
def time(real: Any, make: Any) -> KeepTime:
    workspaces = make.workspaces()
    return KeepTime(
        due=PostgresDue(real.database),
        apply=ApplyCommands(ledger=real.commands, workspaces=workspaces),
        workspaces=workspaces,
        clock=real.clock,
        interval_s=3_600,
    )


@pytest.mark.parametrize(("who", "code"), [("third", "entry_unknown"), ("unknown", "pass_unknown")])
async def test_a_reversal_in_the_name_of_another_pass_spoils_no_batch(
    real: Any, make: Any, who: str, code: str
) -> None:
    program = make.program(uuid4(), rules=MONTH)
    giver, receiver, third = [await real.open_one(program) for _ in range(3)]
    await real.apply(make.command(giver, "earn", 100))
    (moved,) = await real.apply(make.command(giver, "transfer", 40, to_pass_id=receiver.pass_id))
    reversal = make.command(third, "reverse", None, reverses=moved.entry_id)
    if who == "unknown":
        reversal = replace(reversal, pass_id=uuid4())
    refused, earned = await real.apply(reversal, make.command(third, "earn", 1))
    assert (refused.code, earned.code) == (code, "applied")


async def test_a_debt_does_not_stand_beside_points_that_could_pay_it(
    real: Any, make: Any, time: KeepTime
) -> None:
    account = await real.open_one(make.program(uuid4(), rules=MONTH, floor_minor=-50))
    await real.apply(make.command(account, "earn", 100))
    (spent,) = await real.apply(make.command(account, "redeem", 100))
    await real.apply(make.command(account, "redeem", 50))
    await real.apply(make.command(account, "reverse", None, reverses=spent.entry_id))
    (last,) = await real.apply(make.command(account, "redeem", 50))
    assert (last.code, last.balance_minor) == ("applied", 0)
    real.clock.advance(timedelta(days=40))
    await time.once()
    await real.apply(make.command(account, "earn", 30))
    await time.once()
    assert await real.balance(account) == 30
    assert await real.findings() == []


async def test_what_was_spent_before_points_began_is_paid_by_them(
    real: Any, make: Any, time: KeepTime
) -> None:
    rules = {"pending_days": 5, "expiry": {"kind": "after_days", "days": 20}}
    account = await real.open_one(make.program(uuid4(), rules=rules, floor_minor=-50))
    await real.apply(make.command(account, "earn", 100), make.command(account, "redeem", 50))
    real.clock.advance(timedelta(days=6))
    await real.apply(make.command(account, "redeem", 50))
    real.clock.advance(timedelta(days=40))
    await time.once()
    await real.apply(make.command(account, "load", 30))
    await time.once()
    assert await real.balance(account) == 30
    assert await real.findings() == []


async def test_points_do_not_lapse_below_a_positive_floor(
    real: Any, make: Any, time: KeepTime
) -> None:
    account = await real.open_one(make.program(uuid4(), rules=MONTH, floor_minor=10))
    await real.apply(make.command(account, "earn", 30))
    real.clock.advance(timedelta(days=40))
    await time.once()
    assert await real.balance(account) == 10
    assert await real.findings() == []


async def test_a_day_that_was_counted_does_not_come_again(real: Any, make: Any) -> None:
    program = make.program(uuid4(), max_per_day_minor=10)
    account = await real.open_one(program, opening_balance_minor=100)
    real.clock.advance(timedelta(hours=12, seconds=1))
    codes = []
    for amount, later in ((10, -2), (1, 2), (1, 0)):
        (outcome,) = await real.apply(make.command(account, "redeem", amount))
        codes.append(outcome.code)
        real.clock.advance(timedelta(seconds=later))
    assert codes == ["applied", "day_limit_exceeded", "day_limit_exceeded"]


async def test_sums_beyond_64_bits_are_refused_by_name(real: Any, make: Any) -> None:
    deep = await real.open_one(
        make.program(uuid4(), floor_minor=-LARGEST), opening_balance_minor=LARGEST
    )
    await real.apply(make.command(deep, "hold", LARGEST))
    rules = {"earn": {"points": 10, "per_minor": 1, "purchase_unit": "EUR"}}
    debtor = await real.open_one(
        make.program(deep.workspace_id, floor_minor=-100, rules=rules), opening_balance_minor=-100
    )
    purchase = (LARGEST + 50) // 10 + 1
    held, earned = await real.apply(
        make.command(deep, "hold", LARGEST),
        make.command(debtor, "earn", None, purchase_minor=purchase),
    )
    assert (held.code, earned.code) == ("amount_out_of_range", "amount_out_of_range")


async def test_openings_that_were_rolled_back_leave_no_trace(
    real: Any, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = make.program(uuid4())
    await real.accounts.store_programs([program])
    account = replace(make.account(program, opening_balance_minor=5), unit="stamps")

    async def lost(self: Transaction) -> bool:
        raise asyncpg.ConnectionDoesNotExistError("the commit was lost")

    with monkeypatch.context() as broken:
        broken.setattr(Transaction, "write_outbox", lost)
        with pytest.raises(RetryLater):
            await real.accounts.open_accounts([account])
    await real.accounts.open_accounts([account])
    assert await real.balance(account) == 5
    assert await real.findings() == []


async def test_nobody_can_use_up_the_keys_of_the_scheduler(
    real: Any, make: Any, time: KeepTime
) -> None:
    account = await real.open_one(make.program(uuid4()), opening_balance_minor=100)
    (held,) = await real.apply(make.command(account, "hold", 60))
    real.clock.advance(timedelta(days=8))
    key = f"hold-expired:{held.entry_id}:{real.clock.now().date().isoformat()}"
    await real.apply(make.command(account, "load", 1, idempotency_key=key))
    await time.once()
    (spent,) = await real.apply(make.command(account, "redeem", 100))
    assert spent.code == "applied"


async def test_limits_of_a_redemption_bind_every_way_of_redeeming(real: Any, make: Any) -> None:
    rules = {"redeem": {"minimum_minor": 10, "maximum_minor": 50}}
    account = await real.open_one(make.program(uuid4(), rules=rules), opening_balance_minor=600)
    outcomes = await real.apply(
        make.command(account, "redeem", None, everything=True),
        make.command(account, "hold", 400),
        make.command(account, "hold", 1),
        make.command(account, "hold", 50),
    )
    assert [outcome.code for outcome in outcomes] == [
        "redemption_too_large",
        "redemption_too_large",
        "redemption_too_small",
        "applied",
    ]


async def test_a_tier_that_is_over_multiplies_nothing(real: Any, make: Any) -> None:
    rules = {
        "earn": {"points": 1, "per_minor": 1, "purchase_unit": "EUR"},
        "tiers": {
            "valid_days": 10,
            "levels": [{"name": "gold", "from_minor": 100, "earn_percent": 300}],
        },
    }
    account = await real.open_one(make.program(uuid4(), rules=rules))
    await real.apply(make.command(account, "earn", 100))
    real.clock.advance(timedelta(days=9))
    (golden,) = await real.apply(make.command(account, "earn", None, purchase_minor=5))
    real.clock.advance(timedelta(days=2))
    (kept,) = await real.apply(make.command(account, "earn", None, purchase_minor=5))
    real.clock.advance(timedelta(days=11))
    (plain,) = await real.apply(make.command(account, "earn", None, purchase_minor=5))
    assert [each.change_minor for each in (golden, kept, plain)] == [15, 15, 5]


@pytest.mark.parametrize(
    ("by_manager", "code"), [(False, "reversal_needs_manager"), (True, "applied")]
)
async def test_who_may_not_adjust_may_not_reverse_an_adjustment(
    real: Any, make: Any, by_manager: bool, code: str
) -> None:
    account = await real.open_one(opening_balance_minor=100)
    (taken,) = await real.apply(make.command(account, "adjust", -90))
    (outcome,) = await real.apply(
        make.command(account, "reverse", None, reverses=taken.entry_id, by_manager=by_manager)
    )
    assert outcome.code == code


async def test_a_replay_finds_its_pass_after_the_name_went_to_another(real: Any, make: Any) -> None:
    program = make.program(uuid4())
    old = await real.open_one(program, opening_balance_minor=10)
    earn = make.command(old, "earn", 5, pass_id=None, external_id=old.external_id)
    (first,) = await real.apply(earn)
    ended = Closing(
        workspace_id=old.workspace_id,
        pass_id=old.pass_id,
        reason="voided",
        closed_at=real.clock.now(),
    )
    await real.accounts.close_accounts([ended])
    new = await real.open_one(program, external_id=old.external_id)
    (again,) = await real.apply(earn)
    assert (again.is_replayed, again.entry_id, again.pass_id) == (True, first.entry_id, old.pass_id)
    assert await real.balance(new) == 0


async def test_a_use_says_nothing_that_its_protocol_ignores(real: Any, make: Any) -> None:
    workspace = uuid4()
    ticket = await real.open_one(
        make.program(workspace, protocol="EVENT_TICKET", unit="entries"), opening_balance_minor=3
    )
    coupon = await real.open_one(
        make.program(workspace, protocol="COUPON", unit="uses"), opening_balance_minor=3
    )
    outcomes = await real.apply(
        make.command(ticket, "use", 3), make.command(coupon, "use", None, purchase_minor=5)
    )
    assert [outcome.code for outcome in outcomes] == ["action_not_supported"] * 2


@pytest.mark.parametrize("is_in_time", [True, False])
async def test_points_that_had_lapsed_pay_no_debt(
    real: Any, make: Any, time: KeepTime, is_in_time: bool
) -> None:
    rules = {"expiry": {"kind": "after_days", "days": 2}}
    account = await real.open_one(make.program(uuid4(), rules=rules, floor_minor=-50))
    await real.apply(make.command(account, "earn", 20))
    real.clock.advance(timedelta(days=4))
    if is_in_time:
        await time.once()
    first, second = await real.apply(
        make.command(account, "redeem", 50), make.command(account, "redeem", 20)
    )
    assert (first.code, second.code) == ("applied", "insufficient_balance")


@pytest.mark.parametrize("is_captured_first", [True, False])
async def test_a_hold_rests_on_lapsed_points_whatever_comes_first(
    real: Any, make: Any, time: KeepTime, is_captured_first: bool
) -> None:
    account = await real.open_one(
        make.program(uuid4(), rules={"expiry": {"kind": "after_days", "days": 2}})
    )
    await real.apply(make.command(account, "load", 20), make.command(account, "earn", 20))
    (held,) = await real.apply(make.command(account, "hold", 10))
    real.clock.advance(timedelta(days=4))
    capture = make.command(account, "capture", None, hold_id=held.entry_id)
    if is_captured_first:
        await real.apply(capture)
        await time.once()
    else:
        await time.once()
        await real.apply(capture)
    assert await real.balance(account) == 20
    assert await real.findings() == []
