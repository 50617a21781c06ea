"""What the schema itself holds, whoever asks: double entry, append-only, workspaces apart."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from passferry_contracts.events.balances import PassBalanceChanged, PassRedeemed
from passferry_contracts.events.ledger import CommandCompleted
from passferry_ledger.application.ports import AnswerTo, Opening, Submission
from passferry_ledger.application.verify_ledger import VerifyLedger
from passferry_ledger.domain.accounts import Closing, PassAddress
from passferry_ledger.entrypoints.verify_command import run_verify

TABLES = ["program", "account", "entry", "posting", "idempotency_result"]


async def fetch_as_owner(real: Any, sql: str, *arguments: Any) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(real.harness.admin_url)
    try:
        await connection.execute("SET search_path = ledger")
        return await connection.fetch(sql, *arguments)
    finally:
        await connection.close()


async def outbox(real: Any) -> list[tuple[str, dict[str, Any]]]:
    rows = await fetch_as_owner(real, "SELECT topic, value FROM outbox ORDER BY id")
    return [(row["topic"], json.loads(row["value"])) for row in rows]


async def test_every_entry_has_two_postings_that_sum_to_zero(real: Any, make: Any) -> None:
    # proves: P11
    account = await real.open_one(opening_balance_minor=100)
    await real.apply(make.command(account, "redeem", 30), make.command(account, "adjust", -5))
    rows = await fetch_as_owner(
        real,
        """SELECT entry.kind, array_agg(account.kind || posting.amount_minor::text ORDER BY account.kind)
             AS legs FROM entry JOIN posting USING (workspace_id, entry_id)
           JOIN account USING (workspace_id, account_id) GROUP BY entry.entry_id, entry.kind
           ORDER BY entry.kind""",
    )
    assert [(row["kind"], row["legs"]) for row in rows] == [
        ("adjust", ["adjustments5", "pass-5"]),
        ("opening", ["issuance-100", "pass100"]),
        ("redeem", ["pass-30", "redeemed30"]),
    ]


async def test_postings_that_do_not_balance_are_refused_by_the_database(
    real: Any, make: Any
) -> None:
    account = await real.open_one(opening_balance_minor=100)
    workspace_id = account.workspace_id
    (entry,) = await fetch_as_owner(real, "SELECT entry_id FROM entry")
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="do not sum to zero"):
        async with real.database.transaction([workspace_id]) as transaction:
            await transaction.execute(
                "INSERT INTO posting (workspace_id, entry_id, account_id, amount_minor, unit)"
                " VALUES ($1, $2, 987654, 5, 'points')",
                workspace_id,
                entry["entry_id"],
            )


@pytest.mark.parametrize("table", ["entry", "posting", "idempotency_result"])
@pytest.mark.parametrize("verb", ["UPDATE {} SET workspace_id = workspace_id", "DELETE FROM {}"])
async def test_what_was_written_stays_as_it_was(
    real: Any, make: Any, table: str, verb: str
) -> None:
    account = await real.open_one(opening_balance_minor=100)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with real.database.transaction([account.workspace_id]) as transaction:
            await transaction.execute(verb.format(table))


async def test_every_table_shows_rows_only_to_transactions_that_name_their_workspace(
    real: Any, make: Any
) -> None:
    # proves: J58, J70
    account = await real.open_one(opening_balance_minor=100)
    await real.apply(make.command(account, "earn", 1))
    for named, sees in (([], False), ([uuid4()], False), ([account.workspace_id], True)):
        async with real.database.transaction(named) as transaction:
            for table in TABLES:
                count = await transaction.fetchval(f"SELECT count(*) FROM {table}")
                assert (count > 0) is sees, (table, named)
    flags = await fetch_as_owner(
        real,
        "SELECT relname FROM pg_class WHERE relnamespace = 'ledger'::regnamespace"
        " AND relkind = 'r' AND relname <> 'schema_migrations'"
        " AND NOT (relrowsecurity AND relforcerowsecurity)",
    )
    assert flags == []


async def test_a_batch_over_two_workspaces_changes_both_and_with_none_named_changes_none(
    real: Any, make: Any
) -> None:
    # proves: J58
    one, other = await real.open_one(), await real.open_one()
    await real.apply(make.command(one, "earn", 1), make.command(other, "earn", 2))
    assert (await real.balance(one), await real.balance(other)) == (1, 2)
    raise_all = "UPDATE account SET balance_minor = balance_minor + 1 WHERE kind = 'pass'"
    async with real.database.transaction([]) as transaction:
        assert await transaction.execute(raise_all) == "UPDATE 0"
    assert (await real.balance(one), await real.balance(other)) == (1, 2)


async def test_a_workspace_cannot_read_the_pass_of_another(real: Any, make: Any) -> None:
    # proves: J70
    account = await real.open_one(opening_balance_minor=100)
    by_id = PassAddress(workspace_id=uuid4(), pass_id=account.pass_id)
    by_name = PassAddress(workspace_id=uuid4(), external_id=account.external_id)
    assert await real.reads.find_account(by_id) is None
    assert await real.reads.find_account(by_name) is None


async def test_a_change_and_its_events_leave_in_one_transaction_and_in_order(
    real: Any, make: Any
) -> None:
    account = await real.open_one(
        make.program(uuid4(), protocol="COUPON", unit_scale=2), opening_balance_minor=100
    )
    spend = make.command(
        account, "redeem", 100, merchant_name="Café Fähre", terminal="7", reference="b-1"
    )
    await real.commands.apply(
        [Submission(command=spend, answer_to=AnswerTo(event_id="e1", event_type="ledger.redeem"))],
        suspended=(),
    )
    sent = await outbox(real)
    assert [topic for topic, _ in sent] == [
        "pass.balance_changed",
        "pass.balance_changed",
        "pass.redeemed",
        "ledger.results",
    ]
    opening = PassBalanceChanged.model_validate(sent[0][1])
    changed = PassBalanceChanged.model_validate(sent[1][1])
    redeemed = PassRedeemed.model_validate(sent[2][1])
    result = CommandCompleted.model_validate(sent[3][1])
    assert (opening.reason, opening.version, opening.new_balance_minor) == ("opening", 1, 100)
    assert (changed.reason, changed.version, changed.change_minor) == ("redeem", 2, -100)
    assert (changed.previous_balance_minor, changed.new_balance_minor) == (100, 0)
    assert changed.exhausted
    assert (redeemed.version, redeemed.amount_minor, redeemed.remaining_minor) == (2, 100, 0)
    assert redeemed.exhausted
    assert (redeemed.merchant_name, redeemed.terminal) == ("Café Fähre", "7")
    assert (result.command_event_id, result.outcome, result.version) == ("e1", "applied", 2)
    assert redeemed.redemption_id == changed.entry_id == result.entry_id


async def test_refusals_and_replays_are_answered_but_announce_no_change(
    real: Any, make: Any
) -> None:
    account = await real.open_one()
    answer_to = AnswerTo(event_id="e1", event_type="ledger.redeem")
    spend = Submission(command=make.command(account, "redeem", 1), answer_to=answer_to)
    unknown = Submission(
        command=make.command(account, "redeem", 1, pass_id=uuid4()), answer_to=answer_to
    )
    await real.commands.apply([spend, spend, unknown], suspended=())
    sent = [CommandCompleted.model_validate(value) for _, value in await outbox(real)]
    assert [(each.outcome, each.code, each.replayed) for each in sent] == [
        ("refused", "insufficient_balance", False),
        ("refused", "insufficient_balance", True),
    ]
    assert sent[0].detail
    assert sent[0].balance_minor == 0


async def test_a_pass_born_without_a_balance_announces_none(real: Any, make: Any) -> None:
    await real.open_one()
    await real.open_one(is_kept_upstream=True)
    assert await outbox(real) == []


async def test_a_pass_created_twice_is_filled_once(real: Any, make: Any) -> None:
    account = await real.open_one(opening_balance_minor=25)
    assert await real.accounts.open_accounts([account, account]) == [Opening.KNOWN] * 2
    assert await real.balance(account) == 25
    assert len(await outbox(real)) == 1


async def test_an_erased_pass_keeps_its_entries_and_loses_its_external_id(
    real: Any, make: Any
) -> None:
    account = await real.open_one(opening_balance_minor=25)
    erasing = Closing(
        workspace_id=account.workspace_id,
        pass_id=account.pass_id,
        reason="deleted",
        closed_at=account.opened_at,
        forget=True,
    )
    assert await real.accounts.close_accounts([erasing]) == [True]
    found = await real.reads.find_account(
        PassAddress(workspace_id=account.workspace_id, pass_id=account.pass_id)
    )
    assert (found.external_id, found.status, found.balance_minor) == (None, "closed", 25)
    assert await real.findings() == []


async def test_a_new_day_has_a_new_limit(real: Any, make: Any) -> None:
    account = await real.open_one(make.program(uuid4(), max_per_day_minor=10))
    (first,) = await real.apply(make.command(account, "earn", 10))
    (second,) = await real.apply(make.command(account, "earn", 1))
    real.clock.advance(timedelta(hours=12))
    (third,) = await real.apply(make.command(account, "earn", 10))
    assert [each.code for each in (first, second, third)] == [
        "applied",
        "day_limit_exceeded",
        "applied",
    ]


async def test_a_floor_raised_later_makes_no_finding_and_no_more_spending(
    real: Any, make: Any
) -> None:
    program = make.program(uuid4(), floor_minor=-50)
    account = await real.open_one(program)
    await real.apply(make.command(account, "redeem", 40))
    await real.accounts.store_programs([replace(program, floor_minor=0, revision=2)])
    spend, earn = await real.apply(
        make.command(account, "redeem", 1), make.command(account, "earn", 10)
    )
    assert (spend.code, spend.available_minor, earn.code) == ("insufficient_balance", 0, "applied")
    assert await real.findings() == []


DAMAGES = {
    "UPDATE account SET balance_minor = balance_minor + 1 WHERE kind = 'pass'": "BALANCE_MISMATCH",
    "UPDATE account SET version = 9 WHERE kind = 'pass'": "VERSION_MISMATCH",
    "UPDATE posting SET version = version + 5 WHERE version = 2": "VERSION_GAP",
    "UPDATE posting SET balance_after_minor = 1 WHERE version = 2": "BALANCE_AFTER_MISMATCH",
    "UPDATE posting SET amount_minor = 1 WHERE version IS NULL": "ENTRY_UNBALANCED",
    "UPDATE posting SET unit = 'EUR' WHERE version = 1": "UNIT_MISMATCH",
    "DELETE FROM posting WHERE version IS NULL": "ENTRY_UNBALANCED",
    "DELETE FROM posting": "ENTRY_WITHOUT_POSTINGS",
    "DELETE FROM entry WHERE kind = 'redeem'": "POSTING_WITHOUT_ENTRY",
    "DELETE FROM account WHERE kind = 'redeemed'": "POSTING_WITHOUT_ACCOUNT",
    "DELETE FROM idempotency_result": "ENTRY_WITHOUT_KEY",
    "UPDATE idempotency_result SET entry_id = gen_random_uuid()": "KEY_WITHOUT_ENTRY",
    "UPDATE program SET lowest_floor_minor = 100": "BELOW_FLOOR",
    "UPDATE account SET balance_owner = 'upstream' WHERE kind = 'pass'": "UPSTREAM_HAS_ENTRIES",
    "UPDATE account SET kind = 'issuance', pass_id = NULL, unit = 'x' WHERE kind = 'pass'": (
        "VERSION_ON_WRONG_ACCOUNT"
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_the_verifier_names_what_was_tampered_with(real: Any, make: Any, damage: str) -> None:
    account = await real.open_one(opening_balance_minor=100)
    await real.apply(make.command(account, "redeem", 30))
    verify = VerifyLedger(verifier=real.verifier)
    assert await run_verify(verify, None, StringIO()) == 0
    await fetch_as_owner(real, damage)
    out = StringIO()
    assert await run_verify(verify, account.workspace_id, out) == 1
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert DAMAGES[damage] in {line.get("finding") for line in lines}
    assert lines[-1]["findings"] == len(lines) - 1
