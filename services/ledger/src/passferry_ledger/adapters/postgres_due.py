"""What time alone has made due, workspace by workspace, and telling what will lapse soon."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from passferry_contracts.events.balances import PointsExpiring
from passferry_contracts.registry import PASS_BALANCE_CHANGED
from passferry_ledger.adapters.known_workspaces import known_workspaces
from passferry_ledger.adapters.postgres_availability import passing_when_unavailable
from passferry_ledger.application.keep_time import ANNOUNCING, Due, Duty, Place
from passferry_runtime.postgres import Database, Record, Transaction

#: Accounts that are locked together while it is told what they lose.
ANNOUNCED_AT_ONCE = 128

# One index is read from a place on, for each workspace; whatever else would read whole tables.
BY_INDEX_ONLY = """
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_mergejoin = off
"""

# Rules are free-form for the database, and a cast of anything else would end the round of all.
ANNOUNCED_DAYS = """
CASE WHEN program.rules ->> 'announce_expiry_days' ~ '^[0-9]{1,3}$'
THEN (program.rules ->> 'announce_expiry_days')::integer ELSE 0 END
"""

HORIZONS = f"""
SELECT program.workspace_id, max({ANNOUNCED_DAYS}) AS days
FROM program WHERE program.workspace_id = ANY($1::uuid[]) AND program.status = 'active'
GROUP BY program.workspace_id
"""  # noqa: S608  # constants

LOOK = """
SELECT due.workspace_id, due.at, due.subject_id, account.pass_id, account.account_id,
       account.version, coalesce(account.balance_owner = 'passferry'
           AND program.status = 'active' AND {is_ready}, false) AS is_ready
FROM unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::timestamptz[])
    AS place(workspace_id, at, subject_id, until)
CROSS JOIN LATERAL ({due} LIMIT $6) AS due
LEFT JOIN account
    ON account.account_id = due.account_id AND account.workspace_id = due.workspace_id
LEFT JOIN program
    ON program.program_id = account.program_id AND program.workspace_id = account.workspace_id
WHERE $5::timestamptz IS NOT NULL
ORDER BY due.workspace_id, due.at, due.subject_id
"""

LOTS = """
SELECT lot.workspace_id, lot.expires_at AS at, lot.lot_id AS subject_id, lot.account_id,
       lot.announced_at
FROM lot
WHERE lot.workspace_id = place.workspace_id AND lot.remaining_minor > 0
    AND lot.expires_at IS NOT NULL AND lot.expires_at <= place.until
    AND (lot.expires_at, lot.lot_id) > (place.at, place.subject_id)
ORDER BY lot.expires_at, lot.lot_id
"""

UNDATED = """
SELECT idle.workspace_id, idle.undated_expires_at AS at, idle.pass_id AS subject_id,
       idle.account_id
FROM account AS idle
WHERE idle.workspace_id = place.workspace_id AND idle.undated_expires_at IS NOT NULL
    AND idle.undated_expires_at <= place.until
    AND (idle.undated_expires_at, idle.pass_id) > (place.at, place.subject_id)
ORDER BY idle.undated_expires_at, idle.pass_id
"""

TIERS = """
SELECT ranked.workspace_id, ranked.tier_until AS at, ranked.pass_id AS subject_id,
       ranked.account_id
FROM account AS ranked
WHERE ranked.workspace_id = place.workspace_id AND ranked.tier_until IS NOT NULL
    AND ranked.tier_until <= place.until
    AND (ranked.tier_until, ranked.pass_id) > (place.at, place.subject_id)
ORDER BY ranked.tier_until, ranked.pass_id
"""

HOLDS = """
SELECT hold.workspace_id, hold.expires_at AS at, hold.hold_id AS subject_id, hold.account_id
FROM hold
WHERE hold.workspace_id = place.workspace_id AND hold.state = 'open'
    AND hold.expires_at <= place.until
    AND (hold.expires_at, hold.hold_id) > (place.at, place.subject_id)
ORDER BY hold.expires_at, hold.hold_id
"""

# As `lapsing.expire` says, but for debts: what is held rests on lapsed points first, and neither
# that nor what the floor keeps rests on points that have not begun.
UNHELD = """
account.status = 'open'
AND account.held_minor < (
    SELECT coalesce(sum(lapsed.remaining_minor), 0) FROM lot AS lapsed
    WHERE lapsed.account_id = account.account_id AND lapsed.workspace_id = account.workspace_id
        AND lapsed.remaining_minor > 0 AND lapsed.expires_at <= $5
) + CASE WHEN account.undated_expires_at <= $5
    THEN greatest(account.balance_minor - account.lots_minor, 0) ELSE 0 END
AND account.balance_minor - account.held_minor - greatest(program.floor_minor, 0) > (
    SELECT coalesce(sum(pending.remaining_minor), 0) FROM lot AS pending
    WHERE pending.account_id = account.account_id AND pending.workspace_id = account.workspace_id
        AND pending.remaining_minor > 0 AND pending.starts_at > $5)
