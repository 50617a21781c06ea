"""Reads of entries: of a pass, of a workspace, and single ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from passferry_ledger.adapters.postgres_reading import reading, scanned
from passferry_ledger.application.searches import (
    MAX_SCANNED,
    EntrySearch,
    Order,
    Page,
    Period,
    StatementSearch,
    TimePlace,
)
from passferry_ledger.domain.accounts import AccountView
from passferry_ledger.domain.views import EntryRecord, EntryView, LotChange, PostingView
from passferry_runtime.postgres import Database, Record, Transaction

# Every reversal changes each pass by the same amount, so that one leg tells it.
STATEMENT_NEWEST_FIRST = """
SELECT entry.entry_id, entry.kind, entry.reference, entry.reason, entry.merchant_id,
       entry.merchant_name, entry.location, entry.terminal, entry.purchase_minor,
       entry.purchase_unit, entry.recorded_by, entry.reverses, entry.hold_id, entry.occurred_at,
       entry.recorded_at, posting.version, posting.amount_minor, posting.held_change_minor,
       posting.balance_after_minor, posting.held_after_minor, posting.unit,
       (SELECT coalesce(sum(abs(leg.amount_minor)), 0)::bigint
        FROM entry AS reversal
        JOIN posting AS leg
            ON leg.entry_id = reversal.entry_id AND leg.account_id = posting.account_id
        WHERE reversal.reverses = entry.entry_id
            AND reversal.workspace_id = entry.workspace_id) AS reversed_minor
FROM posting
JOIN entry ON entry.entry_id = posting.entry_id
WHERE posting.workspace_id = $1 AND posting.account_id = $2
    AND posting.version > $3 AND posting.version <= $4
    AND ($5::text[] IS NULL OR entry.kind = ANY($5))
ORDER BY posting.version DESC
LIMIT $6
"""
STATEMENT_OLDEST_FIRST = STATEMENT_NEWEST_FIRST.replace("version DESC", "version")

# Times grow with versions, so that a period is a range of versions.
VERSIONS_IN_PERIOD = """
SELECT CASE WHEN $3::timestamptz IS NULL THEN 0
            ELSE coalesce((SELECT earlier.version FROM posting_at(
                account.account_id, $3 - interval '1 microsecond') AS earlier), 0)
       END AS first_excluded,
       CASE WHEN $4::timestamptz IS NULL THEN account.version
            ELSE coalesce((SELECT latest.version FROM posting_at(
                account.account_id, $4 - interval '1 microsecond') AS latest), 0)
       END AS last_included
FROM account
WHERE account.workspace_id = $1 AND account.account_id = $2
"""

ENTRIES_NEWEST_FIRST = """
SELECT entry.entry_id, entry.kind, entry.reference, entry.reason, entry.merchant_id,
       entry.merchant_name, entry.location, entry.terminal, entry.purchase_minor,
       entry.purchase_unit, entry.recorded_by, entry.reverses, entry.hold_id, entry.occurred_at,
       entry.recorded_at
FROM entry
WHERE entry.workspace_id = $1
    AND (entry.recorded_at, entry.entry_id) > ($2, $3)
    AND (entry.recorded_at, entry.entry_id) < ($4, $5)
    AND ($6::text[] IS NULL OR entry.kind = ANY($6))
    AND ($7::uuid IS NULL OR EXISTS (
        SELECT 1
        FROM posting
        JOIN account ON account.account_id = posting.account_id
        WHERE posting.entry_id = entry.entry_id AND posting.version IS NOT NULL
            AND account.program_id = $7))
ORDER BY entry.recorded_at DESC, entry.entry_id DESC
LIMIT $8
"""
ENTRIES_OLDEST_FIRST = ENTRIES_NEWEST_FIRST.replace(" DESC", "")

SCANNED_NEWEST_FIRST = """
SELECT entry.recorded_at, entry.entry_id
FROM entry
WHERE entry.workspace_id = $1
    AND (entry.recorded_at, entry.entry_id) > ($2, $3)
    AND (entry.recorded_at, entry.entry_id) < ($4, $5)
ORDER BY entry.recorded_at DESC, entry.entry_id DESC
LIMIT 2 OFFSET $6
"""
SCANNED_OLDEST_FIRST = SCANNED_NEWEST_FIRST.replace(" DESC", "")

ONE_ENTRY = """
SELECT entry.entry_id, entry.kind, entry.reference, entry.reason, entry.merchant_id,
       entry.merchant_name, entry.location, entry.terminal, entry.purchase_minor,
       entry.purchase_unit, entry.recorded_by, entry.reverses, entry.hold_id, entry.occurred_at,
       entry.recorded_at
