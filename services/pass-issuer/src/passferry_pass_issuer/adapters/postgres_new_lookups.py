"""What is found by the look-up key of a workspace, digested again under a new one."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from passferry_pass_issuer.adapters.postgres_former_holders import PostgresFormerHolders
from passferry_pass_issuer.adapters.postgres_holders import PostgresHolders
from passferry_pass_issuer.adapters.postgres_lookup_keys import LOOKUP_KEY, GivenLookupKey
from passferry_pass_issuer.application.ports import Cipher, Transaction
from passferry_pass_issuer.application.replace_lookup_key import DigestedPage
from passferry_pass_issuer.domain.former_values import fields_about
from passferry_runtime.crypto import DecryptionFailed, KeyRing, key_id_of

NOBODY = UUID(int=0)

HOLDERS = """
SELECT holder_id FROM holder
WHERE workspace_id = $1 AND email_hmac IS NOT NULL AND holder_id > $2
ORDER BY holder_id LIMIT $3
FOR NO KEY UPDATE
"""

PUT_ADDRESSES = """
UPDATE holder SET email_hmac = given.email_hmac
FROM unnest($2::uuid[], $3::bytea[]) AS given(holder_id, email_hmac)
WHERE holder.workspace_id = $1 AND holder.holder_id = given.holder_id
"""

# Fields that a pass has no more say nothing of anybody.
FORMER_HOLDERS = """
SELECT former.holder_id, former.pass_id, former.own_values, pass.field_values
FROM former_holder AS former JOIN pass ON pass.workspace_id = former.workspace_id
    AND pass.pass_id = former.pass_id
WHERE former.workspace_id = $1 AND (former.holder_id, former.pass_id) > ($2, $3)
ORDER BY former.holder_id, former.pass_id LIMIT $4
FOR NO KEY UPDATE OF former
"""

PUT_OWN_VALUES = """
UPDATE former_holder SET own_values = former_holder.own_values || given.own_values::jsonb
FROM unnest($2::uuid[], $3::uuid[], $4::text[]) AS given(holder_id, pass_id, own_values)
WHERE former_holder.workspace_id = $1 AND former_holder.holder_id = given.holder_id
    AND former_holder.pass_id = given.pass_id
"""

REPLACE = """
UPDATE workspace SET lookup_key_ciphertext = $3
WHERE workspace_id = $1 AND lookup_key_ciphertext = $2
RETURNING workspace_id
"""

COUNT_ERASED_NAMES = "SELECT count(*) FROM erased_name WHERE workspace_id = $1"


class PostgresLookupKeyRows:
    async def sealed(self, transaction: Transaction, workspace_id: UUID) -> bytes | None:
        found: bytes | None = await transaction.fetchval(LOOKUP_KEY, workspace_id)
        return found

    async def replace(
        self, transaction: Transaction, workspace_id: UUID, *, old: bytes, new: bytes
    ) -> bool:
        return await transaction.fetchval(REPLACE, workspace_id, old, new) is not None

    async def count_erased_names(self, transaction: Transaction, workspace_id: UUID) -> int:
        return int(await transaction.fetchval(COUNT_ERASED_NAMES, workspace_id))


class PostgresNewLookups:
    """What cannot be known again keeps its old digest, which nothing is equal to."""

    def __init__(self, cipher: Cipher, key: bytes) -> None:
        lookup_key = GivenLookupKey(key)
        self._holders = PostgresHolders(cipher, lookup_key)
        self._former = PostgresFormerHolders(lookup_key)

    async def addresses(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        *,
        after: tuple[Any, ...] | None,
        limit: int,
    ) -> DigestedPage:
        rows = await transaction.fetch(HOLDERS, workspace_id, *(after or (NOBODY,)), limit)
        facts = await self._holders.facts(
            transaction, [(workspace_id, row["holder_id"]) for row in rows]
        )
        digests = {
            each.holder_id: await self._holders.email_hmac(transaction, workspace_id, each.email)
            for each in facts.values()
            if each.email is not None
        }
        await transaction.execute(
            PUT_ADDRESSES, workspace_id, list(digests), list(digests.values())
        )
        last = (rows[-1]["holder_id"],) if len(rows) == limit else None
        return DigestedPage(last=last, known=len(digests), lost=len(rows) - len(digests))

    async def former_values(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        *,
        after: tuple[Any, ...] | None,
        limit: int,
    ) -> DigestedPage:
        rows = await transaction.fetch(
            FORMER_HOLDERS, workspace_id, *(after or (NOBODY, NOBODY)), limit
        )
        facts = await self._holders.facts(
            transaction, [(workspace_id, row["holder_id"]) for row in rows]
        )
        digests, known, lost = list[str](), 0, 0
        for row in rows:
            own, said = json.loads(row["own_values"]), json.loads(row["field_values"])
            still = {name: said[name] for name in own if name in said}
            holder = facts.get((workspace_id, row["holder_id"]))
            # The values of then are not known: what speaks of them now did then.
            about = fields_about(holder, still) if holder is not None else frozenset()
            again = {
                name: await self._former.digest(transaction, workspace_id, name, still[name])
                for name in sorted(about)
            }
            digests.append(json.dumps(again))
            known, lost = known + len(again), lost + len(still) - len(again)
        await transaction.execute(
            PUT_OWN_VALUES,
            workspace_id,
            [row["holder_id"] for row in rows],
            [row["pass_id"] for row in rows],
            digests,
        )
        last = (rows[-1]["holder_id"], rows[-1]["pass_id"]) if len(rows) == limit else None
        return DigestedPage(last=last, known=known, lost=lost)


class RingOfLostSecrets:
    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    def opens(self, ciphertext: bytes, *, context: str) -> bool:
        try:
            self._ring.decrypt(ciphertext, context=context)
        except DecryptionFailed:
            return False
        return True

    def key_id_of(self, ciphertext: bytes) -> str | None:
        return key_id_of(ciphertext)
