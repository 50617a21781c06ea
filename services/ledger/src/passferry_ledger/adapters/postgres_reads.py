"""Reads of accounts and their balances."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from passferry_ledger.adapters.postgres_availability import passing_when_unavailable
from passferry_ledger.adapters.postgres_reading import reading, scanned
from passferry_ledger.application.searches import AccountSearch, Page
from passferry_ledger.domain.accounts import AccountView, PassAddress
from passferry_ledger.domain.views import BalanceAt
from passferry_runtime.clock import Clock
from passferry_runtime.postgres import Database, Record

# $1 is the time at which points are pending or have lapsed.
ACCOUNT = """
SELECT account.workspace_id, account.account_id, account.pass_id, account.external_id,
       account.program_id, program.protocol, account.unit, account.unit_scale,
       account.balance_owner, account.balance_minor, account.held_minor, account.version,
       account.status, account.closed_reason, account.tier, account.tier_until,
       program.floor_minor, coalesce(dated.pending_minor, 0) AS pending_minor,
       coalesce(dated.lapsed_minor, 0)
       - least(greatest(account.lots_minor - account.balance_minor, 0),
               coalesce(dated.owed_minor, 0)) + CASE
           WHEN account.undated_expires_at <= $1
           THEN greatest(account.balance_minor - account.lots_minor, 0) ELSE 0
       END AS lapsed_minor
FROM account
JOIN program ON program.program_id = account.program_id
    AND program.workspace_id = account.workspace_id
LEFT JOIN LATERAL (
    SELECT sum(lot.remaining_minor) FILTER (WHERE lot.starts_at > $1)::bigint AS pending_minor,
           sum(lot.remaining_minor) FILTER (WHERE lot.expires_at <= $1)::bigint AS lapsed_minor,
           sum(lot.remaining_minor) FILTER (
               WHERE lot.expires_at <= $1 AND lot.starts_at > account.recorded_at
           )::bigint AS owed_minor
    FROM lot
    WHERE lot.account_id = account.account_id AND account.lots_minor > 0
        AND lot.remaining_minor > 0
) AS dated ON true
"""

BY_ID = ACCOUNT + "WHERE account.workspace_id = $2 AND account.pass_id = $3"

BY_EXTERNAL_ID = ACCOUNT + "WHERE account.workspace_id = $2 AND account.external_id = $3"

# Of several passes that show one code, the open one, else the newest.
BY_CODE = (
    ACCOUNT
    + """
WHERE account.workspace_id = $2 AND account.code = $3
ORDER BY account.status = 'open' DESC, account.account_id DESC
LIMIT 1
"""
)

BY_IDS = ACCOUNT + "WHERE account.workspace_id = $2 AND account.pass_id = ANY($3::uuid[])"

BY_EXTERNAL_IDS = (
    ACCOUNT + "WHERE account.workspace_id = $2 AND account.external_id = ANY($3::text[])"
)

PAGE_OF_BALANCES = (
    ACCOUNT
    + """
WHERE account.workspace_id = $2 AND account.pass_id > $3 AND account.pass_id < $4
    AND account.kind = 'pass' AND account.balance_owner = 'passferry'
    AND ($5::uuid IS NULL OR account.program_id = $5)
    AND ($6::text IS NULL OR account.status = $6)
    AND ($7::text IS NULL OR account.tier = $7)
ORDER BY account.pass_id
LIMIT $8
"""
)

SCANNED_BALANCES = """
SELECT account.pass_id
FROM account
WHERE account.workspace_id = $1 AND account.pass_id > $2 AND account.kind = 'pass'
ORDER BY account.pass_id
LIMIT 2 OFFSET $3
"""

BALANCE_AT = """
SELECT version, balance_after_minor, held_after_minor
FROM posting_at((
    SELECT account.account_id FROM account
    WHERE account.account_id = $2 AND account.workspace_id = $1), $3)
"""

BEFORE_ALL = UUID(int=0)
AFTER_ALL = UUID(int=2**128 - 1)


class PostgresReads:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def find_account(self, address: PassAddress) -> AccountView | None:
        sql, name = _by_name(address)
        with passing_when_unavailable():
            async with self._database.transaction([address.workspace_id]) as transaction:
                row = await transaction.fetchrow(sql, self._clock.now(), address.workspace_id, name)
        return None if row is None else _account(row)

    async def balance_at(self, account: AccountView, at: datetime) -> BalanceAt:
        async with reading(self._database, account.workspace_id) as transaction:
            row = await transaction.fetchrow(
                BALANCE_AT, account.workspace_id, account.account_id, at
            )
        return BalanceAt(
            at=at,
            balance_minor=0 if row is None else row["balance_after_minor"],
            held_minor=0 if row is None else row["held_after_minor"],
            version=0 if row is None else row["version"],
        )

    async def accounts_named(
        self, workspace_id: UUID, *, pass_ids: Collection[UUID], external_ids: Collection[str]
    ) -> list[AccountView]:
        now = self._clock.now()
        rows: list[Record] = []
        async with reading(self._database, workspace_id) as transaction:
            if pass_ids:
                rows += await transaction.fetch(BY_IDS, now, workspace_id, list(pass_ids))
            if external_ids:
                rows += await transaction.fetch(
                    BY_EXTERNAL_IDS, now, workspace_id, list(external_ids)
                )
        return [_account(row) for row in rows]

    async def balances(self, workspace_id: UUID, search: AccountSearch) -> Page[AccountView, UUID]:
        after, before = search.after or BEFORE_ALL, AFTER_ALL
        following = None
        async with reading(self._database, workspace_id) as transaction:
            # Accounts that are kept upstream are filtered out always.
            end = await scanned(transaction, SCANNED_BALANCES, workspace_id, after)
            if end is not None:
                following, before = end[0]["pass_id"], end[1]["pass_id"]
            rows = await transaction.fetch(
                PAGE_OF_BALANCES,
                self._clock.now(),
                workspace_id,
                after,
                before,
                search.program_id,
                search.status,
                search.tier,
                search.limit + 1,
            )
        accounts = [_account(row) for row in rows[: search.limit]]
        if len(rows) > search.limit:
            following = accounts[-1].pass_id
        return Page(accounts, following)


def _by_name(address: PassAddress) -> tuple[str, object]:
    if address.pass_id is not None:
        return BY_ID, address.pass_id
    if address.external_id is not None:
        return BY_EXTERNAL_ID, address.external_id
    return BY_CODE, address.code


def _account(row: Record) -> AccountView:
    return AccountView(
        workspace_id=row["workspace_id"],
        account_id=row["account_id"],
        pass_id=row["pass_id"],
        external_id=row["external_id"],
        program_id=row["program_id"],
        protocol=row["protocol"],
        unit=row["unit"],
        unit_scale=row["unit_scale"],
        is_kept_upstream=row["balance_owner"] == "upstream",
        balance_minor=row["balance_minor"],
        held_minor=row["held_minor"],
        pending_minor=row["pending_minor"],
        lapsed_minor=row["lapsed_minor"],
        floor_minor=row["floor_minor"],
        version=row["version"],
        status=row["status"],
        closed_reason=row["closed_reason"],
        tier=row["tier"],
        tier_until=row["tier_until"],
    )
