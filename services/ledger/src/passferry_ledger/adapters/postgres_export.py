"""All entries of a workspace, page by page out of one snapshot."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID

from passferry_ledger.adapters.postgres_availability import passing_when_unavailable
from passferry_ledger.adapters.postgres_entries import (
    FIRST_PLACE,
    LAST_PLACE,
    NO_ID,
    facts_of,
)
from passferry_ledger.adapters.postgres_reading import BY_INDEX_ONLY, ONE_MOMENT
from passferry_ledger.application.searches import ExportSelection, TimePlace
from passferry_ledger.domain.views import EntryView
from passferry_runtime.postgres import Database, Record, Transaction

#: Entries that are in memory at once; each is one line or two.
PAGE_ENTRIES = 500

# An entry that has no pass of the program is a row too: the next page begins behind the last.
PAGE_OF_EXPORT = """
SELECT entry.entry_id, entry.kind, entry.reference, entry.reason, entry.merchant_id,
       entry.merchant_name, entry.location, entry.terminal, entry.purchase_minor,
       entry.purchase_unit, entry.recorded_by, entry.reverses, entry.hold_id, entry.occurred_at,
       entry.recorded_at, side.pass_id, side.program_id, side.version, side.amount_minor,
       side.held_change_minor, side.balance_after_minor, side.held_after_minor, side.unit,
       side.unit_scale
FROM (
    SELECT page.entry_id
    FROM entry AS page
    WHERE page.workspace_id = $1
        AND (page.recorded_at, page.entry_id) > ($2, $3)
        AND (page.recorded_at, page.entry_id) < ($4, $5)
    ORDER BY page.recorded_at, page.entry_id
    LIMIT $7
) AS chosen
JOIN entry ON entry.entry_id = chosen.entry_id
LEFT JOIN LATERAL (
    SELECT account.pass_id, account.program_id, account.unit_scale, posting.version,
           posting.amount_minor, posting.held_change_minor, posting.balance_after_minor,
           posting.held_after_minor, posting.unit
    FROM posting
    JOIN account ON account.account_id = posting.account_id
    WHERE posting.entry_id = entry.entry_id AND posting.version IS NOT NULL
        AND ($6::uuid IS NULL OR account.program_id = $6)
) AS side ON true
ORDER BY entry.recorded_at, entry.entry_id, side.amount_minor, side.pass_id
"""


class PostgresExport:
    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def open(
        self, workspace_id: UUID, selection: ExportSelection
    ) -> AsyncIterator[AsyncIterator[list[EntryView]]]:
        async with AsyncExitStack() as stack:
            with passing_when_unavailable():
                transaction = await stack.enter_async_context(
                    self._database.transaction([workspace_id], isolation=ONE_MOMENT)
                )
                await transaction.execute(BY_INDEX_ONLY)
            yield _pages(transaction, workspace_id, selection)


async def _pages(
    transaction: Transaction, workspace_id: UUID, selection: ExportSelection
) -> AsyncIterator[list[EntryView]]:
    period = selection.period
    low: TimePlace = FIRST_PLACE if period.since is None else (period.since, NO_ID)
    high: TimePlace = LAST_PLACE if period.until is None else (period.until, NO_ID)
    while True:
        with passing_when_unavailable():
            rows = await transaction.fetch(
                PAGE_OF_EXPORT, workspace_id, *low, *high, selection.program_id, PAGE_ENTRIES
            )
        entries = [_view(row) for row in rows if row["pass_id"] is not None]
        if entries:
            yield entries
        if len({row["entry_id"] for row in rows}) < PAGE_ENTRIES:
            return
        low = (rows[-1]["recorded_at"], rows[-1]["entry_id"])


def _view(row: Record) -> EntryView:
    return EntryView(
        **facts_of(row),
        pass_id=row["pass_id"],
        program_id=row["program_id"],
        version=row["version"],
        change_minor=row["amount_minor"],
        held_change_minor=row["held_change_minor"],
        balance_after_minor=row["balance_after_minor"],
        held_after_minor=row["held_after_minor"],
        unit=row["unit"],
        unit_scale=row["unit_scale"],
    )
