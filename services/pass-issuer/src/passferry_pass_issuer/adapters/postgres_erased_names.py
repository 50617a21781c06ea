"""Names of erased people in Postgres, as keyed hashes that nobody can read back."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from passferry_pass_issuer.adapters.postgres_lookup_keys import LookupKeys
from passferry_pass_issuer.application.erased_people import NameKey
from passferry_pass_issuer.application.ports import Transaction
from passferry_pass_issuer.domain.erased_names import Name, holder_names

#: Apart from the hash by which addresses are found: neither is told from the other.
LABEL = b"erased_name"

OF_HOLDER = """
SELECT external_id, email_hmac, is_address_proven FROM holder
WHERE workspace_id = $1 AND holder_id = $2
"""

REMEMBER = """
INSERT INTO erased_name (workspace_id, name_hmac, erased_at)
SELECT holder.workspace_id, given.name_hmac, holder.erased_at
FROM holder CROSS JOIN unnest($3::bytea[]) AS given(name_hmac)
WHERE holder.workspace_id = $1 AND holder.holder_id = $2 AND holder.erased_at IS NOT NULL
ORDER BY given.name_hmac
ON CONFLICT (workspace_id, name_hmac)
    DO UPDATE SET erased_at = greatest(erased_name.erased_at, excluded.erased_at)
"""

ERASED_AT = """
SELECT given.place, erased_name.erased_at
FROM unnest($1::uuid[], $2::bytea[], $3::integer[]) AS given(workspace_id, name_hmac, place)
JOIN erased_name ON erased_name.workspace_id = given.workspace_id
    AND erased_name.name_hmac = given.name_hmac
"""

# A file that was ordered before an erasure still knows who was erased, however long it waits.
FORGET_OLD = """
DELETE FROM erased_name USING (
    SELECT old.workspace_id, old.name_hmac
    FROM unnest($1::uuid[]) AS named(workspace_id) CROSS JOIN LATERAL (
        SELECT workspace_id, name_hmac FROM erased_name
        WHERE erased_name.workspace_id = named.workspace_id AND erased_at < $2
            AND erased_at < (
                SELECT coalesce(min(created_at), 'infinity') FROM job
                WHERE job.workspace_id = named.workspace_id AND kind IN ('bulk_issue', 'bulk_change')
                    AND finished_at IS NULL)
        ORDER BY erased_at LIMIT $3
    ) AS old
) AS gone
WHERE erased_name.workspace_id = gone.workspace_id AND erased_name.name_hmac = gone.name_hmac
"""


class PostgresErasedNames:
    def __init__(self, lookup_keys: LookupKeys) -> None:
        self._lookup_keys = lookup_keys

    async def of_holder(
        self, transaction: Transaction, workspace_id: UUID, holder_id: UUID
    ) -> list[Name]:
        row = await transaction.fetchrow(OF_HOLDER, workspace_id, holder_id)
        if row is None:
            return []
        return holder_names(
            row["external_id"], row["email_hmac"], is_address_proven=row["is_address_proven"]
        )

    async def remember(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        holder_id: UUID,
        names: Collection[Name],
    ) -> None:
        if not names:
            return
        hmacs = {await self._hmac(transaction, workspace_id, name) for name in names}
        await transaction.execute(REMEMBER, workspace_id, holder_id, sorted(hmacs))

    async def erased_at(
        self, transaction: Transaction, wanted: Collection[NameKey]
    ) -> dict[NameKey, datetime]:
        keys = list(wanted)
        if not keys:
            return {}
        hmacs = [await self._hmac(transaction, *key) for key in keys]
        rows = await transaction.fetch(
            ERASED_AT, [workspace_id for workspace_id, _ in keys], hmacs, list(range(len(keys)))
        )
        return {keys[row["place"]]: row["erased_at"] for row in rows}

    async def forget_old(
        self,
        transaction: Transaction,
        workspace_ids: Collection[UUID],
        *,
        before: datetime,
        limit: int,
    ) -> int:
        done = await transaction.execute(FORGET_OLD, sorted(workspace_ids), before, limit)
        return int(done.rpartition(" ")[2])

    async def _hmac(self, transaction: Transaction, workspace_id: UUID, name: Name) -> bytes:
        text = b"\x00".join((LABEL, name.kind.value.encode(), name.text))
        return await self._lookup_keys.digest(transaction, workspace_id, text)
