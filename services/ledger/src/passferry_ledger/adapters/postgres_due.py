"""What time alone has made due, workspace by workspace, and telling what will lapse soon."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from uuid import UUID

from passferry_contracts.events.balances import PointsExpiring
from passferry_contracts.registry import PASS_BALANCE_CHANGED
from passferry_ledger.adapters.postgres_availability import passing_when_unavailable
from passferry_ledger.application.keep_time import DueHold, DuePass
from passferry_runtime.postgres import Database, Record

WORKSPACES_AT_ONCE = 200
PAGE = 500

KNOWN_WORKSPACES = """
SELECT known_workspace_id FROM known_workspace
WHERE known_workspace_id > $1 ORDER BY known_workspace_id LIMIT $2
"""

# What is held does not lapse: accounts that hold all they have are not due.
LAPSED = """
SELECT account.workspace_id, account.pass_id, account.account_id
FROM account
WHERE account.workspace_id = ANY($1::uuid[]) AND account.account_id > $3
    AND account.status = 'open' AND account.balance_minor > account.held_minor
    AND account.account_id IN (
        SELECT lot.account_id FROM lot
        WHERE lot.workspace_id = ANY($1::uuid[]) AND lot.remaining_minor > 0
            AND lot.expires_at <= $2
        UNION ALL
        SELECT idle.account_id FROM account AS idle
        WHERE idle.workspace_id = ANY($1::uuid[]) AND idle.undated_expires_at <= $2
            AND idle.balance_minor > idle.lots_minor)
ORDER BY account.account_id LIMIT $4
"""

TIERS = """
SELECT account.workspace_id, account.pass_id, account.account_id
FROM account
WHERE account.workspace_id = ANY($1::uuid[]) AND account.account_id > $3
    AND account.status = 'open' AND account.tier_until <= $2
ORDER BY account.account_id LIMIT $4
"""

HOLDS = """
SELECT hold.workspace_id, account.pass_id, hold.hold_id
FROM hold JOIN account ON account.account_id = hold.account_id
WHERE hold.workspace_id = ANY($1::uuid[]) AND hold.hold_id > $3
    AND hold.state = 'open' AND hold.expires_at <= $2
ORDER BY hold.hold_id LIMIT $4
"""

# A lot that somebody spends from at this moment is told in the next round.
LOTS_TO_ANNOUNCE = """
SELECT lot.workspace_id, lot.lot_id, lot.remaining_minor AS amount_minor, lot.expires_at,
       account.pass_id, account.external_id, account.program_id, account.version, account.unit
FROM lot
JOIN account ON account.account_id = lot.account_id AND account.status = 'open'
JOIN program ON program.program_id = account.program_id
    AND program.workspace_id = account.workspace_id
WHERE lot.workspace_id = ANY($1::uuid[]) AND lot.announced_at IS NULL
    AND lot.remaining_minor > 0 AND lot.expires_at > $2
    AND jsonb_typeof(program.rules -> 'announce_expiry_days') = 'number'
    AND lot.expires_at
        <= $2 + make_interval(days => (program.rules ->> 'announce_expiry_days')::integer)
ORDER BY lot.expires_at LIMIT $3
FOR NO KEY UPDATE OF lot SKIP LOCKED
"""

LOTS_ANNOUNCED = """
UPDATE lot SET announced_at = $3
WHERE lot.workspace_id = ANY($1::uuid[]) AND lot.lot_id = ANY($2::uuid[])
"""

IDLE_TO_ANNOUNCE = """
SELECT account.workspace_id, account.account_id,
       account.balance_minor - account.lots_minor AS amount_minor,
       account.undated_expires_at AS expires_at, account.pass_id, account.external_id,
       account.program_id, account.version, account.unit
FROM account
JOIN program ON program.program_id = account.program_id
    AND program.workspace_id = account.workspace_id