FROM entry
WHERE entry.workspace_id = $1 AND entry.entry_id = $2
"""
ENTRY_BY_REFERENCE = ONE_ENTRY.replace("entry.entry_id = $2", "entry.reference = $2")

POSTINGS = """
SELECT posting.entry_id, posting.account_id, account.kind AS account_kind, account.pass_id,
       account.program_id, posting.unit, account.unit_scale, posting.amount_minor,
       posting.version, posting.balance_after_minor, posting.held_change_minor,
       posting.held_after_minor
FROM unnest($2::uuid[]) AS named(entry_id)
JOIN posting ON posting.entry_id = named.entry_id AND posting.workspace_id = $1
JOIN account ON account.account_id = posting.account_id
ORDER BY posting.entry_id, posting.version IS NULL, posting.amount_minor, posting.account_id
"""

REVERSED = """
SELECT named.entry_id, (
    SELECT sum(leg.amount_minor)::bigint
    FROM entry AS reversal
    CROSS JOIN LATERAL (
        SELECT abs(posting.amount_minor) AS amount_minor
        FROM posting
        WHERE posting.entry_id = reversal.entry_id AND posting.version IS NOT NULL
        LIMIT 1
    ) AS leg
    WHERE reversal.reverses = named.entry_id AND reversal.workspace_id = $1) AS reversed_minor
