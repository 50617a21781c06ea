"""Who had passes before, in Postgres, with keyed hashes of what those say of them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from passferry_pass_issuer.adapters.postgres_lookup_keys import LookupKeys
from passferry_pass_issuer.application.ports import Transaction
from passferry_pass_issuer.domain.value_expression import Scalar
from passferry_pass_issuer.domain.wallet_pass import WalletPass

LABEL = b"former_value"

KEEP = """
INSERT INTO former_holder (workspace_id, holder_id, pass_id, own_values, handed_over_at)
VALUES ($1, $2, $3, $4::jsonb, $5)
ON CONFLICT (workspace_id, holder_id, pass_id) DO UPDATE SET
    own_values = former_holder.own_values || excluded.own_values,
    handed_over_at = excluded.handed_over_at
"""

COPY = """
INSERT INTO former_holder (workspace_id, holder_id, pass_id, own_values, handed_over_at,
    waits_since)
SELECT workspace_id, holder_id, $3, own_values, handed_over_at, waits_since
FROM former_holder WHERE workspace_id = $1 AND pass_id = $2
ON CONFLICT (workspace_id, holder_id, pass_id) DO UPDATE SET
    own_values = former_holder.own_values || excluded.own_values
"""

OWN_VALUES = """
SELECT former_holder.pass_id, former_holder.own_values FROM former_holder
JOIN unnest($2::uuid[], $3::uuid[]) AS given(workspace_id, pass_id)
    ON former_holder.workspace_id = given.workspace_id AND former_holder.pass_id = given.pass_id
WHERE former_holder.holder_id = $1
"""

PUT_OFF = """
UPDATE former_holder SET waits_since = $4
WHERE workspace_id = $1 AND holder_id = $2 AND pass_id = ANY($3::uuid[])
"""

# Those that are looked at go to the end, so that many that never open keep no other waiting. One
# that somebody is at is left to them.
WAITING = """
WITH late AS MATERIALIZED (
    SELECT waiting.workspace_id, waiting.pass_id, waiting.holder_id
    FROM unnest($1::uuid[]) AS named(workspace_id) CROSS JOIN LATERAL (
        SELECT workspace_id, pass_id, holder_id FROM former_holder
        WHERE former_holder.workspace_id = named.workspace_id AND waits_since IS NOT NULL
            AND pass_id <> ALL($3::uuid[])
        ORDER BY waits_since, pass_id LIMIT $2
        FOR UPDATE SKIP LOCKED
    ) AS waiting
), looked_at AS (
    UPDATE former_holder SET waits_since = $4 FROM late
    WHERE former_holder.workspace_id = late.workspace_id
        AND former_holder.holder_id = late.holder_id AND former_holder.pass_id = late.pass_id
)
SELECT DISTINCT workspace_id, pass_id FROM late
"""

WAIT_FOR = """
SELECT holder_id FROM former_holder
WHERE workspace_id = $1 AND pass_id = $2 AND waits_since IS NOT NULL ORDER BY holder_id
"""

FORGET = """
DELETE FROM former_holder
WHERE workspace_id = $1 AND holder_id = $2 AND pass_id = ANY($3::uuid[])
"""


class PostgresFormerHolders:
    def __init__(self, lookup_keys: LookupKeys) -> None:
        self._lookup_keys = lookup_keys

    async def keep(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        holder_id: UUID,
        pass_id: UUID,
        *,
        own_values: Mapping[str, Scalar],
        now: datetime,
    ) -> None:
        hashes = {
            name: await self.digest(transaction, workspace_id, name, said)
            for name, said in own_values.items()
        }
        await transaction.execute(KEEP, workspace_id, holder_id, pass_id, json.dumps(hashes), now)

    async def copy(
        self, transaction: Transaction, workspace_id: UUID, old_pass_id: UUID, new_pass_id: UUID
    ) -> None:
        await transaction.execute(COPY, workspace_id, old_pass_id, new_pass_id)

    async def still_said(
        self, transaction: Transaction, holder_id: UUID, passes: Sequence[WalletPass]
    ) -> dict[UUID, frozenset[str]]:
        rows = await transaction.fetch(
            OWN_VALUES,
            holder_id,
            [each.workspace_id for each in passes],
            [each.pass_id for each in passes],
        )
        by_id = {each.pass_id: each for each in passes}
        return {
            row["pass_id"]: await self._same(
                transaction, by_id[row["pass_id"]], json.loads(row["own_values"])
            )
            for row in rows
        }

    async def put_off(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        holder_id: UUID,
        pass_ids: Collection[UUID],
        *,
        now: datetime,
    ) -> None:
        await transaction.execute(PUT_OFF, workspace_id, holder_id, list(pass_ids), now)

    async def waiting(
        self,
        transaction: Transaction,
        workspace_ids: Collection[UUID],
        *,
        now: datetime,
        limit: int,
        passing_over: Sequence[UUID],
    ) -> list[tuple[UUID, UUID]]:
        given = sorted(workspace_ids), limit, list(passing_over), now
        rows = await transaction.fetch(WAITING, *given)
        return [(row["workspace_id"], row["pass_id"]) for row in rows]

    async def wait_for(
        self, transaction: Transaction, workspace_id: UUID, pass_id: UUID
    ) -> list[UUID]:
        rows = await transaction.fetch(WAIT_FOR, workspace_id, pass_id)
        return [row["holder_id"] for row in rows]

    async def forget(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        holder_id: UUID,
        pass_ids: Collection[UUID],
    ) -> None:
        await transaction.execute(FORGET, workspace_id, holder_id, list(pass_ids))

    async def _same(
        self, transaction: Transaction, row: WalletPass, hashes: Mapping[str, str]
    ) -> frozenset[str]:
        same = [
            name
            for name, said in row.field_values.items()
            if name in hashes
            and hashes[name] == await self.digest(transaction, row.workspace_id, name, said)
        ]
        return frozenset(same)

    async def digest(
        self, transaction: Transaction, workspace_id: UUID, name: str, said: Scalar
    ) -> str:
        # Of a name, so that equal words in two fields are not seen to be equal.
        text = b"\x00".join((LABEL, name.encode(), json.dumps(said).encode()))
        return (await self._lookup_keys.digest(transaction, workspace_id, text)).hex()