WHERE account.workspace_id = ANY($1::uuid[]) AND account.status = 'open'
    AND account.undated_expires_at > $2 AND account.balance_minor > account.lots_minor
    AND account.undated_announced IS DISTINCT FROM account.undated_expires_at
    AND jsonb_typeof(program.rules -> 'announce_expiry_days') = 'number'
    AND account.undated_expires_at
        <= $2 + make_interval(days => (program.rules ->> 'announce_expiry_days')::integer)
ORDER BY account.undated_expires_at LIMIT $3
FOR NO KEY UPDATE OF account SKIP LOCKED
"""

IDLE_ANNOUNCED = """
UPDATE account SET undated_announced = undated_expires_at
WHERE account.workspace_id = ANY($1::uuid[]) AND account.account_id = ANY($2::bigint[])
"""

BEFORE_ALL = UUID(int=0)


class PostgresDue:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def workspaces(self) -> AsyncIterator[list[UUID]]:
        after = BEFORE_ALL
        while True:
            with passing_when_unavailable():
                async with self._database.transaction([]) as transaction:
                    rows = await transaction.fetch(KNOWN_WORKSPACES, after, WORKSPACES_AT_ONCE)
            if not rows:
                return
            yield [row["known_workspace_id"] for row in rows]
            after = rows[-1]["known_workspace_id"]

    async def lapsed(
        self, workspaces: Sequence[UUID], now: datetime
    ) -> AsyncIterator[list[DuePass]]:
        async for rows in self._pages(LAPSED, workspaces, now, 0, "account_id"):
            yield [_due_pass(row) for row in rows]

    async def tiers(
        self, workspaces: Sequence[UUID], now: datetime
    ) -> AsyncIterator[list[DuePass]]:
        async for rows in self._pages(TIERS, workspaces, now, 0, "account_id"):
            yield [_due_pass(row) for row in rows]

    async def holds(
        self, workspaces: Sequence[UUID], now: datetime
    ) -> AsyncIterator[list[DueHold]]:
        async for rows in self._pages(HOLDS, workspaces, now, BEFORE_ALL, "hold_id"):
            yield [
                DueHold(
                    workspace_id=row["workspace_id"],
                    pass_id=row["pass_id"],
                    hold_id=row["hold_id"],
                )
                for row in rows
            ]

    async def _pages(
        self, sql: str, workspaces: Sequence[UUID], now: datetime, after: object, key: str
    ) -> AsyncIterator[list[Record]]:
        while True:
            with passing_when_unavailable():
                async with self._database.transaction(workspaces) as transaction:
                    rows = await transaction.fetch(sql, list(workspaces), now, after, PAGE)
            if not rows:
                return
            yield rows
            after = rows[-1][key]

    async def announce(self, workspaces: Sequence[UUID], now: datetime) -> int:
        """Tell of at most a page of lots, and of balances that lapse as a whole; how many."""
        names = list(workspaces)
        with passing_when_unavailable():
            async with self._database.transaction(names) as transaction:
                lots = await transaction.fetch(LOTS_TO_ANNOUNCE, names, now, PAGE)
                idle = await transaction.fetch(IDLE_TO_ANNOUNCE, names, now, PAGE)
                for row in (*lots, *idle):
                    transaction.emit(PASS_BALANCE_CHANGED, _expiring(row), time=now)
                if lots:
                    await transaction.execute(
                        LOTS_ANNOUNCED, names, [row["lot_id"] for row in lots], now
                    )
                if idle:
                    await transaction.execute(
                        IDLE_ANNOUNCED, names, [row["account_id"] for row in idle]
                    )
        return len(lots) + len(idle)


def _due_pass(row: Record) -> DuePass:
    return DuePass(
        workspace_id=row["workspace_id"], pass_id=row["pass_id"], account_id=row["account_id"]
    )


def _expiring(row: Record) -> PointsExpiring:
    return PointsExpiring(
        workspace_id=row["workspace_id"],
        pass_id=row["pass_id"],
        external_id=row["external_id"] or str(row["pass_id"]),
        program_id=row["program_id"],
        version=row["version"],
        amount_minor=row["amount_minor"],
        unit=row["unit"],
        expires_at=row["expires_at"],
    )