FROM unnest($2::uuid[]) AS named(entry_id)
"""

LOT_CHANGES = """
SELECT lot.account_id, lot.lot_id, lot.starts_at, lot.expires_at, lot_movement.amount_minor
FROM lot_movement
JOIN lot ON lot.lot_id = lot_movement.lot_id
WHERE lot_movement.entry_id = $2 AND lot_movement.workspace_id = $1
ORDER BY lot_movement.place
"""

#: Behind and before all that was ever recorded.
FIRST_PLACE: TimePlace = (datetime(1, 1, 1, tzinfo=UTC), UUID(int=0))
LAST_PLACE: TimePlace = (datetime.max.replace(tzinfo=UTC), UUID(int=2**128 - 1))
NO_ID = UUID(int=0)


class PostgresEntries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def statement(
        self, account: AccountView, search: StatementSearch
    ) -> Page[EntryView, int]:
        async with reading(self._database, account.workspace_id) as transaction:
            low, high = await _versions(transaction, account, search)
            low, high, following = _within_scan(search, low, high)
            if low >= high:
                return Page([], following)
            rows = await transaction.fetch(
                STATEMENT_NEWEST_FIRST
                if search.order is Order.NEWEST_FIRST
                else STATEMENT_OLDEST_FIRST,
                account.workspace_id,
                account.account_id,
                low,
                high,
                list(search.kinds) or None,
                search.limit + 1,
            )
        entries = [_view(account, row) for row in rows[: search.limit]]
        if len(rows) > search.limit:
            following = entries[-1].version
        return Page(entries, following)

    async def entries(
        self, workspace_id: UUID, search: EntrySearch
    ) -> Page[EntryRecord, TimePlace]:
        is_newest_first = search.order is Order.NEWEST_FIRST
        low, high = _places(search.period)
        if search.after is not None:
            low, high = (low, search.after) if is_newest_first else (search.after, high)
        following = None
        async with reading(self._database, workspace_id) as transaction:
            if search.is_filtered:
                sql = SCANNED_NEWEST_FIRST if is_newest_first else SCANNED_OLDEST_FIRST
                end = await scanned(transaction, sql, workspace_id, *low, *high)
                if end is not None:
                    following, bound = _place(end[0]), _place(end[1])
                    low, high = (bound, high) if is_newest_first else (low, bound)
            rows = await transaction.fetch(
                ENTRIES_NEWEST_FIRST if is_newest_first else ENTRIES_OLDEST_FIRST,
                workspace_id,
                *low,
                *high,
                list(search.kinds) or None,
                search.program_id,
                search.limit + 1,
            )
            records = await _records(transaction, workspace_id, rows[: search.limit])
        if len(rows) > search.limit:
            following = _place(rows[search.limit - 1])
        return Page(records, following)

    async def find_entry(
        self, workspace_id: UUID, *, entry_id: UUID | None = None, reference: str | None = None
    ) -> EntryRecord | None:
        sql, name = (ENTRY_BY_REFERENCE, reference) if entry_id is None else (ONE_ENTRY, entry_id)
        async with reading(self._database, workspace_id) as transaction:
            rows = await transaction.fetch(sql, workspace_id, name)
            records = await _records(transaction, workspace_id, rows)
            if not records:
                return None
            changes = await transaction.fetch(LOT_CHANGES, workspace_id, records[0].entry_id)
        for change in changes:
            for posting in records[0].postings:
                if posting.account_id == change["account_id"]:
                    posting.lots.append(_lot_change(change))
        return records[0]


async def _versions(
    transaction: Transaction, account: AccountView, search: StatementSearch
) -> tuple[int, int]:
    """The versions that may be read: above the first, up to the second."""
    low, high = 0, account.version
    period = search.period
    if period.since is not None or period.until is not None:
        row = await transaction.fetchrow(
            VERSIONS_IN_PERIOD,
            account.workspace_id,
            account.account_id,
            period.since,
            period.until,
        )
        if row is not None:
            low, high = row["first_excluded"], row["last_included"]
    if search.after is not None and search.order is Order.NEWEST_FIRST:
        high = min(high, search.after - 1)
    if search.after is not None and search.order is Order.OLDEST_FIRST:
        low = max(low, search.after)
    return low, high


def _within_scan(search: StatementSearch, low: int, high: int) -> tuple[int, int, int | None]:
    """What a filter may look at, and the version behind which the next page begins."""
    if not search.kinds or high - low <= MAX_SCANNED:
        return low, high, None
    if search.order is Order.NEWEST_FIRST:
        return high - MAX_SCANNED, high, high - MAX_SCANNED + 1
    return low, low + MAX_SCANNED, low + MAX_SCANNED


def _places(period: Period) -> tuple[TimePlace, TimePlace]:
    """No entry has the id zero: what comes behind it begins with the first of its time."""
    low = FIRST_PLACE if period.since is None else (period.since, NO_ID)
    high = LAST_PLACE if period.until is None else (period.until, NO_ID)
    return low, high


def _place(row: Record) -> TimePlace:
    return row["recorded_at"], row["entry_id"]


async def _records(
    transaction: Transaction, workspace_id: UUID, rows: Sequence[Record]
) -> list[EntryRecord]:
    if not rows:
        return []
    names = [row["entry_id"] for row in rows]
    postings: dict[UUID, list[PostingView]] = {name: [] for name in names}
    for row in await transaction.fetch(POSTINGS, workspace_id, names):
        postings[row["entry_id"]].append(_posting(row))
    reversed_minor = {
        row["entry_id"]: row["reversed_minor"] or 0
        for row in await transaction.fetch(REVERSED, workspace_id, names)
    }
    return [
        EntryRecord(
            **facts_of(row),
            reversed_minor=reversed_minor[row["entry_id"]],
            postings=postings[row["entry_id"]],
        )
        for row in rows
    ]


def facts_of(row: Record) -> dict[str, Any]:
    """The fields of `EntryFacts` but for what was reversed."""
    return {
        "entry_id": row["entry_id"],
        "kind": row["kind"],
        "reference": row["reference"],
        "reason": row["reason"],
        "merchant_id": row["merchant_id"],
        "merchant_name": row["merchant_name"],
        "location": row["location"],
        "terminal": row["terminal"],
        "purchase_minor": row["purchase_minor"],
        "purchase_unit": row["purchase_unit"],
        "recorded_by": row["recorded_by"],
        "reverses": row["reverses"],
        "hold_id": row["hold_id"],
        "occurred_at": row["occurred_at"],
        "recorded_at": row["recorded_at"],
    }


def _view(account: AccountView, row: Record) -> EntryView:
    return EntryView(
        **facts_of(row),
        reversed_minor=row["reversed_minor"],
        pass_id=account.pass_id,
        program_id=account.program_id,
        version=row["version"],
        change_minor=row["amount_minor"],
        held_change_minor=row["held_change_minor"],
        balance_after_minor=row["balance_after_minor"],
        held_after_minor=row["held_after_minor"],
        unit=row["unit"],
        unit_scale=account.unit_scale,
    )


def _posting(row: Record) -> PostingView:
    return PostingView(
        account=row["account_kind"],
        account_id=row["account_id"],
        pass_id=row["pass_id"],
        program_id=row["program_id"],
        unit=row["unit"],
        unit_scale=row["unit_scale"],
        change_minor=row["amount_minor"],
        version=row["version"],
        balance_after_minor=row["balance_after_minor"],
        held_change_minor=row["held_change_minor"],
        held_after_minor=row["held_after_minor"],
    )


def _lot_change(row: Record) -> LotChange:
    return LotChange(
        lot_id=row["lot_id"],
        starts_at=row["starts_at"],
        expires_at=row["expires_at"],
        change_minor=row["amount_minor"],
    )
