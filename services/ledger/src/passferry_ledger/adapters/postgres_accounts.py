"""Programs and pass accounts in Postgres."""

from __future__ import annotations

import json
from collections.abc import Sequence

from passferry_ledger.adapters.postgres_availability import passing_when_unavailable
from passferry_ledger.adapters.postgres_ledger import PostgresLedger
from passferry_ledger.application.ports import MAX_BATCH_COMMANDS, Opening, Submission
from passferry_ledger.domain.accounts import Closing, NewAccount, Program
from passferry_ledger.domain.commands import Command, EntryKind
from passferry_runtime.clock import Clock
from passferry_runtime.postgres import Database, Transaction

STORE_PROGRAMS = """
INSERT INTO program AS known (
    workspace_id, program_id, protocol, unit, unit_scale, floor_minor, lowest_floor_minor,
    max_entry_minor, max_balance_minor, max_per_day_minor, rules, thresholds, status, revision,
    changed_at)
SELECT workspace_id, program_id, protocol, unit, unit_scale, floor_minor, floor_minor,
       max_entry_minor, max_balance_minor, max_per_day_minor, rules::jsonb, thresholds::jsonb,
       status, revision, changed_at
FROM unnest(
        $1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::smallint[], $6::bigint[],
        $7::bigint[], $8::bigint[], $9::bigint[], $10::text[], $11::text[], $12::text[],
        $13::bigint[], $14::timestamptz[]
    ) AS given(
        workspace_id, program_id, protocol, unit, unit_scale, floor_minor, max_entry_minor,
        max_balance_minor, max_per_day_minor, rules, thresholds, status, revision, changed_at)
ORDER BY workspace_id, program_id
ON CONFLICT (workspace_id, program_id) DO UPDATE
SET protocol = excluded.protocol, unit = excluded.unit, unit_scale = excluded.unit_scale,
    floor_minor = excluded.floor_minor,
    lowest_floor_minor = least(known.lowest_floor_minor, excluded.floor_minor),
    max_entry_minor = excluded.max_entry_minor, max_balance_minor = excluded.max_balance_minor,
    max_per_day_minor = excluded.max_per_day_minor, rules = excluded.rules,
    thresholds = excluded.thresholds, status = excluded.status, revision = excluded.revision,
    changed_at = excluded.changed_at
WHERE known.revision < excluded.revision
"""

KNOW_WORKSPACES = """
INSERT INTO known_workspace (known_workspace_id)
SELECT DISTINCT name FROM unnest($1::uuid[]) AS name ORDER BY name
ON CONFLICT DO NOTHING
"""

OPEN_COUNTER_ACCOUNTS = """
INSERT INTO account (workspace_id, kind, program_id, unit, unit_scale, opened_at)
SELECT workspace_id, kind, program_id, unit, max(unit_scale), max(opened_at)
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::smallint[], $5::timestamptz[])
    AS given(workspace_id, program_id, unit, unit_scale, opened_at)
CROSS JOIN unnest('{adjustments,expired,issuance,redeemed}'::text[]) AS kind
WHERE NOT EXISTS (
    SELECT 1 FROM account AS known
    WHERE known.workspace_id = given.workspace_id AND known.program_id = given.program_id
        AND known.unit = given.unit AND known.kind = kind.kind AND known.kind <> 'pass')
GROUP BY workspace_id, program_id, unit, kind
ORDER BY workspace_id, program_id, unit, kind
ON CONFLICT DO NOTHING
"""

PROGRAM_FLOORS = """
SELECT DISTINCT program.workspace_id, program.program_id, program.floor_minor
FROM program
JOIN unnest($1::uuid[], $2::uuid[]) AS given(workspace_id, program_id)
    ON program.workspace_id = given.workspace_id AND program.program_id = given.program_id
"""

# A pass that is gone does not keep its external id from the next one that is issued under it.
RELEASE_EXTERNAL_IDS = """
UPDATE account SET external_id = NULL
FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS given(workspace_id, pass_id, external_id)
WHERE account.workspace_id = given.workspace_id AND account.external_id = given.external_id
    AND account.pass_id <> given.pass_id AND account.status = 'closed'
    AND NOT EXISTS (
        SELECT 1 FROM account AS known
        WHERE known.workspace_id = given.workspace_id AND known.pass_id = given.pass_id)
"""

