"""What time alone does, on real Postgres with a clock that the test moves."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from passferry_ledger.adapters.postgres_due import PostgresDue
from passferry_ledger.application.apply_commands import ApplyCommands
from passferry_ledger.application.keep_time import KeepTime

EXPIRING = "SELECT value FROM ledger.outbox WHERE headers LIKE '%points.expiring%' ORDER BY id"


@pytest.fixture
def time(real: Any, make: Any) -> KeepTime:
    workspaces = make.workspaces()
    keeper = KeepTime(
        due=PostgresDue(real.database),
        apply=ApplyCommands(ledger=real.commands, workspaces=workspaces),
        workspaces=workspaces,
        clock=real.clock,
        interval_s=3_600,
    )
    keeper.known_workspaces = workspaces  # type: ignore[attr-defined]  # for tests that suspend
    return keeper


async def told(real: Any) -> int:
    connection = await asyncpg.connect(real.harness.admin_url)
    try:
        return len(await connection.fetch(EXPIRING))
    finally:
        await connection.close()


def move_to(real: Any, moment: datetime) -> None:
    real.clock.advance(moment - real.clock.now())


def program_with(make: Any, rules: dict[str, Any], **changes: Any) -> Any:
    return make.program(uuid4(), rules=rules, **changes)


async def test_points_lapse_at_midnight_of_the_programs_zone(
    real: Any, make: Any, time: Any
) -> None:
    move_to(real, datetime(2026, 3, 1, 23, 30, tzinfo=UTC))  # the 2nd of March in Auckland
    rules = {"time_zone": "Pacific/Auckland", "expiry": {"kind": "after_days", "days": 30}}
    account = await real.open_one(program_with(make, rules))
    await real.apply(make.command(account, "earn", 100))
    move_to(real, datetime(2026, 4, 1, 10, 59, tzinfo=UTC))
    await time.once()
    assert await real.balance(account) == 100
    move_to(real, datetime(2026, 4, 1, 11, 0, tzinfo=UTC))  # still summer time there
    (refused,) = await real.apply(make.command(account, "redeem", 1))
    assert (refused.code, refused.available_minor) == ("insufficient_balance", 0)
    await time.once()
    assert await real.balance(account) == 0
    assert await real.findings() == []


async def test_a_round_twice_and_at_once_lapses_points_once(
    real: Any, make: Any, time: Any
) -> None:
    program = program_with(make, {"expiry": {"kind": "end_of_month", "months": 0}})
    accounts = [await real.open_one(program) for _ in range(5)]
    for account in accounts:
        await real.apply(make.command(account, "earn", 40))
    real.clock.advance(timedelta(days=31))
    await real.apply(make.command(accounts[0], "earn", 7))
    await asyncio.gather(time.once(), time.once(), time.once())
    await time.once()
    assert [await real.balance(account) for account in accounts] == [7, 0, 0, 0, 0]
    assert await real.findings() == []


async def test_what_is_held_lapses_only_after_the_hold_has_ended(
    real: Any, make: Any, time: Any
) -> None:
    account = await real.open_one(program_with(make, {"expiry": {"kind": "after_days", "days": 5}}))
    await real.apply(make.command(account, "earn", 100))
    real.clock.advance(timedelta(days=4))
    (held,) = await real.apply(make.command(account, "hold", 60))
    real.clock.advance(timedelta(days=3))
    await time.once()
    assert await real.balance(account) == 60
    # The hold of a week ends by itself, and then its points are over too.
    real.clock.advance(timedelta(days=5))
    await time.once()
    assert await real.balance(account) == 0
    (late,) = await real.apply(make.command(account, "capture", None, hold_id=held.entry_id))
    assert late.code == "hold_ended"
    assert await real.findings() == []


async def test_points_lapse_together_after_so_long_without_activity(
    real: Any, make: Any, time: Any
) -> None:
    account = await real.open_one(program_with(make, {"expiry": {"kind": "rolling", "days": 10}}))
    await real.apply(make.command(account, "earn", 50))
    for _ in range(3):
        real.clock.advance(timedelta(days=9))
        await time.once()
        await real.apply(make.command(account, "redeem", 1))
    assert await real.balance(account) == 47
    real.clock.advance(timedelta(days=11))
    await real.apply(make.command(account, "earn", 5))
    await time.once()
    assert await real.balance(account) == 5
    assert await real.findings() == []


async def test_a_tier_is_kept_or_lost_at_the_end_of_its_period(
    real: Any, make: Any, time: Any
) -> None:
    levels = [{"name": "silver", "from_minor": 100}, {"name": "gold", "from_minor": 500}]
    program = program_with(make, {"tiers": {"valid_days": 365, "levels": levels}})
    account = await real.open_one(program)
    (up,) = await real.apply(make.command(account, "earn", 600))
    assert (up.tier, [each.name for each in up.crossings]) == ("gold", ["gold"])
    tiers = []
    for earned in (120, 0):
        real.clock.advance(timedelta(days=364))
        if earned:
            await real.apply(make.command(account, "earn", earned))
        real.clock.advance(timedelta(days=2))
        await time.once()
        (after,) = await real.apply(make.command(account, "adjust", 1))
        tiers.append(after.tier)
    # 720 in the first period keep gold; nothing in the second loses it.
    assert tiers == ["gold", None]
    assert await real.findings() == []


@pytest.mark.parametrize(
    "expiry", [{"kind": "after_days", "days": 30}, {"kind": "rolling", "days": 30}]
)
async def test_what_lapses_soon_is_told_once(
    real: Any, make: Any, time: Any, expiry: dict[str, Any]
) -> None:
    rules = {"expiry": expiry, "announce_expiry_days": 7}
    account = await real.open_one(program_with(make, rules))
    silent = await real.open_one(program_with(make, {"expiry": expiry}))
    for each in (account, silent):
        await real.apply(make.command(each, "earn", 30))
    await time.once()
    assert await told(real) == 0
    real.clock.advance(timedelta(days=25))
    await asyncio.gather(time.once(), time.once())
    await time.once()
    assert await told(real) == 1


async def test_a_suspended_workspace_waits(real: Any, make: Any, time: Any) -> None:
    account = await real.open_one(program_with(make, {"expiry": {"kind": "after_days", "days": 1}}))
    await real.apply(make.command(account, "earn", 30))
    time.known_workspaces.suspended.add(account.workspace_id)
    real.clock.advance(timedelta(days=3))
    await time.once()
    assert await real.balance(account) == 30
    time.known_workspaces.suspended.clear()
    await time.once()
    assert await real.balance(account) == 0
