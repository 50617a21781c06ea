"""Reads of balances and entries."""

from __future__ import annotations

from uuid import UUID

from passferry_ledger.adapters.postgres_availability import passing_when_unavailable
from passferry_ledger.domain.accounts import AccountView, EntryView, PassAddress
from passferry_runtime.clock import Clock
from passferry_runtime.postgres import Database, Record

# $1 is the time at which points are pending or have lapsed.
ACCOUNT = """
SELECT account.workspace_id, account.account_id, account.pass_id, account.external_id,
       account.program_id, program.protocol, account.unit, account.unit_scale,
       account.balance_owner, account.balance_minor, account.held_minor, account.version,
       account.status, account.closed_reason, account.tier, account.tier_until,
       program.floor_minor, coalesce(dated.pending_minor, 0) AS pending_minor,
       coalesce(dated.lapsed_minor, 0) + CASE
           WHEN account.undated_expires_at <= $1
           THEN greatest(account.balance_minor - account.lots_minor, 0) ELSE 0
       END AS lapsed_minor
FROM account
JOIN program ON program.program_id = account.program_id
    AND program.workspace_id = account.workspace_id
LEFT JOIN LATERAL (
    SELECT sum(lot.remaining_minor) FILTER (WHERE lot.starts_at > $1)::bigint AS pending_minor,
           sum(lot.remaining_minor) FILTER (WHERE lot.expires_at <= $1)::bigint AS lapsed_minor
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

PAGE_OF_BALANCES = (
    ACCOUNT
    + """
WHERE account.workspace_id = $2 AND account.pass_id > $3 AND account.kind = 'pass'
    AND account.balance_owner = 'passferry'
ORDER BY account.pass_id
LIMIT $4
"""
)

PAGE_OF_ENTRIES = """
SELECT entry.entry_id, entry.kind, posting.version, posting.amount_minor,
       posting.held_change_minor, posting.balance_after_minor, posting.held_after_minor,
       posting.unit, entry.reference, entry.reason, entry.merchant_id, entry.merchant_name,
       entry.location, entry.terminal, entry.recorded_by, entry.reverses, entry.hold_id,
       entry.occurred_at, entry.recorded_at
FROM posting
JOIN entry ON entry.entry_id = posting.entry_id
WHERE posting.workspace_id = $1 AND posting.account_id = $2
    AND posting.version IS NOT NULL AND posting.version < $3
ORDER BY posting.version DESC
LIMIT $4
"""

BEFORE_ALL = UUID(int=0)
AFTER_ALL_VERSIONS = 2**63 - 1


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

    async def entries(
        self, account: AccountView, *, before_version: int | None, limit: int
    ) -> list[EntryView]:
        before = AFTER_ALL_VERSIONS if before_version is None else before_version
        with passing_when_unavailable():
            async with self._database.transaction([account.workspace_id]) as transaction:
                rows = await transaction.fetch(
                    PAGE_OF_ENTRIES, account.workspace_id, account.account_id, before, limit
                )
        return [_entry(account, row) for row in rows]

    async def balances(
        self, workspace_id: UUID, *, after: UUID | None, limit: int
    ) -> list[AccountView]:
        with passing_when_unavailable():
            async with self._database.transaction([workspace_id]) as transaction:
                rows = await transaction.fetch(
                    PAGE_OF_BALANCES, self._clock.now(), workspace_id, after or BEFORE_ALL, limit
                )
        return [_account(row) for row in rows]


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


def _entry(account: AccountView, row: Record) -> EntryView:
    return EntryView(
        entry_id=row["entry_id"],
        pass_id=account.pass_id,
        kind=row["kind"],
        version=row["version"],
        change_minor=row["amount_minor"],
        held_change_minor=row["held_change_minor"],
        balance_after_minor=row["balance_after_minor"],
        held_after_minor=row["held_after_minor"],
        unit=row["unit"],
        unit_scale=account.unit_scale,
        reference=row["reference"],
        reason=row["reason"],
        merchant_id=row["merchant_id"],
        merchant_name=row["merchant_name"],
        location=row["location"],
        terminal=row["terminal"],
        recorded_by=row["recorded_by"],
        reverses=row["reverses"],
        hold_id=row["hold_id"],
        occurred_at=row["occurred_at"],
        recorded_at=row["recorded_at"],
    )