"""

IS_SOON = f"due.at <= $5::timestamptz + make_interval(hours => 24 * {ANNOUNCED_DAYS})"
HAS_UNDATED = "account.balance_minor > account.lots_minor"

LOOKS = {
    # Also of a closed account: it lets go.
    Duty.RELEASE_HOLDS: LOOK.format(due=HOLDS, is_ready="true"),
    Duty.LAPSE_LOTS: LOOK.format(due=LOTS, is_ready=UNHELD),
    Duty.LAPSE_UNDATED: LOOK.format(due=UNDATED, is_ready=f"{HAS_UNDATED} AND {UNHELD}"),
    Duty.REVIEW_TIERS: LOOK.format(due=TIERS, is_ready="account.status = 'open'"),
    Duty.ANNOUNCE_LOTS: LOOK.format(
        due=LOTS, is_ready=f"account.status = 'open' AND due.announced_at IS NULL AND {IS_SOON}"
    ),
    Duty.ANNOUNCE_UNDATED: LOOK.format(
        due=UNDATED,
        is_ready=f"account.status = 'open' AND {HAS_UNDATED} AND {IS_SOON}"
        " AND account.undated_announced IS DISTINCT FROM account.undated_expires_at",
    ),
}

# Events of a pass leave in the order of its versions, which who holds the account decides.
LOCK_ACCOUNTS = """
SELECT account.account_id FROM account
WHERE account.workspace_id = ANY($1::uuid[]) AND account.account_id = ANY($2::bigint[])
ORDER BY account.account_id FOR NO KEY UPDATE
"""

TELL_LOTS = """
UPDATE lot SET announced_at = $3
FROM account
WHERE lot.workspace_id = ANY($1::uuid[]) AND lot.lot_id = ANY($2::uuid[])
    AND account.account_id = lot.account_id AND account.workspace_id = lot.workspace_id
    AND account.status = 'open' AND lot.announced_at IS NULL AND lot.remaining_minor > 0
    AND lot.expires_at > $3
RETURNING lot.workspace_id, lot.remaining_minor AS amount_minor, lot.expires_at, account.pass_id,
          account.external_id, account.program_id, account.version, account.unit
"""

TELL_UNDATED = """
UPDATE account SET undated_announced = undated_expires_at
WHERE account.workspace_id = ANY($1::uuid[]) AND account.pass_id = ANY($2::uuid[])
    AND account.status = 'open' AND account.undated_expires_at > $3
    AND account.balance_minor > account.lots_minor
    AND account.undated_announced IS DISTINCT FROM account.undated_expires_at
RETURNING account.workspace_id, account.balance_minor - account.lots_minor AS amount_minor,
          account.undated_expires_at AS expires_at, account.pass_id, account.external_id,
          account.program_id, account.version, account.unit
"""


class PostgresDue:
    def __init__(self, database: Database) -> None:
        self._database = database

    def workspaces(self) -> AsyncIterator[list[UUID]]:
        return known_workspaces(self._database)

    async def find(
        self, duty: Duty, after: Mapping[UUID, Place], *, now: datetime, limit: int
    ) -> list[Due]:
        with passing_when_unavailable():
            async with self._database.transaction(after) as transaction:
                untils = await _untils(transaction, duty, list(after), now)
                if not untils:
                    return []
                await transaction.execute(BY_INDEX_ONLY)
                rows = await transaction.fetch(
                    LOOKS[duty],
                    list(untils),
                    [after[name][0] for name in untils],
                    [after[name][1] for name in untils],
                    list(untils.values()),
                    now,
                    limit,
                )
        return [Due(**dict(row)) for row in rows]

    async def announce(self, duty: Duty, due: Sequence[Due], *, now: datetime) -> int:
        told = 0
        for start in range(0, len(due), ANNOUNCED_AT_ONCE):
            told += await self._announce(duty, due[start : start + ANNOUNCED_AT_ONCE], now)
        return told

    async def _announce(self, duty: Duty, due: Sequence[Due], now: datetime) -> int:
        names = sorted({each.workspace_id for each in due})
        accounts = sorted({each.account_id for each in due if each.account_id is not None})
        tell = TELL_LOTS if duty is Duty.ANNOUNCE_LOTS else TELL_UNDATED
        with passing_when_unavailable():
            async with self._database.transaction(names) as transaction:
                await transaction.execute(LOCK_ACCOUNTS, names, accounts)
                rows = await transaction.fetch(tell, names, [each.subject_id for each in due], now)
                for row in sorted(rows, key=lambda row: (row["pass_id"], row["expires_at"])):
                    transaction.emit(PASS_BALANCE_CHANGED, _expiring(row), time=now)
        return len(rows)


async def _untils(
    transaction: Transaction, duty: Duty, names: list[UUID], now: datetime
) -> dict[UUID, datetime]:
    """How far to look in each workspace; those that announce nothing are not looked at."""
    if duty not in ANNOUNCING:
        return dict.fromkeys(names, now)
    rows = await transaction.fetch(HORIZONS, names)
    return {row["workspace_id"]: now + timedelta(days=row["days"]) for row in rows if row["days"]}


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
