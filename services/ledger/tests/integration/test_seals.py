"""Seals: made late and once, broken by whoever changes the past."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from passferry_ledger.adapters.postgres_seals import LOOK_BACK_EVERY, PostgresSeals
from passferry_ledger.application.seal_entries import SealEntries

REST = timedelta(seconds=31)


@pytest.fixture
def seals(real: Any) -> PostgresSeals:
    return PostgresSeals(real.database, real.clock)


@pytest.fixture
def sealing(seals: PostgresSeals) -> SealEntries:
    return SealEntries(seals=seals, interval_s=60, delay_s=30)


async def as_owner(real: Any, sql: str) -> Any:
    connection = await asyncpg.connect(real.harness.admin_url)
    try:
        return await connection.fetch(f"/* */ {sql}")
    finally:
        await connection.close()


async def history(real: Any, make: Any) -> Any:
    program = make.program(uuid4(), rules={"expiry": {"kind": "after_days", "days": 30}})
    account = await real.open_one(program, opening_balance_minor=10)
    await real.apply(make.command(account, "earn", 5, reference="bill-1", merchant_name="Ö"))
    real.clock.advance(REST)
    return account


async def test_entries_are_sealed_once_after_their_rest(
    real: Any, make: Any, sealing: SealEntries, seals: PostgresSeals
) -> None:
    account = await history(real, make)
    await real.apply(make.command(account, "redeem", 1))
    assert sum(await asyncio.gather(*(sealing.once() for _ in range(4)))) == 2
    assert await sealing.once() == 0
    real.clock.advance(REST)
    assert await sealing.once() == 1
    assert await seals.findings(account.workspace_id) == []
    rows = await as_owner(real, "SELECT number, entries FROM ledger.seal ORDER BY number")
    assert [tuple(row) for row in rows] == [(1, 2), (2, 1)]


async def test_an_entry_that_was_committed_late_is_sealed_late(
    real: Any, make: Any, sealing: SealEntries, seals: PostgresSeals
) -> None:
    account = await history(real, make)
    await real.apply(make.command(account, "redeem", 1))
    real.clock.advance(REST)
    await as_owner(
        real,
        "UPDATE ledger.entry SET recorded_at = recorded_at + interval '1 minute'"
        " WHERE kind = 'redeem'",
    )
    assert await sealing.once() == 2
    await as_owner(
        real,
        "UPDATE ledger.entry SET recorded_at = recorded_at - interval '3 minutes'"
        " WHERE kind = 'redeem'",
    )
    assert await sealing.once() == 0
    real.clock.advance(LOOK_BACK_EVERY)
    assert await sealing.once() == 1
    assert await seals.findings(account.workspace_id) == []


async def test_what_was_not_sealed_within_the_hour_is_found(
    real: Any, make: Any, seals: PostgresSeals
) -> None:
    account = await history(real, make)
    real.clock.advance(timedelta(hours=2))
    found = await seals.findings(account.workspace_id)
    assert [finding.code for finding in found] == ["ENTRY_NOT_SEALED"] * 2


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        ("UPDATE ledger.entry SET merchant_name = 'O'", "HASH_MISMATCH"),
        ("UPDATE ledger.entry SET recorded_by = 'somebody'", "HASH_MISMATCH"),
        ("UPDATE ledger.posting SET amount_minor = amount_minor * 2", "HASH_MISMATCH"),
        ("UPDATE ledger.posting SET held_change_minor = 1", "HASH_MISMATCH"),
        ("UPDATE ledger.lot_movement SET amount_minor = 9", "HASH_MISMATCH"),
        ("DELETE FROM ledger.posting WHERE version IS NULL", "HASH_MISMATCH"),
        ("DELETE FROM ledger.entry WHERE reference = 'bill-1'", "SEALED_ENTRY_MISSING"),
        ("DELETE FROM ledger.sealed_entry WHERE place = 1", "SEALED_ENTRY_MISSING"),
        ("UPDATE ledger.seal SET hash = sha256('x') WHERE number = 1", "HASH_MISMATCH"),
        ("UPDATE ledger.seal SET previous_hash = sha256('x') WHERE number = 1", "HASH_MISMATCH"),
        ("DELETE FROM ledger.seal WHERE number = 1", "SEAL_GAP"),
        ("DELETE FROM ledger.seal WHERE number = 2", "SEAL_GAP"),
        ("DELETE FROM ledger.seal", "SEAL_GAP"),
    ],
)
async def test_whoever_changes_the_past_breaks_the_chain(
    real: Any, make: Any, sealing: SealEntries, seals: PostgresSeals, damage: str, code: str
) -> None:
    account = await history(real, make)
    await sealing.once()
    await real.apply(make.command(account, "earn", 3))
    real.clock.advance(REST)
    await sealing.once()
    assert await seals.findings(account.workspace_id) == []
    await as_owner(real, damage)
    found = await seals.findings(account.workspace_id)
    assert {finding.code for finding in found} == {code}


async def test_what_was_sealed_long_ago_is_not_looked_at_again(
    real: Any, make: Any, sealing: SealEntries
) -> None:
    account = await history(real, make)
    assert await sealing.once() == 2
    real.clock.advance(timedelta(minutes=20))
    assert await sealing.once() == 0
    (row,) = await as_owner(real, "SELECT sealed_until FROM ledger.sealing_progress")
    assert row["sealed_until"] == real.clock.now() - timedelta(minutes=10)
    await real.apply(make.command(account, "earn", 1))
    real.clock.advance(REST)
    assert await sealing.once() == 1


async def test_many_entries_take_many_seals_and_each_is_sealed_once(
    real: Any, make: Any, sealing: SealEntries, seals: PostgresSeals
) -> None:
    account = await real.open_one(opening_balance_minor=10)
    for _ in range(5):
        await real.apply(*(make.command(account, "earn", 1) for _ in range(500)))
        real.clock.advance(timedelta(seconds=1))
    real.clock.advance(REST)
    other = SealEntries(seals=PostgresSeals(real.database, real.clock), interval_s=60, delay_s=30)
    assert sum(await asyncio.gather(sealing.once(), other.once())) == 2_501
    assert (await sealing.once(), await other.once()) == (0, 0)
    assert await seals.findings(account.workspace_id) == []
    rows = await as_owner(real, "SELECT entries FROM ledger.seal ORDER BY number")
    assert [row["entries"] for row in rows] == [1_000, 1_000, 501]