OPEN_ACCOUNTS = """
INSERT INTO account (
    workspace_id, kind, pass_id, external_id, program_id, unit, unit_scale, balance_owner,
    opened_at, code)
SELECT workspace_id, 'pass', pass_id, external_id, program_id, unit, unit_scale, balance_owner,
       opened_at, code
FROM unnest(
        $1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::smallint[], $7::text[],
        $8::timestamptz[], $9::text[]
    ) WITH ORDINALITY AS given(
        workspace_id, pass_id, external_id, program_id, unit, unit_scale, balance_owner,
        opened_at, code, position)
ORDER BY position
ON CONFLICT DO NOTHING
RETURNING workspace_id, pass_id
"""

KNOWN_PASSES = """
SELECT account.workspace_id, account.pass_id
FROM account
JOIN unnest($1::uuid[], $2::uuid[]) AS given(workspace_id, pass_id)
    ON account.workspace_id = given.workspace_id AND account.pass_id = given.pass_id
"""

LOCK_PASSES = """
SELECT account.workspace_id, account.pass_id
FROM account
JOIN unnest($1::uuid[], $2::uuid[]) AS given(workspace_id, pass_id)
    ON account.workspace_id = given.workspace_id AND account.pass_id = given.pass_id
ORDER BY account.account_id
FOR NO KEY UPDATE OF account
"""

# The first reason stays: a voided pass that is deleted later was voided.
CLOSE_ACCOUNTS = """
UPDATE account
SET status = 'closed',
    closed_reason = coalesce(account.closed_reason, given.reason),
    closed_at = coalesce(account.closed_at, given.closed_at),
    external_id = CASE WHEN given.forget THEN NULL ELSE account.external_id END,
    code = CASE WHEN given.forget THEN NULL ELSE account.code END
FROM (
    SELECT workspace_id, pass_id, (array_agg(reason ORDER BY position))[1] AS reason,
           min(closed_at) AS closed_at, bool_or(forget) AS forget
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::boolean[])
        WITH ORDINALITY AS ordered(workspace_id, pass_id, reason, closed_at, forget, position)
    GROUP BY workspace_id, pass_id
) AS given
WHERE account.workspace_id = given.workspace_id AND account.pass_id = given.pass_id
    AND (account.status = 'open' OR given.forget)
"""


class PostgresAccounts:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def store_programs(self, programs: Sequence[Program]) -> None:
        newest = _newest(programs)
        if not newest:
            return
        workspaces = [program.workspace_id for program in newest]
        with passing_when_unavailable():
            async with self._database.transaction(workspaces) as transaction:
                await transaction.execute(KNOW_WORKSPACES, workspaces)
                await _store(transaction, newest)
                await transaction.execute(
                    OPEN_COUNTER_ACCOUNTS,
                    workspaces,
                    [program.program_id for program in newest],
                    [program.unit for program in newest],
                    [program.unit_scale for program in newest],
                    [program.changed_at for program in newest],
                )

    async def open_accounts(self, accounts: Sequence[NewAccount]) -> list[Opening]:
        if not accounts:
            return []
        with passing_when_unavailable():
            async with self._database.transaction(
                {account.workspace_id for account in accounts}
            ) as transaction:
                return await self._open(transaction, accounts)

    async def _open(
        self, transaction: Transaction, accounts: Sequence[NewAccount]
    ) -> list[Opening]:
        openings = await _unfit(transaction, accounts)
        ready = [
            account
            for account, opening in zip(accounts, openings, strict=True)
            if opening is Opening.OPENED
        ]
        if not ready:
            return openings
        opened = await _insert(transaction, ready)
        await self._write_openings(
            transaction,
            [account for account in ready if (account.workspace_id, account.pass_id) in opened],
        )
        rows = await transaction.fetch(
            KNOWN_PASSES,
            [account.workspace_id for account in ready],
            [account.pass_id for account in ready],
        )
        known = {(row["workspace_id"], row["pass_id"]) for row in rows}
        for place, account in enumerate(accounts):
            name = (account.workspace_id, account.pass_id)
            if openings[place] is Opening.OPENED and name not in opened:
                openings[place] = Opening.KNOWN if name in known else Opening.EXTERNAL_ID_TAKEN
        return openings

    async def _write_openings(self, transaction: Transaction, opened: Sequence[NewAccount]) -> None:
        # One pass may be announced twice in a batch; it is opened, and filled, once.
        once = {(account.workspace_id, account.pass_id): account for account in reversed(opened)}
        submissions = [
            Submission(command=_opening_of(account))
            for account in once.values()
            if account.opening_balance_minor != 0
        ]
        # One that forgets: this transaction may have made counter-accounts, and may be rolled back.
        ledger = PostgresLedger(self._database, self._clock)
        for start in range(0, len(submissions), MAX_BATCH_COMMANDS):
            batch = submissions[start : start + MAX_BATCH_COMMANDS]
            outcomes = await ledger.apply_within(transaction, batch)
            for outcome in outcomes:
                if not outcome.is_applied:
                    raise AssertionError(f"an opening was refused: {outcome.code}")

    async def close_accounts(self, closings: Sequence[Closing]) -> list[bool]:
        if not closings:
            return []
        workspaces = [closing.workspace_id for closing in closings]
        passes = [closing.pass_id for closing in closings]
        with passing_when_unavailable():
            async with self._database.transaction(workspaces) as transaction:
                rows = await transaction.fetch(LOCK_PASSES, workspaces, passes)
                await transaction.execute(
                    CLOSE_ACCOUNTS,
                    workspaces,
                    passes,
                    [closing.reason for closing in closings],
                    [closing.closed_at for closing in closings],
                    [closing.forget for closing in closings],
                )
        known = {(row["workspace_id"], row["pass_id"]) for row in rows}
        return [(closing.workspace_id, closing.pass_id) in known for closing in closings]


