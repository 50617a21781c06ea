"""Reads of balances and entries."""

from __future__ import annotations

from uuid import UUID

from passferry_ledger.adapters.postgres_availability import passing_when_unavailable
from passferry_ledger.domain.accounts import AccountView, EntryView, PassAddress
from passferry_runtime.postgres import Database, Record

BY_ID = """
SELECT account.workspace_id, account.account_id, account.pass_id, account.external_id,
       account.program_id, account.unit, account.unit_scale, account.balance_owner,
       account.balance_minor, account.version, account.status, account.closed_reason,
       program.floor_minor
FROM account
JOIN program ON program.workspace_id = account.workspace_id
    AND program.program_id = account.program_id
WHERE account.workspace_id = $1 AND account.pass_id = $2
"""

BY_EXTERNAL_ID = """
SELECT account.workspace_id, account.account_id, account.pass_id, account.external_id,
       account.program_id, account.unit, account.unit_scale, account.balance_owner,
       account.balance_minor, account.version, account.status, account.closed_reason,
       program.floor_minor
FROM account
JOIN program ON program.workspace_id = account.workspace_id
    AND program.program_id = account.program_id
WHERE account.workspace_id = $1 AND account.external_id = $2
"""

PAGE_OF_BALANCES = """
SELECT account.workspace_id, account.account_id, account.pass_id, account.external_id,
       account.program_id, account.unit, account.unit_scale, account.balance_owner,
       account.balance_minor, account.version, account.status, account.closed_reason,
       program.floor_minor
FROM account
JOIN program ON program.workspace_id = account.workspace_id
    AND program.program_id = account.program_id
WHERE account.workspace_id = $1 AND account.pass_id > $2 AND account.kind = 'pass'
    AND account.balance_owner = 'passferry'
ORDER BY account.pass_id
LIMIT $3
"""

PAGE_OF_ENTRIES = """
SELECT entry.entry_id, entry.kind, posting.version, posting.amount_minor,
       posting.balance_after_minor, posting.unit, entry.reference, entry.reason,
       entry.merchant_id, entry.merchant_name, entry.location, entry.terminal,
       entry.occurred_at, entry.recorded_at
FROM posting
JOIN entry ON entry.workspace_id = posting.workspace_id AND entry.entry_id = posting.entry_id
WHERE posting.workspace_id = $1 AND posting.account_id = $2
    AND posting.version IS NOT NULL AND posting.version < $3
ORDER BY posting.version DESC
LIMIT $4
"""

BEFORE_ALL = UUID(int=0)
AFTER_ALL_VERSIONS = 2**63 - 1


class PostgresReads:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find_account(self, address: PassAddress) -> AccountView | None:
        sql, name = (
            (BY_ID, address.pass_id)
            if address.pass_id is not None
            else (BY_EXTERNAL_ID, address.external_id)
        )
        with passing_when_unavailable():
            async with self._database.transaction([address.workspace_id]) as transaction:
                row = await transaction.fetchrow(sql, address.workspace_id, name)
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
        return [_entry(row) for row in rows]

    async def balances(
        self, workspace_id: UUID, *, after: UUID | None, limit: int
    ) -> list[AccountView]:
        with passing_when_unavailable():
            async with self._database.transaction([workspace_id]) as transaction:
                rows = await transaction.fetch(
                    PAGE_OF_BALANCES, workspace_id, after or BEFORE_ALL, limit
                )
        return [_account(row) for row in rows]


def _account(row: Record) -> AccountView:
    return AccountView(
        workspace_id=row["workspace_id"],
        account_id=row["account_id"],
        pass_id=row["pass_id"],
        external_id=row["external_id"],
        program_id=row["program_id"],
        unit=row["unit"],
        unit_scale=row["unit_scale"],
        is_kept_upstream=row["balance_owner"] == "upstream",
        balance_minor=row["balance_minor"],
        floor_minor=row["floor_minor"],
        version=row["version"],
        status=row["status"],
        closed_reason=row["closed_reason"],
    )


def _entry(row: Record) -> EntryView:
    return EntryView(
        entry_id=row["entry_id"],
        kind=row["kind"],
        version=row["version"],
        change_minor=row["amount_minor"],
        balance_after_minor=row["balance_after_minor"],
        unit=row["unit"],
        reference=row["reference"],
        reason=row["reason"],
        merchant_id=row["merchant_id"],
        merchant_name=row["merchant_name"],
        location=row["location"],
        terminal=row["terminal"],
        occurred_at=row["occurred_at"],
        recorded_at=row["recorded_at"],
    )
