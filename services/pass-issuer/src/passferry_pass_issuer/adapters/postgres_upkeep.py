"""Passes whose time has come, and the passes of holders, in Postgres."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from passferry_pass_issuer.application.life_ports import HolderPage, PassKey, RevokedLink
from passferry_pass_issuer.application.ports import Transaction
from passferry_pass_issuer.domain.wallet_pass import WalletPass

IDS_OF_HOLDER = """
SELECT pass_id FROM pass
WHERE workspace_id = $1 AND holder_id = $2 AND pass_id > $3 AND status = 'active'
ORDER BY pass_id LIMIT $4
"""

# Also those that are somebody else's now: they may still speak of the holder.
IDS_THAT_KNOW_HOLDER = """
SELECT pass_id FROM (
    (SELECT pass_id FROM pass
    WHERE workspace_id = $1 AND holder_id = $2 AND pass_id > $3
        AND NOT (status = 'deleted' AND status_reason = 'erased')
    ORDER BY pass_id LIMIT $4)
    UNION
    (SELECT pass_id FROM former_holder
    WHERE workspace_id = $1 AND holder_id = $2 AND pass_id > $3 ORDER BY pass_id LIMIT $4)
) AS found
ORDER BY pass_id LIMIT $4
"""

PUT_OFF = """
INSERT INTO holder_pages (workspace_id, holder_id, after_pass_id, is_erasure, held_up,
    requested_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (workspace_id, holder_id) DO UPDATE SET
    after_pass_id = CASE WHEN holder_pages.is_erasure AND NOT excluded.is_erasure
        THEN holder_pages.after_pass_id ELSE excluded.after_pass_id END,
    held_up = CASE WHEN holder_pages.is_erasure AND NOT excluded.is_erasure
        THEN holder_pages.held_up ELSE excluded.held_up END,
    is_erasure = holder_pages.is_erasure OR excluded.is_erasure,
    requested_at = excluded.requested_at
"""

_LEAVING = """
SELECT pass.pass_id FROM pass
JOIN pass_replacement AS moving
    ON moving.workspace_id = pass.workspace_id AND moving.old_pass_id = pass.pass_id
JOIN pass AS follower
    ON follower.workspace_id = moving.workspace_id AND follower.pass_id = moving.new_pass_id
WHERE pass.workspace_id = {workspace_id} AND pass.holder_id = {holder_id}
    AND follower.holder_id <> pass.holder_id AND moving.state = 'moving'
    AND moving.updated_at >= {since}"""
LEAVING = _LEAVING.format(workspace_id="$1", holder_id="$2", since="$3")
_LEAVING_HOLDER = _LEAVING.format(
    workspace_id="holder_pages.workspace_id", holder_id="holder_pages.holder_id", since="$4"
)

WAITING = f"""
SELECT page.workspace_id, page.holder_id
FROM unnest($1::uuid[]) AS named(workspace_id) CROSS JOIN LATERAL (
    SELECT workspace_id, holder_id FROM holder_pages
    WHERE holder_pages.workspace_id = named.workspace_id AND holder_id <> ALL($3::uuid[])
        AND (held_up = 0
            OR (SELECT count(*) FROM ({_LEAVING_HOLDER}) AS leaving) < held_up)
    ORDER BY requested_at, holder_id LIMIT $2
) AS page
"""  # noqa: S608  # the condition is a constant

PAGE = """
SELECT workspace_id, holder_id, after_pass_id, is_erasure, held_up FROM holder_pages
WHERE workspace_id = $1 AND holder_id = $2 FOR UPDATE
"""

IS_ALL_ERASED = """
SELECT NOT EXISTS (SELECT FROM holder_pages
        WHERE workspace_id = $1 AND holder_id = $2 AND is_erasure)
    AND NOT EXISTS (SELECT FROM former_holder
        WHERE workspace_id = $1 AND holder_id = $2 AND waits_since IS NOT NULL)
"""

FINISH = "DELETE FROM holder_pages WHERE workspace_id = $1 AND holder_id = $2"

#: Of a row `pass`: the ledger moves its balance to another, or another's to it.
IS_MOVING = """
EXISTS (SELECT FROM pass_replacement AS moving
    WHERE moving.workspace_id = pass.workspace_id AND moving.state = 'moving'
        AND (moving.old_pass_id = pass.pass_id OR moving.new_pass_id = pass.pass_id))"""

_OVER = """
SELECT due.workspace_id, due.pass_id
FROM unnest($1::uuid[]) AS named(workspace_id) CROSS JOIN LATERAL (
    SELECT workspace_id, pass_id, row_number() OVER (ORDER BY {column}, pass_id) AS turn
    FROM pass
    WHERE pass.workspace_id = named.workspace_id AND status = 'active' AND {column} <= $2
        AND pass_id <> ALL($4::uuid[]) AND NOT {is_moving}
    ORDER BY {column}, pass_id LIMIT $3
) AS due
ORDER BY due.turn, due.workspace_id
"""
EXPIRED = _OVER.format(column="expires_at", is_moving=IS_MOVING)
ENDED_BY_RULES = _OVER.format(column="ends_at", is_moving=IS_MOVING)

MOVING = f"""
SELECT pass.workspace_id, pass.pass_id
FROM unnest($1::uuid[], $2::uuid[]) AS pass(workspace_id, pass_id) WHERE {IS_MOVING}
"""  # noqa: S608  # the condition is a constant

RETIRE = """
INSERT INTO pass_retirement (workspace_id, pass_id, due_at)
SELECT workspace_id, pass_id, $3
FROM unnest($1::uuid[], $2::uuid[]) AS given(workspace_id, pass_id)
ON CONFLICT (workspace_id, pass_id)
    DO UPDATE SET due_at = least(pass_retirement.due_at, excluded.due_at)
"""

# Each record gets a tombstone, and a transaction has room for so many. The first is always taken.
DUE = """
SELECT counted.workspace_id, counted.pass_id
FROM (
    SELECT due.workspace_id, due.pass_id, due.turn, sum(held.links + 2)
        OVER (ORDER BY due.turn, due.workspace_id) - held.links AS records
    FROM unnest($1::uuid[]) AS named(workspace_id) CROSS JOIN LATERAL (
        SELECT workspace_id, pass_id, row_number() OVER (ORDER BY due_at, pass_id) AS turn
        FROM pass_retirement
        WHERE pass_retirement.workspace_id = named.workspace_id AND due_at <= $2
            AND pass_id <> ALL($5::uuid[])
        ORDER BY due_at, pass_id LIMIT $3
    ) AS due CROSS JOIN LATERAL (
        SELECT count(*) AS links FROM link
        WHERE link.workspace_id = due.workspace_id AND link.pass_id = due.pass_id
    ) AS held
) AS counted
WHERE counted.records <= $4::bigint
ORDER BY counted.turn, counted.workspace_id
"""

COUNT_LINKS = """
SELECT link.workspace_id, link.pass_id, count(*) AS links FROM link
JOIN unnest($1::uuid[], $2::uuid[]) AS given(workspace_id, pass_id)
    ON link.workspace_id = given.workspace_id AND link.pass_id = given.pass_id
GROUP BY link.workspace_id, link.pass_id
"""

# A serial number that another tool gave may be a number of the person.
FORGET = """
UPDATE pass SET serial_number = CASE WHEN status_reason = 'erased'
        THEN 'erased-' || pass.pass_id ELSE serial_number END, pass_json = NULL, manifest = NULL, signature = NULL, signed_revision = revision,
    is_on_apple = false, is_on_google = false, google_object_body = NULL, save_link = NULL,
    save_link_signed_at = NULL, field_values = '{}', latest_message = NULL, forgotten_at = $3,
    updated_at = $3
FROM unnest($1::uuid[], $2::uuid[]) AS given(workspace_id, pass_id)
WHERE pass.workspace_id = given.workspace_id AND pass.pass_id = given.pass_id
"""

FORGET_LINKS = """
DELETE FROM link USING unnest($1::uuid[], $2::uuid[]) AS given(workspace_id, pass_id)
WHERE link.workspace_id = given.workspace_id AND link.pass_id = given.pass_id
RETURNING link.workspace_id, link.link_id
"""

# The answer stays known, so that asking again gives no second pass.
FORGET_CLAIMS = """
UPDATE claim SET pass_id = NULL
FROM unnest($1::uuid[], $2::uuid[]) AS given(workspace_id, pass_id)
WHERE claim.workspace_id = given.workspace_id AND claim.pass_id = given.pass_id
RETURNING claim.workspace_id, claim.link_id
"""

FORGET_DEVICES = """
UPDATE funnel_pass SET apple_devices = '{}'
FROM unnest($1::uuid[], $2::uuid[]) AS given(workspace_id, pass_id)
WHERE funnel_pass.workspace_id = given.workspace_id AND funnel_pass.pass_id = given.pass_id
"""

RETIRED = """
DELETE FROM pass_retirement USING unnest($1::uuid[], $2::uuid[]) AS given(workspace_id, pass_id)
WHERE pass_retirement.workspace_id = given.workspace_id
    AND pass_retirement.pass_id = given.pass_id
"""

# Erasing changes a key of the pass, for which it waits until nobody writes a row that names the
# pass. In the order in which everybody takes them, so that nobody waits in a circle.
LOCK_KEYS = """
SELECT 1 FROM pass
WHERE (workspace_id, pass_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))
ORDER BY workspace_id, pass_id
FOR UPDATE
"""

ERASE = """
UPDATE pass SET external_id = new.external_id, code = new.code, request_sha256 = '',
    status = new.status, status_reason = new.status_reason, latest_message = NULL,
    field_values = new.field_values::jsonb
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
    AS new(workspace_id, pass_id, external_id, code, status, status_reason, field_values)
