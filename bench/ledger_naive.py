"""The obvious ledger: a transaction per command, row lock first, on a pool of 64 connections.

A child of bench/ledger.py; says one line of JSON per cell. Its tables have the columns, checks and
indexes of the ledger's, and neither triggers nor row-level security. It does not look keys up.
"""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import uvloop

from bench.ledger_loads import Job, closed_loop, pass_id_of, read_job, tell
from passferry_runtime.ids import uuid7

POOL = 64

#: For a superuser, in the ledger's database.
TABLES = """
CREATE SCHEMA naive;
CREATE TABLE naive.account (LIKE ledger.account INCLUDING ALL) WITH (fillfactor = 60);
CREATE TABLE naive.entry (LIKE ledger.entry INCLUDING ALL);
CREATE TABLE naive.posting (LIKE ledger.posting INCLUDING ALL);
CREATE TABLE naive.idempotency_result (LIKE ledger.idempotency_result INCLUDING ALL);
INSERT INTO naive.account OVERRIDING SYSTEM VALUE SELECT * FROM ledger.account;
ANALYZE naive.account
"""

COUNTER_ACCOUNTS = """
SELECT kind, account_id FROM naive.account
WHERE workspace_id = $1 AND kind IN ('issuance', 'redeemed')
"""

LOCK = """
SELECT account_id, unit, balance_minor, version FROM naive.account
WHERE workspace_id = $1 AND pass_id = $2 FOR UPDATE
"""

UPDATE = """
UPDATE naive.account SET balance_minor = $3, version = $4, recorded_at = $5
WHERE workspace_id = $1 AND account_id = $2
"""

INSERT_ENTRY = """
INSERT INTO naive.entry (workspace_id, entry_id, kind, recorded_by, occurred_at, recorded_at)
VALUES ($1, $2, $3, 'bench', $4, $4)
"""

INSERT_POSTINGS = """
INSERT INTO naive.posting (
    workspace_id, entry_id, account_id, amount_minor, unit, version, balance_after_minor)
VALUES ($1, $2, $3, $4, $5, $6, $7), ($1, $2, $8, -$4::bigint, $5, NULL, NULL)
"""

INSERT_RESULT = """
INSERT INTO naive.idempotency_result (
    workspace_id, idempotency_key, fingerprint, account_id, code, command, kind, entry_id, version,
    previous_balance_minor, balance_minor, available_minor, is_exhausted, recorded_at, recorded_by)
VALUES ($1, $2, $3, $4, 'applied', $5, $5, $6, $7, $8, $9, $9, false, $10, 'bench')
"""


async def _keep_session(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Spares the round trip that undoes session state, for its benefit."""


def sender(
    pool: asyncpg.Pool[asyncpg.Record], workspace_id: UUID, counters: dict[str, int]
) -> Callable[[int], Awaitable[None]]:
    draw = random.Random()
    steps = itertools.cycle(
        (("earn", 1, counters["issuance"]), ("redeem", -1, counters["redeemed"]))
    )

    async def once(number: int) -> None:
        kind, amount, counter = next(steps)
        key, entry_id, now = f"{draw.getrandbits(128):032x}", uuid7(), datetime.now(UTC)
        fingerprint = hashlib.sha256(key.encode()).digest()
        async with pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(LOCK, workspace_id, pass_id_of(number))
            if row is None:
                raise AssertionError(f"no account {number}")
            account_id, before, version = (
                row["account_id"],
                row["balance_minor"],
                row["version"] + 1,
            )
            after = before + amount
            await connection.execute(UPDATE, workspace_id, account_id, after, version, now)
            await connection.execute(INSERT_ENTRY, workspace_id, entry_id, kind, now)
            await connection.execute(
                INSERT_POSTINGS,
                workspace_id,
                entry_id,
                account_id,
                amount,
                row["unit"],
                version,
                after,
                counter,
            )
            await connection.execute(
                INSERT_RESULT,
                workspace_id,
                key,
                fingerprint,
                account_id,
                kind,
                entry_id,
                version,
                before,
                after,
                now,
            )

    return once


async def measure(job: Job) -> None:
    workspace_id = UUID(job.places["workspace_id"])
    async with asyncpg.create_pool(
        job.places["dsn"],
        min_size=POOL,
        max_size=POOL,
        server_settings={"jit": "off"},
        reset=_keep_session,
    ) as pool:
        rows = await pool.fetch(COUNTER_ACCOUNTS, workspace_id)
        once = sender(pool, workspace_id, {row["kind"]: row["account_id"] for row in rows})
        for cell in job.cells:
            tell(await closed_loop(cell, job, once))


if __name__ == "__main__":
    uvloop.run(measure(read_job()))
