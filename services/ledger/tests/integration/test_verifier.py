"""The verifier finds every way in which holds, lots and reversals can fail to add up."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import asyncpg
import pytest

OF_REVERSAL = "FROM entry WHERE entry.entry_id = posting.entry_id AND entry.kind = 'reverse'"
OF_TRANSFER = "USING entry WHERE entry.entry_id = posting.entry_id AND entry.kind = 'transfer'"

DAMAGES = {
    "UPDATE hold SET captured_minor = captured_minor + 1": "HOLD_MISMATCH",
    "UPDATE hold SET amount_minor = amount_minor + 1": "HOLD_MISMATCH",
    "UPDATE account SET held_minor = held_minor + 1 WHERE kind = 'pass'": "HELD_MISMATCH",
    "UPDATE account SET open_holds = 5 WHERE kind = 'pass'": "OPEN_HOLDS_MISMATCH",
    "UPDATE posting SET held_after_minor = 1 WHERE held_change_minor <> 0": "HELD_AFTER_MISMATCH",
    "UPDATE lot SET remaining_minor = remaining_minor + 1": "LOT_MISMATCH",
    "DELETE FROM lot_movement": "LOT_MISMATCH",
    "UPDATE account SET lots_minor = 0 WHERE kind = 'pass'": "LOTS_OF_ACCOUNT_MISMATCH",
    "UPDATE lot_movement SET entry_id = gen_random_uuid()": "MOVEMENT_OF_ANOTHER_ACCOUNT",
    f"UPDATE posting SET amount_minor = amount_minor * 10 {OF_REVERSAL}": "REVERSAL_EXCEEDS",
    f"UPDATE posting SET amount_minor = -amount_minor {OF_REVERSAL}": "REVERSAL_EXCEEDS",
    "UPDATE entry SET reverses = gen_random_uuid() WHERE kind = 'reverse'": (
        "REVERSAL_WITHOUT_ENTRY"
    ),
    f"DELETE FROM posting {OF_TRANSFER} AND posting.amount_minor > 0": "TRANSFER_UNEQUAL",
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_each_way_of_not_adding_up_has_its_finding(real: Any, make: Any, damage: str) -> None:
    # proves: P11
    program = make.program(uuid4(), rules={"expiry": {"kind": "after_days", "days": 30}})
    giver, receiver = await real.open_one(program), await real.open_one(program)
    (_, held) = await real.apply(make.command(giver, "earn", 100), make.command(giver, "hold", 20))
    outcomes = await real.apply(
        make.command(giver, "capture", 5, hold_id=held.entry_id, keep_rest=True),
        make.command(giver, "transfer", 10, to_pass_id=receiver.pass_id),
        make.command(giver, "redeem", 30, reference="bill"),
        make.command(giver, "reverse", 12, reverses_reference="bill"),
    )
    assert [outcome.code for outcome in outcomes] == ["applied"] * 4
    assert await real.findings() == []
    connection = await asyncpg.connect(real.harness.admin_url)
    try:
        await connection.execute(f"SET search_path = ledger; {damage}")
    finally:
        await connection.close()
    assert DAMAGES[damage] in await real.findings()