WHERE pass.workspace_id = new.workspace_id AND pass.pass_id = new.pass_id
"""

END_UNDRAWN = """
UPDATE pass SET status = new.status, status_reason = new.status_reason, updated_at = new.at,
    balance_minor = new.balance_minor, ledger_version = new.ledger_version,
    redeemed_version = new.redeemed_version, upstream_version = new.upstream_version,
    uses = new.uses, last_used_at = new.last_used_at
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::bigint[],
    $7::bigint[], $8::bigint[], $9::bigint[], $10::integer[], $11::timestamptz[])
    AS new(workspace_id, pass_id, status, status_reason, at, balance_minor, ledger_version,
        redeemed_version, upstream_version, uses, last_used_at)
WHERE pass.workspace_id = new.workspace_id AND pass.pass_id = new.pass_id
"""

REVOKE_LINKS = """
UPDATE link SET is_revoked = true
FROM unnest($1::uuid[], $2::uuid[]) AS given(workspace_id, pass_id)
WHERE link.workspace_id = given.workspace_id AND link.pass_id = given.pass_id
    AND NOT link.is_revoked
RETURNING link.pass_id, link.link_id, link.token_sha256, link.expires_at
"""


class PostgresPassesOfHolders:
    async def ids(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        holder_id: UUID,
        *,
        after: UUID,
        limit: int,
        is_erasure: bool,
    ) -> list[UUID]:
        sql = IDS_THAT_KNOW_HOLDER if is_erasure else IDS_OF_HOLDER
        rows = await transaction.fetch(sql, workspace_id, holder_id, after, limit)
        return [row["pass_id"] for row in rows]

    async def put_off(self, transaction: Transaction, page: HolderPage, *, now: datetime) -> None:
        await transaction.execute(
            PUT_OFF,
            page.workspace_id,
            page.holder_id,
            page.after,
            page.is_erasure,
            page.held_up,
            now,
        )

    async def waiting(
        self,
        transaction: Transaction,
        workspace_ids: Collection[UUID],
        *,
        moves_since: datetime,
        limit: int,
        passing_over: Sequence[UUID],
    ) -> list[PassKey]:
        given = sorted(workspace_ids), limit, list(passing_over), moves_since
        rows = await transaction.fetch(WAITING, *given)
        return [(row["workspace_id"], row["holder_id"]) for row in rows]

    async def leaving(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        holder_id: UUID,
        *,
        moves_since: datetime,
    ) -> set[UUID]:
        rows = await transaction.fetch(LEAVING, workspace_id, holder_id, moves_since)
        return {row["pass_id"] for row in rows}

    async def page(
        self, transaction: Transaction, workspace_id: UUID, holder_id: UUID
    ) -> HolderPage | None:
        row = await transaction.fetchrow(PAGE, workspace_id, holder_id)
        if row is None:
            return None
        return HolderPage(
            workspace_id=row["workspace_id"],
            holder_id=row["holder_id"],
            after=row["after_pass_id"],
            is_erasure=row["is_erasure"],
            held_up=row["held_up"],
        )

    async def finish(self, transaction: Transaction, page: HolderPage) -> None:
        await transaction.execute(FINISH, page.workspace_id, page.holder_id)

    async def is_all_erased(
        self, transaction: Transaction, workspace_id: UUID, holder_id: UUID
    ) -> bool:
        return bool(await transaction.fetchval(IS_ALL_ERASED, workspace_id, holder_id))


class PostgresEndedPasses:
    async def expired(
        self,
        transaction: Transaction,
        workspace_ids: Collection[UUID],
        *,
        now: datetime,
        limit: int,
        passing_over: Sequence[UUID],
    ) -> list[PassKey]:
        given = sorted(workspace_ids), now, limit, list(passing_over)
        return _keys(await transaction.fetch(EXPIRED, *given))

    async def ended_by_rules(
        self,
        transaction: Transaction,
        workspace_ids: Collection[UUID],
        *,
        now: datetime,
        limit: int,
        passing_over: Sequence[UUID],
    ) -> list[PassKey]:
        given = sorted(workspace_ids), now, limit, list(passing_over)
        return _keys(await transaction.fetch(ENDED_BY_RULES, *given))

    async def moving(self, transaction: Transaction, keys: Collection[PassKey]) -> set[PassKey]:
        return set(_keys(await transaction.fetch(MOVING, *_columns(keys))))

    async def retire(
        self, transaction: Transaction, keys: Collection[PassKey], *, due_at: datetime
    ) -> None:
        await transaction.execute(RETIRE, *_columns(keys), due_at)

    async def due(
        self,
        transaction: Transaction,
        workspace_ids: Collection[UUID],
        *,
        now: datetime,
        limit: int,
        max_records: int,
        passing_over: Sequence[UUID],
    ) -> list[PassKey]:
        given = sorted(workspace_ids), now, limit, max_records, list(passing_over)
        return _keys(await transaction.fetch(DUE, *given))

    async def count_links(
        self, transaction: Transaction, keys: Collection[PassKey]
    ) -> dict[PassKey, int]:
        rows = await transaction.fetch(COUNT_LINKS, *_columns(keys))
        return {(row["workspace_id"], row["pass_id"]): row["links"] for row in rows}

    async def forget(
        self, transaction: Transaction, keys: Collection[PassKey], *, now: datetime
    ) -> list[tuple[UUID, UUID]]:
        columns = _columns(keys)
        await transaction.execute(FORGET, *columns, now)
        await transaction.execute(FORGET_DEVICES, *columns)
        links = await transaction.fetch(FORGET_LINKS, *columns)
        claims = await transaction.fetch(FORGET_CLAIMS, *columns)
        await transaction.execute(RETIRED, *columns)
        return [(row["workspace_id"], row["link_id"]) for row in (*links, *claims)]

    async def erase(self, transaction: Transaction, passes: Sequence[WalletPass]) -> None:
        if not passes:
            return
        columns = _columns([(each.workspace_id, each.pass_id) for each in passes])
        await transaction.execute(LOCK_KEYS, *columns)
        await transaction.execute(
            ERASE,
            [each.workspace_id for each in passes],
            [each.pass_id for each in passes],
            [each.external_id for each in passes],
            [each.code for each in passes],
            [each.status.value for each in passes],
            [each.status_reason for each in passes],
            [json.dumps(dict(each.field_values)) for each in passes],
        )

    async def end_undrawn(self, transaction: Transaction, passes: Sequence[WalletPass]) -> None:
        if not passes:
            return
        await transaction.execute(
            END_UNDRAWN,
            [each.workspace_id for each in passes],
            [each.pass_id for each in passes],
            [each.status.value for each in passes],
            [each.status_reason for each in passes],
            [each.updated_at for each in passes],
            [each.balance_minor for each in passes],
            [each.ledger_version for each in passes],
            [each.redeemed_version for each in passes],
            [each.upstream_version for each in passes],
            [each.uses for each in passes],
            [each.last_used_at for each in passes],
        )

    async def revoke_links(
        self, transaction: Transaction, keys: Collection[PassKey]
    ) -> list[RevokedLink]:
        rows = await transaction.fetch(REVOKE_LINKS, *_columns(keys))
        return [RevokedLink(**dict(row)) for row in rows]


def _keys(rows: Sequence[Any]) -> list[PassKey]:
    return [(row["workspace_id"], row["pass_id"]) for row in rows]


def _columns(keys: Collection[PassKey]) -> tuple[list[UUID], list[UUID]]:
    ordered = sorted(set(keys))
    return [workspace_id for workspace_id, _ in ordered], [pass_id for _, pass_id in ordered]
