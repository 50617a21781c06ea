"""Reads everything there is of a workspace, as one snapshot, and hands it to the replay."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

from passferry_ledger.adapters.postgres_availability import passing_when_unavailable
from passferry_ledger.domain.verification import (
    AccountReplay,
    Finding,
    StoredAccount,
    StoredPosting,
)
from passferry_runtime.postgres import Database, Record, Transaction

ACCOUNTS_PER_PAGE = 500
POSTINGS_PER_PAGE = 10_000
MAX_FINDINGS_PER_CHECK = 1_000
#: Of one comparison of whole tables.
CHECK_TIMEOUT_S = 900.0
AFTER_ALL_VERSIONS = 2**63 - 1

KNOWN_WORKSPACES = "SELECT known_workspace_id FROM known_workspace ORDER BY known_workspace_id"

PAGE_OF_ACCOUNTS = """
SELECT account.account_id, account.balance_minor, account.held_minor, account.version,
       account.unit, account.balance_owner, program.lowest_floor_minor
FROM account
JOIN program ON program.workspace_id = account.workspace_id
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

#: Each finds subjects in one statement: code, SQL giving subject, expected and actual.
CHECKS: tuple[tuple[str, str], ...] = (
    (
        "ENTRY_UNBALANCED",
        """
        SELECT 'entry ' || entry_id AS subject, '0' AS expected,
               sum(amount_minor)::text || ' ' || unit AS actual
        FROM posting WHERE workspace_id = $1
        GROUP BY entry_id, unit HAVING sum(amount_minor) <> 0 LIMIT $2
        """,
    ),
    (
        "ENTRY_WITHOUT_POSTINGS",
        """
        SELECT 'entry ' || entry.entry_id AS subject, 'a posting of a pass' AS expected,
               count(posting.entry_id)::text || ' postings' AS actual
        FROM entry LEFT JOIN posting
            ON posting.workspace_id = entry.workspace_id AND posting.entry_id = entry.entry_id
        WHERE entry.workspace_id = $1
        GROUP BY entry.entry_id HAVING count(posting.version) = 0 LIMIT $2
        """,
    ),
    (
        "POSTING_WITHOUT_ENTRY",
        """
        SELECT DISTINCT 'entry ' || posting.entry_id AS subject, 'an entry' AS expected,
               'none' AS actual
        FROM posting LEFT JOIN entry
            ON entry.workspace_id = posting.workspace_id AND entry.entry_id = posting.entry_id
        WHERE posting.workspace_id = $1 AND entry.entry_id IS NULL LIMIT $2
        """,
    ),
    (
        "TRANSFER_UNEQUAL",
        """
        SELECT 'entry ' || entry.entry_id AS subject, '2 passes, no counter-account' AS expected,
               count(posting.version)::text || ' of ' || count(*)::text AS actual
        FROM entry JOIN posting
            ON posting.workspace_id = entry.workspace_id AND posting.entry_id = entry.entry_id
        WHERE entry.workspace_id = $1 AND entry.kind = 'transfer'
        GROUP BY entry.entry_id HAVING count(posting.version) <> 2 OR count(*) <> 2 LIMIT $2
        """,
    ),
    (
        "REVERSAL_EXCEEDS",
        """
        SELECT 'entry ' || reversed.entry_id AS subject,
               'at most ' || abs(own.amount_minor)::text AS expected,
               sum(abs(back.amount_minor))::text AS actual
        FROM entry AS reversed
        JOIN posting AS own
            ON own.workspace_id = reversed.workspace_id AND own.entry_id = reversed.entry_id
            AND own.version IS NOT NULL
        JOIN entry AS reversal
            ON reversal.workspace_id = reversed.workspace_id
            AND reversal.reverses = reversed.entry_id
        JOIN posting AS back
            ON back.workspace_id = reversal.workspace_id AND back.entry_id = reversal.entry_id
            AND back.account_id = own.account_id
        WHERE reversed.workspace_id = $1
        GROUP BY reversed.entry_id, own.account_id, own.amount_minor
        HAVING sum(abs(back.amount_minor)) > abs(own.amount_minor)
            OR bool_or(sign(back.amount_minor) = sign(own.amount_minor)) LIMIT $2
        """,
    ),
    (
        "REVERSAL_WITHOUT_ENTRY",
        """
        SELECT 'entry ' || reversal.entry_id AS subject, 'entry ' || reversal.reverses AS expected,
               'none' AS actual
        FROM entry AS reversal LEFT JOIN entry AS reversed
            ON reversed.workspace_id = reversal.workspace_id
            AND reversed.entry_id = reversal.reverses
        WHERE reversal.workspace_id = $1 AND reversal.reverses IS NOT NULL
            AND reversed.entry_id IS NULL LIMIT $2
        """,
    ),
    (
        "HOLD_MISMATCH",
        """
        SELECT 'hold ' || hold.hold_id AS subject,
               format('%s held, %s captured, %s left', made.held, -made.moved, made.left_over)
                   AS expected,
               format('%s held, %s captured, %s left', hold.amount_minor, hold.captured_minor,
                      hold.amount_minor - hold.captured_minor - hold.released_minor) AS actual
        FROM hold
        LEFT JOIN (
            SELECT entry.hold_id,
                   coalesce(sum(posting.held_change_minor)
                       FILTER (WHERE entry.kind = 'hold'), 0) AS held,
                   coalesce(sum(posting.amount_minor), 0) AS moved,
                   coalesce(sum(posting.held_change_minor), 0) AS left_over
            FROM entry JOIN posting
                ON posting.workspace_id = entry.workspace_id
                AND posting.entry_id = entry.entry_id AND posting.version IS NOT NULL
            WHERE entry.workspace_id = $1 AND entry.hold_id IS NOT NULL
            GROUP BY entry.hold_id
        ) AS made ON made.hold_id = hold.hold_id
        WHERE hold.workspace_id = $1
            AND (made.hold_id IS NULL OR hold.amount_minor <> made.held
                OR hold.captured_minor <> -made.moved
                OR hold.amount_minor - hold.captured_minor - hold.released_minor
                    <> made.left_over) LIMIT $2
        """,
    ),
    (
        "OPEN_HOLDS_MISMATCH",
        """
        SELECT 'account ' || account.account_id AS subject,
               coalesce(open.number, 0)::text || ' of ' || coalesce(open.left_over, 0)::text
                   AS expected,
               account.open_holds::text || ' of ' || account.held_minor::text AS actual
        FROM account
        LEFT JOIN (
            SELECT hold.account_id, count(*) AS number,
                   sum(hold.amount_minor - hold.captured_minor - hold.released_minor) AS left_over
            FROM hold WHERE hold.workspace_id = $1 AND hold.state = 'open'
            GROUP BY hold.account_id
        ) AS open ON open.account_id = account.account_id
        WHERE account.workspace_id = $1 AND account.kind = 'pass'
            AND (account.open_holds <> coalesce(open.number, 0)
                OR account.held_minor <> coalesce(open.left_over, 0)) LIMIT $2
        """,
    ),
    (
        "LOT_MISMATCH",
        """
        SELECT 'lot ' || lot.lot_id AS subject, coalesce(moved.amount_minor, 0)::text AS expected,
               lot.remaining_minor::text AS actual
        FROM lot
        LEFT JOIN (
            SELECT lot_movement.lot_id, sum(lot_movement.amount_minor) AS amount_minor
            FROM lot_movement WHERE lot_movement.workspace_id = $1 GROUP BY lot_movement.lot_id
        ) AS moved ON moved.lot_id = lot.lot_id
        WHERE lot.workspace_id = $1
            AND lot.remaining_minor <> coalesce(moved.amount_minor, 0) LIMIT $2
        """,
    ),
    (
        "LOTS_OF_ACCOUNT_MISMATCH",
        """
        SELECT 'account ' || account.account_id AS subject,
               coalesce(kept.amount_minor, 0)::text AS expected, account.lots_minor::text AS actual
        FROM account
        LEFT JOIN (
            SELECT lot.account_id, sum(lot.remaining_minor) AS amount_minor
            FROM lot WHERE lot.workspace_id = $1 GROUP BY lot.account_id
        ) AS kept ON kept.account_id = account.account_id
        WHERE account.workspace_id = $1 AND account.kind = 'pass'
            AND account.lots_minor <> coalesce(kept.amount_minor, 0) LIMIT $2
        """,
    ),
    (
        "MOVEMENT_OF_ANOTHER_ACCOUNT",
        """
        SELECT 'entry ' || lot_movement.entry_id AS subject,
               'a posting of account ' || lot.account_id AS expected, 'none' AS actual
        FROM lot_movement
        JOIN lot ON lot.workspace_id = lot_movement.workspace_id
            AND lot.lot_id = lot_movement.lot_id
        LEFT JOIN posting ON posting.workspace_id = lot_movement.workspace_id
            AND posting.entry_id = lot_movement.entry_id
            AND posting.account_id = lot.account_id
        WHERE lot_movement.workspace_id = $1 AND posting.entry_id IS NULL LIMIT $2
        """,
    ),
    (
        "POSTING_WITHOUT_ACCOUNT",
        """
        SELECT 'entry ' || posting.entry_id AS subject, 'an account' AS expected,
               'account ' || posting.account_id AS actual
        FROM posting LEFT JOIN account
            ON account.workspace_id = posting.workspace_id
            AND account.account_id = posting.account_id
        WHERE posting.workspace_id = $1 AND account.account_id IS NULL LIMIT $2
        """,
    ),
    (
        "VERSION_ON_WRONG_ACCOUNT",
        """
        SELECT 'entry ' || posting.entry_id AS subject, 'a version on pass accounts only' AS expected,
               account.kind || ' ' || coalesce(posting.version::text, 'none') AS actual
        FROM posting JOIN account
            ON account.workspace_id = posting.workspace_id
            AND account.account_id = posting.account_id
        WHERE posting.workspace_id = $1
            AND (posting.version IS NOT NULL) <> (account.kind = 'pass') LIMIT $2
        """,
    ),
    (
        "ENTRY_WITHOUT_KEY",
        """
        SELECT 'entry ' || entry.entry_id AS subject, '1 idempotency key' AS expected,
               count(result.entry_id)::text AS actual
        FROM entry LEFT JOIN idempotency_result AS result
            ON result.workspace_id = entry.workspace_id AND result.entry_id = entry.entry_id
        WHERE entry.workspace_id = $1 AND entry.kind <> 'opening'
        GROUP BY entry.entry_id HAVING count(result.entry_id) <> 1 LIMIT $2
        """,
    ),
    (
        "KEY_WITHOUT_ENTRY",
        """
        SELECT 'entry ' || result.entry_id AS subject, 'an entry' AS expected, 'none' AS actual
        FROM idempotency_result AS result LEFT JOIN entry
            ON entry.workspace_id = result.workspace_id AND entry.entry_id = result.entry_id
        WHERE result.workspace_id = $1 AND result.entry_id IS NOT NULL AND entry.entry_id IS NULL
        LIMIT $2
        """,
    ),
)


class PostgresVerifier:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def workspaces(self) -> list[UUID]:
        with passing_when_unavailable():
            async with self._database.transaction([]) as transaction:
                rows = await transaction.fetch(KNOWN_WORKSPACES)
        return [row["known_workspace_id"] for row in rows]

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
        return found


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
        for replay in replays.values():
            found.extend(replay.finish())
        after = last
    return found


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
