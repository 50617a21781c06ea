"""The verifier names each way of not adding up, and nothing beside it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from passferry_ledger.domain.accounts import NewAccount

#: Of the story below, by the references of its entries.
OF = "(SELECT entry_id FROM entry WHERE reference = '{}')"
ACCOUNT = "(SELECT account_id FROM account WHERE kind = '{}' LIMIT 1)"
PASS = "(SELECT account_id FROM posting WHERE version IS NOT NULL AND entry_id = {} LIMIT 1)"
#: What waits to be sent would tell that a version is not there.
ALL_SENT = "DELETE FROM outbox"


def of(reference: str) -> str:
    return OF.format(reference)


def pass_of(reference: str) -> str:
    return PASS.format(of(reference))


#: The fault and the one finding that it makes.
FAULTS: list[tuple[str, str]] = [
    (
        f"UPDATE posting SET amount_minor = 7 WHERE version IS NULL AND entry_id = {of('last')}",
        "ENTRY_UNBALANCED",
    ),
    (
        (
            "INSERT INTO entry (workspace_id, entry_id, kind, recorded_by, occurred_at, recorded_at)"
            " SELECT workspace_id, gen_random_uuid(), 'opening', '', recorded_at, recorded_at"
            " FROM entry LIMIT 1"
        ),
        "ENTRY_WITHOUT_POSTINGS",
    ),
    ("DELETE FROM entry WHERE kind = 'opening'", "POSTING_WITHOUT_ENTRY"),
    (
        f"UPDATE entry SET kind = 'transfer' WHERE entry_id = {of('last')}",
        "TRANSFER_UNEQUAL",
    ),
    (
        f"UPDATE entry SET reverses = {of('small')} WHERE reference = 'partly back'",
        "REVERSAL_EXCEEDS",
    ),
    (
        f"UPDATE entry SET reverses = {of('loaded')} WHERE reference = 'partly back'",
        "REVERSAL_MISMATCH",
    ),
    (
        f"UPDATE entry SET reverses = {of('of the second lot')} WHERE reference = 'lot back'",
        "REVERSAL_LOT_MISMATCH",
    ),
    (
        "UPDATE entry SET reverses = gen_random_uuid() WHERE reference = 'partly back'",
        "REVERSAL_WITHOUT_ENTRY",
    ),
    (
        "UPDATE hold SET captured_minor = captured_minor + 1 WHERE state = 'open'",
        "HOLD_MISMATCH",
    ),
    ("UPDATE hold SET amount_minor = amount_minor + 1 WHERE state = 'open'", "HOLD_MISMATCH"),
    ("UPDATE hold SET state = 'expired' WHERE state = 'captured'", "HOLD_MISMATCH"),
    (
        f"UPDATE hold SET account_id = {ACCOUNT.format('issuance')} WHERE state = 'captured'",
        "HOLD_MISMATCH",
    ),
    (
        "UPDATE entry SET hold_id = gen_random_uuid() WHERE kind = 'release'",
        "HOLD_MISMATCH HOLD_MISSING",
    ),
    ("DELETE FROM hold WHERE state = 'captured'", "HOLD_MISSING"),
    (
        f"UPDATE account SET open_holds = 5 WHERE account_id = {pass_of('loaded')}",
        "OPEN_HOLDS_MISMATCH",
    ),
    (
        f"UPDATE account SET held_minor = held_minor + 1 WHERE account_id = {pass_of('loaded')}",
        "HELD_MISMATCH",
    ),
    (
        (
            f"UPDATE posting SET held_after_minor = 99 WHERE version IS NOT NULL"
            f" AND entry_id = {of('last')};"
            f"UPDATE idempotency_result SET held_minor = 99 WHERE entry_id = {of('last')}"
        ),
        "HELD_AFTER_MISMATCH",
    ),
    (
        (
            "UPDATE lot SET remaining_minor = remaining_minor + 1;"
            "UPDATE account SET lots_minor = lots_minor"
            " + (SELECT count(*) FROM lot WHERE lot.account_id = account.account_id)"
        ),
        "LOT_MISMATCH",
    ),
    (
        "UPDATE account SET lots_minor = lots_minor + 1 WHERE kind = 'pass'",
        "LOTS_OF_ACCOUNT_MISMATCH",
    ),
    (
        (
            "UPDATE lot_movement SET amount_minor = 30 - amount_minor"
            f" WHERE entry_id IN ({of('first of the lot')}, {of('more of the lot')})"
        ),
        "LOT_OVERDRAWN",
    ),
    (
        (
            f"UPDATE lot_movement SET entry_id = {of('loaded')}"
            f" WHERE entry_id = {of('of the second lot')}"
        ),
        "MOVEMENT_OF_ANOTHER_ACCOUNT",
    ),
    (
        (
            "INSERT INTO lot_movement (entry_id, lot_id, place, workspace_id, amount_minor)"
            " SELECT entry_id, gen_random_uuid(), 9, workspace_id, 1 FROM entry"
            " WHERE reference = 'last'"
        ),
        "MOVEMENT_WITHOUT_LOT",
    ),
    ("DELETE FROM account WHERE kind = 'adjustments'", "POSTING_WITHOUT_ACCOUNT"),
    (
        (
            "UPDATE posting SET account_id = (SELECT account_id FROM account AS other"
            " WHERE other.kind = 'adjustments' AND other.program_id = (SELECT program_id FROM account"
            " WHERE account.account_id = posting.account_id)) WHERE version IS NULL"
            f" AND entry_id = {of('last')}"
        ),
        "COUNTER_ACCOUNT_MISMATCH",
    ),
    (
        (
            "UPDATE posting SET account_id = (SELECT max(account_id) FROM account"
            " WHERE kind = 'redeemed') WHERE version IS NULL"
            f" AND entry_id = {of('last')}"
        ),
        "COUNTER_ACCOUNT_MISMATCH",
    ),
    (
        (
            "UPDATE account SET kind = 'issuance', pass_id = NULL, unit = 'x'"
            f" WHERE account_id = {pass_of('lonely')}"
        ),
        "VERSION_ON_WRONG_ACCOUNT",
    ),
    (
        f"DELETE FROM idempotency_result WHERE entry_id = {of('last')}",
        "ENTRY_WITHOUT_KEY",
    ),
    (
        (
            f"UPDATE idempotency_result SET entry_id = {of('last')} WHERE entry_id = {of('small')};"
            f"UPDATE idempotency_result AS result SET version = posting.version,"
            " balance_minor = posting.balance_after_minor, held_minor = posting.held_after_minor,"
            " previous_balance_minor = posting.balance_after_minor - posting.amount_minor"
            " FROM posting WHERE posting.entry_id = result.entry_id AND posting.version IS NOT NULL"
            f" AND posting.account_id = result.account_id AND result.entry_id = {of('last')}"
        ),
        "ENTRY_WITHOUT_KEY",
    ),
    (
        (
            "INSERT INTO idempotency_result SELECT workspace_id, 'planted', fingerprint, account_id,"
            " code, gen_random_uuid(), version, previous_balance_minor, balance_minor,"
            " available_minor, is_exhausted, recorded_at FROM idempotency_result"
            f" WHERE entry_id = {of('last')}"
        ),
        "KEY_WITHOUT_ENTRY",
    ),
    (
        f"UPDATE idempotency_result SET balance_minor = 1 WHERE entry_id = {of('last')}",
        "KEY_MISMATCH",
    ),
    (
        (
            f"UPDATE posting SET balance_after_minor = 1 WHERE version IS NOT NULL"
            f" AND entry_id = {of('last')};"
            "UPDATE idempotency_result AS result SET balance_minor = 1, previous_balance_minor ="
            " 1 - posting.amount_minor FROM posting WHERE posting.version IS NOT NULL"
            f" AND posting.entry_id = result.entry_id AND result.entry_id = {of('last')}"
        ),
        "BALANCE_AFTER_MISMATCH",
    ),
    (
        (
            "UPDATE account SET balance_minor = balance_minor + 1"
            f" WHERE account_id = {pass_of('loaded')}"
        ),
        "BALANCE_MISMATCH",
    ),
    (
        f"UPDATE account SET version = version + 1 WHERE account_id = {pass_of('loaded')}",
        "VERSION_MISMATCH",
    ),
    (
        (
            f"UPDATE posting SET version = version + 5 WHERE version IS NOT NULL"
            f" AND entry_id = {of('last')};"
            f"UPDATE account SET version = version + 5 WHERE account_id = {pass_of('last')};"
            f"UPDATE idempotency_result SET version = version + 5 WHERE entry_id = {of('last')}"
        ),
        "VERSION_GAP",
    ),
    (
        f"UPDATE posting SET unit = 'EUR' WHERE entry_id = {of('last')}",
        "UNIT_MISMATCH",
    ),
    ("UPDATE program SET lowest_floor_minor = 1000000", "BELOW_FLOOR"),
    (
        f"UPDATE account SET balance_owner = 'upstream' WHERE account_id = {pass_of('lonely')}",
        "UPSTREAM_HAS_ENTRIES",
    ),
]


async def tell_a_story(real: Any, make: Any) -> NewAccount:
    """Three passes, and something of everything."""
    workspace_id = uuid4()
    plain = make.program(workspace_id)
    dated = make.program(workspace_id, rules={"expiry": {"kind": "after_days", "days": 30}})
    main = await real.open_one(plain, opening_balance_minor=10)
    other = await real.open_one(plain)
    lonely = await real.open_one(make.program(workspace_id))
    points = await real.open_one(dated)

    async def done(account: NewAccount, kind: str, amount: int | None, **changes: Any) -> Any:
        (outcome,) = await real.apply(make.command(account, kind, amount, **changes))
        assert outcome.code == "applied", outcome.code
        return outcome

    await done(lonely, "load", 5, reference="lonely")
    await done(main, "load", 200, reference="loaded")
    await done(main, "redeem", 30, reference="bill")
    await done(main, "redeem", 5, reference="small")
    await done(main, "reverse", 12, reverses_reference="bill", reference="partly back")
    await done(main, "transfer", 10, to_pass_id=other.pass_id)
    captured = await done(main, "hold", 20)
    await done(main, "capture", 5, hold_id=captured.entry_id, keep_rest=True)
    await done(main, "capture", 15, hold_id=captured.entry_id)
    released = await done(main, "hold", 20)
    await done(main, "release", None, hold_id=released.entry_id)
    await done(main, "hold", 8)
    await done(main, "adjust", 3)
    await done(points, "earn", 20, reference="first of the lot")
    await done(points, "redeem", 15, reference="of the first lot")
    await done(points, "earn", 10, reference="more of the lot")
    await done(points, "redeem", 15)
    real.clock.advance(timedelta(days=2))
    await done(points, "earn", 40)
    await done(points, "redeem", 25, reference="of the second lot")
    await done(points, "reverse", 6, reverses_reference="of the first lot", reference="lot back")
    real.clock.advance(timedelta(days=29))
    await done(points, "expire", None)
    await done(main, "redeem", 4, reference="last")
    return main


async def plant(real: Any, sql: str) -> None:
    connection = await asyncpg.connect(real.harness.admin_url)
    try:
        await connection.execute(f"SET search_path = ledger; {sql}")
    finally:
        await connection.close()


@pytest.mark.parametrize(("fault", "codes"), FAULTS, ids=[fault[1] for fault in FAULTS])
async def test_each_way_of_not_adding_up_has_its_finding(
    real: Any, make: Any, fault: str, codes: str
) -> None:
    # proves: P11
    await tell_a_story(real, make)
    assert await real.findings() == []
    await plant(real, f"{ALL_SENT}; {fault}")
    assert sorted(set(await real.findings())) == codes.split()


UNSENT = (
    "SELECT id FROM outbox WHERE topic = 'pass.balance_changed' AND key ="
    f" (SELECT pass_id::text FROM account WHERE account_id = {pass_of('last')}) ORDER BY id"
)


@pytest.mark.parametrize(
    ("fault", "codes"),
    [
        (f"DELETE FROM outbox WHERE id = ({UNSENT} LIMIT 1)", []),
        (f"DELETE FROM outbox WHERE id = ({UNSENT} OFFSET 2 LIMIT 1)", ["OUTBOX_GAP"]),
        (f"DELETE FROM outbox WHERE id = ({UNSENT} DESC LIMIT 1)", ["OUTBOX_GAP"]),
        (
            f"UPDATE outbox SET id = DEFAULT WHERE id = ({UNSENT} LIMIT 1)",
            ["OUTBOX_GAP"],
        ),
        (f"UPDATE outbox SET key = '{uuid4()}' WHERE id IN ({UNSENT})", ["OUTBOX_GAP"]),
    ],
    ids=["sent", "one is gone", "the last is gone", "out of order", "of nobody"],
)
async def test_events_that_wait_are_of_all_versions_up_to_the_accounts(
    real: Any, make: Any, fault: str, codes: list[str]
) -> None:
    await tell_a_story(real, make)
    await plant(real, fault)
    assert await real.findings() == codes


async def test_what_is_wrong_a_thousandfold_is_told_within_bounds(real: Any, make: Any) -> None:
    account = await real.open_one(opening_balance_minor=1)
    for _ in range(3):
        await real.apply(*(make.command(account, "earn", 1) for _ in range(500)))
    await plant(real, "UPDATE posting SET amount_minor = 3 * amount_minor")
    found = await real.findings()
    assert found.count("BALANCE_AFTER_MISMATCH") == 1_000
    assert len(found) <= 2_000 + 10
