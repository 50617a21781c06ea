"""Reads of holds and of points with dates."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from passferry_ledger.adapters.postgres_reading import reading, scanned
from passferry_ledger.application.searches import LotPlace, Page
from passferry_ledger.domain.accounts import AccountView
from passferry_ledger.domain.views import HoldView, LotSummary, LotView, NextExpiry
from passferry_runtime.clock import Clock
from passferry_runtime.postgres import Database, Record

PAGE_OF_HOLDS = """
SELECT hold.hold_id, hold.state, hold.amount_minor, hold.captured_minor, hold.released_minor,
       hold.expires_at, entry.reference, entry.recorded_by, entry.recorded_at
FROM hold
JOIN entry ON entry.entry_id = hold.hold_id
WHERE hold.workspace_id = $1 AND hold.account_id = $2 AND hold.hold_id < $3 AND hold.hold_id > $4
    AND ($5::text IS NULL OR hold.state = $5)
ORDER BY hold.hold_id DESC
LIMIT $6
"""

SCANNED_HOLDS = """
SELECT hold.hold_id
FROM hold
WHERE hold.workspace_id = $1 AND hold.account_id = $2 AND hold.hold_id < $3
ORDER BY hold.hold_id DESC
LIMIT 2 OFFSET $4
"""

# $3 is now. Lots that never lapse come last, as infinity.
PAGE_OF_LOTS = """
SELECT lot.lot_id, lot.starts_at, lot.expires_at, lot.remaining_minor,
       coalesce(lot.starts_at > $3, false) AS is_pending,
       coalesce(lot.expires_at <= $3, false) AS is_lapsed
FROM lot
WHERE lot.workspace_id = $1 AND lot.account_id = $2 AND lot.remaining_minor > 0
    AND ($6::uuid IS NULL
         OR (coalesce(lot.expires_at, 'infinity'), coalesce(lot.starts_at, '-infinity'), lot.lot_id)
            > (coalesce($4::timestamptz, 'infinity'), coalesce($5::timestamptz, '-infinity'), $6))
ORDER BY coalesce(lot.expires_at, 'infinity'), coalesce(lot.starts_at, '-infinity'), lot.lot_id
LIMIT $7
"""

LOT_SUMMARY = """
SELECT greatest(account.balance_minor - account.lots_minor, 0) AS undated_minor,
       account.undated_expires_at, soonest.expires_at AS next_at,
       soonest.amount_minor AS next_minor
FROM account
LEFT JOIN LATERAL (
    SELECT lot.expires_at, sum(lot.remaining_minor)::bigint AS amount_minor
    FROM lot
    WHERE lot.workspace_id = account.workspace_id AND lot.account_id = account.account_id
        AND lot.remaining_minor > 0 AND lot.expires_at > $3
    GROUP BY lot.expires_at
    ORDER BY lot.expires_at
    LIMIT 1
) AS soonest ON true
WHERE account.workspace_id = $1 AND account.account_id = $2
"""

BEFORE_ALL = UUID(int=0)
AFTER_ALL = UUID(int=2**128 - 1)


class PostgresHoldings:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def holds(
        self, account: AccountView, *, state: str | None, before: UUID | None, limit: int
    ) -> Page[HoldView, UUID]:
        names = (account.workspace_id, account.account_id, before or AFTER_ALL)
        last, following = BEFORE_ALL, None
        async with reading(self._database, account.workspace_id) as transaction:
            if state is not None:
                end = await scanned(transaction, SCANNED_HOLDS, *names)
                if end is not None:
                    following, last = end[0]["hold_id"], end[1]["hold_id"]
            rows = await transaction.fetch(PAGE_OF_HOLDS, *names, last, state, limit + 1)
        holds = [_hold(row) for row in rows[:limit]]
        if len(rows) > limit:
            following = holds[-1].hold_id
        return Page(holds, following)

    async def lots(
        self, account: AccountView, *, after: LotPlace | None, limit: int
    ) -> tuple[LotSummary, Page[LotView, LotPlace]]:
        names = (account.workspace_id, account.account_id, self._clock.now())
        place = (after.expires_at, after.starts_at, after.lot_id) if after else (None, None, None)
        async with reading(self._database, account.workspace_id) as transaction:
            summary = await transaction.fetchrow(LOT_SUMMARY, *names)
            rows = await transaction.fetch(PAGE_OF_LOTS, *names, *place, limit + 1)
        lots = [_lot(row) for row in rows[:limit]]
        return _summary(summary, names[-1]), Page(
            lots, _place(lots[-1]) if len(rows) > limit else None
        )


def _hold(row: Record) -> HoldView:
    return HoldView(
        hold_id=row["hold_id"],
        state=row["state"],
        amount_minor=row["amount_minor"],
        captured_minor=row["captured_minor"],
        released_minor=row["released_minor"],
        expires_at=row["expires_at"],
        reference=row["reference"],
        recorded_by=row["recorded_by"],
        recorded_at=row["recorded_at"],
    )


def _lot(row: Record) -> LotView:
    return LotView(
        lot_id=row["lot_id"],
        starts_at=row["starts_at"],
        expires_at=row["expires_at"],
        remaining_minor=row["remaining_minor"],
        is_pending=row["is_pending"],
        is_lapsed=row["is_lapsed"],
    )


def _place(lot: LotView) -> LotPlace:
    return LotPlace(expires_at=lot.expires_at, starts_at=lot.starts_at, lot_id=lot.lot_id)


def _summary(row: Record | None, now: datetime) -> LotSummary:
    if row is None:
        return LotSummary(undated_minor=0, undated_expires_at=None, next_expiry=None)
    return LotSummary(
        undated_minor=row["undated_minor"],
        undated_expires_at=row["undated_expires_at"],
        next_expiry=_next_expiry(row, now),
    )


def _next_expiry(row: Record, now: datetime) -> NextExpiry | None:
    """The soonest of lots and undated points; what lapses at one moment is told together."""
    undated_at = row["undated_expires_at"]
    amounts: dict[datetime, int] = {}
    if row["next_at"] is not None:
        amounts[row["next_at"]] = row["next_minor"]
    if undated_at is not None and undated_at > now and row["undated_minor"] > 0:
        amounts[undated_at] = amounts.get(undated_at, 0) + row["undated_minor"]
    if not amounts:
        return None
    at = min(amounts)
    return NextExpiry(at=at, amount_minor=amounts[at])
