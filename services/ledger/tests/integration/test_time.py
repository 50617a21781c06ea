"""What time alone does, on real Postgres with a clock that the test moves."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from passferry_ledger.adapters.postgres_due import BY_INDEX_ONLY, LOOKS, PostgresDue
from passferry_ledger.adapters.postgres_turn import PostgresTurn
from passferry_ledger.application.apply_commands import ApplyCommands
from passferry_ledger.application.keep_time import ROWS_PER_LOOK, Duty, KeepTime
from passferry_ledger.domain.accounts import Closing

EXPIRING = "SELECT value FROM ledger.outbox WHERE headers LIKE '%points.expiring%' ORDER BY id"


def keeper(real: Any, workspaces: Any, turn: PostgresTurn | None = None) -> KeepTime:
    """Without a turn, keys alone keep replicas apart."""
    return KeepTime(
        due=PostgresDue(real.database),
        apply=ApplyCommands(ledger=real.commands, workspaces=workspaces),
        workspaces=workspaces,
        turn=turn,
        clock=real.clock,
        interval_s=3_600,
    )


@pytest.fixture
def known(make: Any) -> Any:
    return make.workspaces()


@pytest.fixture
def time(real: Any, known: Any) -> KeepTime:
    return keeper(real, known)


async def as_owner(real: Any, sql: str) -> list[Any]:
    connection = await asyncpg.connect(real.harness.admin_url)
    try:
        return await connection.fetch(sql)
    finally:
        await connection.close()


async def told(real: Any) -> int:
    return len(await as_owner(real, EXPIRING))


async def asked(real: Any) -> int:
    """Commands that the scheduler gave and that were decided."""
    sql = "SELECT 1 FROM ledger.idempotency_result WHERE recorded_by = 'ledger:scheduler'"
    return len(await as_owner(real, sql))


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
    real: Any, make: Any, time: Any, known: Any
) -> None:
    program = program_with(make, {"expiry": {"kind": "end_of_month", "months": 0}})
    accounts = [await real.open_one(program) for _ in range(5)]
    for account in accounts:
        await real.apply(make.command(account, "earn", 40))
    real.clock.advance(timedelta(days=31))
    await real.apply(make.command(accounts[0], "earn", 7))
    replicas = [keeper(real, known) for _ in range(2)]
    await asyncio.gather(*(replica.once() for replica in (time, time, *replicas)))
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


async def test_a_suspended_workspace_waits(real: Any, make: Any, time: Any, known: Any) -> None:
    account = await real.open_one(program_with(make, {"expiry": {"kind": "after_days", "days": 1}}))
    await real.apply(make.command(account, "earn", 30))
    known.suspended.add(account.workspace_id)
    real.clock.advance(timedelta(days=3))
    await time.once()
    assert await real.balance(account) == 30
    known.suspended.clear()
    await time.once()
    assert await real.balance(account) == 0


ZONES = [
    # Clocks go back in Auckland on the 5th of April, forward in New York on the 8th of March.
    ("Pacific/Auckland", {"kind": "after_days", "days": 2}, "2026-04-03T20:00", "2026-04-06T12:00"),
    ("America/New_York", {"kind": "after_days", "days": 2}, "2026-03-06T20:00", "2026-03-09T04:00"),
    ("America/New_York", {"kind": "after_days", "days": 1}, "2026-03-06T20:00", "2026-03-08T05:00"),
    (
        "Pacific/Auckland",
        {"kind": "end_of_month", "months": 0},
        "2026-01-31T11:30",
        "2026-02-28T11:00",
    ),
    (
        "America/New_York",
        {"kind": "end_of_month", "months": 1},
        "2026-02-01T04:59",
        "2026-03-01T05:00",
    ),
    (
        "Pacific/Auckland",
        {"kind": "end_of_year", "years": 0},
        "2026-12-31T10:59",
        "2026-12-31T11:00",
    ),
    (
        "America/New_York",
        {"kind": "end_of_year", "years": 1},
        "2026-01-01T04:00",
        "2027-01-01T05:00",
    ),
]


@pytest.mark.parametrize(("zone", "expiry", "earned", "over"), ZONES)
async def test_points_lapse_when_the_programs_day_month_or_year_is_over(
    real: Any, make: Any, time: Any, zone: str, expiry: dict[str, Any], earned: str, over: str
) -> None:
    account = await real.open_one(program_with(make, {"time_zone": zone, "expiry": expiry}))
    move_to(real, datetime.fromisoformat(f"{earned}+00:00"))
    await real.apply(make.command(account, "earn", 10))
    move_to(real, datetime.fromisoformat(f"{over}+00:00") - timedelta(seconds=1))
    await time.once()
    assert await real.balance(account) == 10
    real.clock.advance(timedelta(seconds=1))
    await time.once()
    assert await real.balance(account) == 0


async def test_pending_points_begin_and_then_lapse(real: Any, make: Any, time: Any) -> None:
    rules = {"expiry": {"kind": "after_days", "days": 20}, "pending_days": 7}
    account = await real.open_one(program_with(make, rules))
    (earned,) = await real.apply(make.command(account, "earn", 10))
    assert earned.available_minor == 0
    real.clock.advance(timedelta(days=7))
    (held,) = await real.apply(make.command(account, "hold", 4))
    assert (held.code, held.available_minor) == ("applied", 6)
    real.clock.advance(timedelta(days=14))
    await time.once()
    # The hold has ended by then, and its points with it.
    assert await real.balance(account) == 0
    assert await real.findings() == []


async def test_months_go_by_and_everything_lapses_once(real: Any, make: Any, time: Any) -> None:
    rules = {"expiry": {"kind": "end_of_month", "months": 2}, "announce_expiry_days": 10}
    account = await real.open_one(program_with(make, rules))
    for _ in range(12):
        await real.apply(make.command(account, "earn", 100), make.command(account, "redeem", 30))
        for _ in range(6):
            real.clock.advance(timedelta(days=5))
            await time.once()
    rows = await as_owner(real, "SELECT count(*) AS lots FROM ledger.entry WHERE kind = 'expire'")
    ended = 12 * 100 - 12 * 30 - await real.balance(account)
    assert ended > 0
    assert await told(real) >= rows[0]["lots"] >= 8
    assert await real.findings() == []


async def test_nothing_is_ordered_in_vain(real: Any, make: Any, time: Any) -> None:
    rules = {"expiry": {"kind": "after_days", "days": 2}}
    held = await real.open_one(program_with(make, rules))
    closed = await real.open_one(program_with(make, rules))
    program = program_with(make, rules)
    paused = await real.open_one(program)
    for account in (held, closed, paused):
        await real.apply(make.command(account, "earn", 10))
    (hold,) = await real.apply(
        make.command(held, "hold", 10, hold_until=real.clock.now() + timedelta(days=20))
    )
    await real.apply(make.command(paused, "hold", 1))
    await real.apply(make.command(closed, "close", None))
    await real.accounts.store_programs([replace(program, status="suspended", revision=2)])
    for _ in range(10):
        real.clock.advance(timedelta(days=1))
        await time.once()
        await time.once()
    assert await asked(real) == 0
    # What is no longer held lapses at the next look, on whatever day it was refused or not.
    await real.apply(make.command(held, "release", None, hold_id=hold.entry_id))
    await real.accounts.store_programs([replace(program, status="active", revision=3)])
    real.clock.advance(timedelta(hours=1))
    await time.once()
    assert [await real.balance(each) for each in (held, closed, paused)] == [0, 10, 0]
    assert await asked(real) == 3
    assert await real.findings() == []


async def test_a_closed_pass_lets_go_of_what_it_held(real: Any, make: Any, time: Any) -> None:
    account = await real.open_one(opening_balance_minor=10)
    await real.apply(make.command(account, "hold", 4))
    voided = Closing(
        workspace_id=account.workspace_id,
        pass_id=account.pass_id,
        reason="voided",
        closed_at=real.clock.now(),
    )
    await real.accounts.close_accounts([voided])
    real.clock.advance(timedelta(days=8))
    await time.once()
    (row,) = await as_owner(real, "SELECT held_minor FROM ledger.account WHERE kind = 'pass'")
    assert row["held_minor"] == 0
    assert await real.findings() == []


async def test_more_than_one_look_takes_in_is_done_in_one_round(
    real: Any, make: Any, time: Any
) -> None:
    rules = {"expiry": {"kind": "after_days", "days": 5}, "announce_expiry_days": 2}
    program = program_with(make, rules)
    await real.accounts.store_programs([program])
    accounts = [make.account(program) for _ in range(ROWS_PER_LOOK * 2 + 1)]
    await real.accounts.open_accounts(accounts)
    await real.apply(*(make.command(account, "earn", 3) for account in accounts))
    real.clock.advance(timedelta(days=4))
    await time.once()
    assert await told(real) == len(accounts)
    real.clock.advance(timedelta(days=4))
    await time.once()
    assert await asked(real) == len(accounts)
    (row,) = await as_owner(
        real, "SELECT sum(balance_minor)::bigint AS left_over FROM ledger.account"
    )
    assert row["left_over"] == 0


async def test_rules_that_cannot_be_read_stop_nobody_elses_time(
    real: Any, make: Any, time: Any
) -> None:
    await real.open_one(program_with(make, {"announce_expiry_days": 1.5}))
    await real.open_one(program_with(make, {"announce_expiry_days": "soon"}))
    rules = {"expiry": {"kind": "after_days", "days": 5}, "announce_expiry_days": 2}
    account = await real.open_one(program_with(make, rules))
    await real.apply(make.command(account, "earn", 3))
    real.clock.advance(timedelta(days=4))
    await time.once()
    assert await told(real) == 1


async def test_what_is_told_has_the_version_and_what_is_left(
    real: Any, make: Any, time: Any
) -> None:
    rules = {"expiry": {"kind": "after_days", "days": 5}, "announce_expiry_days": 2}
    account = await real.open_one(program_with(make, rules))
    await real.apply(make.command(account, "earn", 30), make.command(account, "redeem", 12))
    real.clock.advance(timedelta(days=4))
    await time.once()
    (row,) = await as_owner(real, EXPIRING)
    said = json.loads(row["value"])
    assert (said["version"], said["amount_minor"], said["pass_id"]) == (
        2,
        18,
        str(account.pass_id),
    )


@pytest.mark.parametrize("duty", list(Duty))
async def test_a_look_reads_its_index_only(real: Any, make: Any, duty: Duty) -> None:
    account = await real.open_one(opening_balance_minor=10)
    await as_owner(
        real,
        "INSERT INTO ledger.lot (lot_id, workspace_id, account_id, expires_at, remaining_minor)"
        " SELECT gen_random_uuid(), workspace_id, account_id, now() + number * interval '1 s', 1"
        " FROM ledger.account, generate_series(1, 5000) AS number WHERE kind = 'pass'",
    )
    workspace_id, now = account.workspace_id, real.clock.now()
    async with real.database.transaction([workspace_id]) as transaction:
        await transaction.execute(BY_INDEX_ONLY)
        rows = await transaction.fetch(
            "EXPLAIN " + LOOKS[duty], [workspace_id], [now], [workspace_id], [now], now, 50
        )
    plan = "\n".join(row[0] for row in rows)
    assert "Seq Scan" not in plan
    assert re.search(r"Index (Only )?Scan using (lot|hold|account_undated|account_tier)_due", plan)


async def test_one_replica_works_until_it_goes(real: Any, make: Any, known: Any) -> None:
    turns = [PostgresTurn(real.database, "time") for _ in range(2)]
    first, second = (keeper(real, known, turn) for turn in turns)
    account = await real.open_one(program_with(make, {"expiry": {"kind": "after_days", "days": 1}}))
    await real.apply(make.command(account, "earn", 30))
    await first.once()
    real.clock.advance(timedelta(days=3))
    await second.once()
    assert await real.balance(account) == 30
    turns[0].close()
    # The server notices that the connection is gone a moment later.
    for _ in range(200):
        if await turns[1].is_ours():
            break
        await asyncio.sleep(0.05)
    await second.once()
    assert await real.balance(account) == 0
    turns[1].close()
