"""Reads everything there is of a workspace, as one snapshot, and hands it to the replay."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

from passferry_ledger.adapters.known_workspaces import known_workspaces
from passferry_ledger.adapters.postgres_availability import passing_when_unavailable
from passferry_ledger.adapters.postgres_checks import CHECKS
from passferry_ledger.domain.verification import (
    AccountReplay,
    Finding,
    StoredAccount,
    StoredPosting,
)
from passferry_runtime.postgres import Database, Record, Transaction

ACCOUNTS_PER_PAGE = 500
POSTINGS_PER_PAGE = 10_000
PASSES_PER_PAGE = 5_000
MAX_FINDINGS_PER_CHECK = 1_000
#: Of one comparison of whole tables.
CHECK_TIMEOUT_S = 900.0
AFTER_ALL_VERSIONS = 2**63 - 1

PAGE_OF_ACCOUNTS = """
SELECT account.account_id, account.balance_minor, account.held_minor, account.version,
       account.unit, account.balance_owner,
       coalesce(program.lowest_floor_minor, 0) AS lowest_floor_minor
FROM account
LEFT JOIN program ON program.workspace_id = account.workspace_id
    AND program.program_id = account.program_id
WHERE account.workspace_id = $1 AND account.account_id > $2 AND account.kind = 'pass'
ORDER BY account.account_id
LIMIT $3
"""

PAGE_OF_POSTINGS = """
SELECT posting.account_id, posting.entry_id, posting.amount_minor, posting.unit, posting.version,
       posting.balance_after_minor, posting.held_change_minor, posting.held_after_minor
FROM posting
JOIN account ON account.workspace_id = posting.workspace_id
    AND account.account_id = posting.account_id AND account.kind = 'pass'
WHERE posting.workspace_id = $1 AND posting.version IS NOT NULL AND posting.account_id <= $4
    AND (posting.account_id, posting.version) > ($2, $3)
ORDER BY posting.account_id, posting.version
LIMIT $5
"""

# Rows leave the outbox in their order, so that what is left of a pass is the end of its events.
PAGE_OF_UNSENT = """
SELECT key, count(*) AS events, min(version) AS first, max(version) AS last,
       bool_or(version <= version_before) AS is_disordered
FROM (
    SELECT key, version, lag(version) OVER (PARTITION BY key ORDER BY id) AS version_before
    FROM (
        SELECT outbox.id, outbox.key,
               (convert_from(outbox.value, 'UTF8')::jsonb ->> 'version')::bigint AS version
        FROM outbox
        WHERE outbox.workspace_id = $1 AND outbox.topic = 'pass.balance_changed'
            AND outbox.key > $2
            AND outbox.headers::jsonb @> '[["ce_type", "pass.balance_changed"]]'
    ) AS unsent
) AS ordered
GROUP BY key ORDER BY key LIMIT $3
"""

VERSIONS = """
SELECT account.pass_id, account.account_id, account.version FROM account
WHERE account.workspace_id = $1 AND account.pass_id = ANY($2::uuid[])
"""


class PostgresVerifier:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def workspaces(self) -> list[UUID]:
        return [name async for page in known_workspaces(self._database) for name in page]

    async def findings(self, workspace_id: UUID) -> list[Finding]:
        """Each check tells at most `MAX_FINDINGS_PER_CHECK` of its kind."""
        with passing_when_unavailable():
            # One snapshot: a ledger at work changes between two statements.
            async with self._database.transaction(
                [workspace_id], isolation="REPEATABLE READ READ ONLY"
            ) as transaction:
                # Whole tables are compared: what is best for one row is the worst for all.
                await transaction.execute("SET LOCAL enable_nestloop = off")
                found = [
                    finding
                    for code, sql in CHECKS
                    for finding in await _check(transaction, workspace_id, code, sql)
                ]
                await transaction.execute("SET LOCAL enable_nestloop = on")
                found.extend(await _replay(transaction, workspace_id))
                found.extend(await self._unsent(transaction, workspace_id))
        return found

    async def _unsent(self, transaction: Transaction, workspace_id: UUID) -> list[Finding]:
        """OUTBOX_GAP: events that wait must be of all versions up to the account's."""
        found: list[Finding] = []
        after = ""
        while len(found) < MAX_FINDINGS_PER_CHECK:
            # The outbox is the plumbing's, and accounts are not: both as of this snapshot.
            await transaction.execute(
                f'SET LOCAL ROLE "passferry_{self._database.schema}_plumbing"'
            )
            waiting = await transaction.fetch(
                PAGE_OF_UNSENT, workspace_id, after, PASSES_PER_PAGE, timeout_s=CHECK_TIMEOUT_S
            )
            await transaction.execute("SET LOCAL ROLE NONE")
            if not waiting:
                break
            rows = await transaction.fetch(
                VERSIONS, workspace_id, [UUID(row["key"]) for row in waiting]
            )
            versions = {str(row["pass_id"]): row["version"] for row in rows}
            found.extend(
                _outbox_gap(workspace_id, row, versions.get(row["key"]))
                for row in waiting
                if row["is_disordered"]
                or row["events"] != row["last"] - row["first"] + 1
                or row["last"] != versions.get(row["key"])
            )
            after = waiting[-1]["key"]
        return found[:MAX_FINDINGS_PER_CHECK]