def _newest(programs: Sequence[Program]) -> list[Program]:
    newest: dict[object, Program] = {}
    for program in sorted(programs, key=lambda given: given.revision):
        newest[(program.workspace_id, program.program_id)] = program
    return list(newest.values())


async def _store(transaction: Transaction, programs: Sequence[Program]) -> None:
    await transaction.execute(
        STORE_PROGRAMS,
        [program.workspace_id for program in programs],
        [program.program_id for program in programs],
        [program.protocol for program in programs],
        [program.unit for program in programs],
        [program.unit_scale for program in programs],
        [program.floor_minor for program in programs],
        [program.max_entry_minor for program in programs],
        [program.max_balance_minor for program in programs],
        [program.max_per_day_minor for program in programs],
        [json.dumps(program.rules) for program in programs],
        [json.dumps(program.thresholds) for program in programs],
        [program.status for program in programs],
        [program.revision for program in programs],
        [program.changed_at for program in programs],
    )


async def _unfit(transaction: Transaction, accounts: Sequence[NewAccount]) -> list[Opening]:
    """Those without a program, or born below its floor; all others are still to be opened."""
    rows = await transaction.fetch(
        PROGRAM_FLOORS,
        [account.workspace_id for account in accounts],
        [account.program_id for account in accounts],
    )
    floors = {(row["workspace_id"], row["program_id"]): row["floor_minor"] for row in rows}
    openings = []
    for account in accounts:
        floor = floors.get((account.workspace_id, account.program_id))
        if floor is None:
            openings.append(Opening.PROGRAM_UNKNOWN)
        elif account.opening_balance_minor < min(floor, 0):
            openings.append(Opening.OPENING_BELOW_FLOOR)
        else:
            openings.append(Opening.OPENED)
    return openings


async def _insert(transaction: Transaction, accounts: Sequence[NewAccount]) -> set[object]:
    workspaces = [account.workspace_id for account in accounts]
    passes = [account.pass_id for account in accounts]
    external_ids = [account.external_id for account in accounts]
    programs = [account.program_id for account in accounts]
    units = [account.unit for account in accounts]
    scales = [account.unit_scale for account in accounts]
    opened_at = [account.opened_at for account in accounts]
    await transaction.execute(OPEN_COUNTER_ACCOUNTS, workspaces, programs, units, scales, opened_at)
    await transaction.execute(RELEASE_EXTERNAL_IDS, workspaces, passes, external_ids)
    owners = ["upstream" if account.is_kept_upstream else "passferry" for account in accounts]
    codes = [account.code for account in accounts]
    rows = await transaction.fetch(
        OPEN_ACCOUNTS,
        workspaces,
        passes,
        external_ids,
        programs,
        units,
        scales,
        owners,
        opened_at,
        codes,
    )
    return {(row["workspace_id"], row["pass_id"]) for row in rows}


def _opening_of(account: NewAccount) -> Command:
    return Command(
        workspace_id=account.workspace_id,
        kind=EntryKind.OPENING,
        amount_minor=account.opening_balance_minor,
        pass_id=account.pass_id,
        recorded_by="pass-issuer",
    )