async def _check(
    transaction: Transaction, workspace_id: UUID, code: str, sql: str
) -> list[Finding]:
    rows = await transaction.fetch(
        sql, workspace_id, MAX_FINDINGS_PER_CHECK, timeout_s=CHECK_TIMEOUT_S
    )
    return [
        Finding(
            code=code,
            workspace_id=workspace_id,
            subject=row["subject"],
            expected=row["expected"],
            actual=row["actual"],
        )
        for row in rows
    ]


async def _replay(transaction: Transaction, workspace_id: UUID) -> list[Finding]:
    found: list[Finding] = []
    after = 0
    while len(found) < MAX_FINDINGS_PER_CHECK:
        rows = await transaction.fetch(PAGE_OF_ACCOUNTS, workspace_id, after, ACCOUNTS_PER_PAGE)
        if not rows:
            break
        replays = {row["account_id"]: AccountReplay(_account(workspace_id, row)) for row in rows}
        last = rows[-1]["account_id"]
        async for posting in _postings(transaction, workspace_id, after, last):
            found.extend(replays[posting["account_id"]].take(_posting(posting)))
            if len(found) >= MAX_FINDINGS_PER_CHECK:
                # One account may have millions of postings, all wrong behind the first.
                return found[:MAX_FINDINGS_PER_CHECK]
        for replay in replays.values():
            found.extend(replay.finish())
        after = last
    return found[:MAX_FINDINGS_PER_CHECK]


def _outbox_gap(workspace_id: UUID, waiting: Record, version: int | None) -> Finding:
    events, first, last = waiting["events"], waiting["first"], waiting["last"]
    return Finding(
        code="OUTBOX_GAP",
        workspace_id=workspace_id,
        subject=f"pass {waiting['key']}",
        expected=f"events of versions {first} to {version}",
        actual=f"{events} of versions {first} to {last}"
        + (", out of order" if waiting["is_disordered"] else ""),
    )


async def _postings(
    transaction: Transaction, workspace_id: UUID, after: int, last: int
) -> AsyncIterator[Record]:
    account_id, version = after, AFTER_ALL_VERSIONS
    while True:
        page = await transaction.fetch(
            PAGE_OF_POSTINGS, workspace_id, account_id, version, last, POSTINGS_PER_PAGE
        )
        for row in page:
            yield row
        if len(page) < POSTINGS_PER_PAGE:
            return
        account_id, version = page[-1]["account_id"], page[-1]["version"]


def _account(workspace_id: UUID, row: Record) -> StoredAccount:
    return StoredAccount(
        workspace_id=workspace_id,
        account_id=row["account_id"],
        balance_minor=row["balance_minor"],
        held_minor=row["held_minor"],
        version=row["version"],
        is_kept_upstream=row["balance_owner"] == "upstream",
        unit=row["unit"],
        lowest_floor_minor=row["lowest_floor_minor"],
    )


def _posting(row: Record) -> StoredPosting:
    return StoredPosting(
        entry_id=row["entry_id"],
        amount_minor=row["amount_minor"],
        unit=row["unit"],
        version=row["version"],
        balance_after_minor=row["balance_after_minor"],
        held_change_minor=row["held_change_minor"],
        held_after_minor=row["held_after_minor"],
    )
