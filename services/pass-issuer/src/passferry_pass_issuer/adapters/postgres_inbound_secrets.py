"""Secrets of upstream systems in Postgres, as ciphertext."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from uuid import UUID

from passferry_pass_issuer.application.check_inbound_signatures import InboundSecret
from passferry_pass_issuer.application.ports import Cipher, Transaction
from passferry_pass_issuer.domain import secret_contexts
from passferry_pass_issuer.domain.inbound_signature import InboundKeys, key_of

KEYS = """
SELECT w.workspace_id, w.requires_inbound_signature, s.inbound_secret_id, s.secret_ciphertext
FROM workspace w
LEFT JOIN inbound_secret s ON s.workspace_id = w.workspace_id
WHERE w.workspace_id = ANY($1::uuid[])
"""

LOCK = """
SELECT requires_inbound_signature FROM workspace WHERE workspace_id = $1
FOR NO KEY UPDATE
"""

IS_REQUIRED = "SELECT requires_inbound_signature FROM workspace WHERE workspace_id = $1"

LIST = """
SELECT workspace_id, inbound_secret_id, created_by, created_at FROM inbound_secret
WHERE workspace_id = $1 ORDER BY inbound_secret_id
"""

INSERT = """
INSERT INTO inbound_secret (workspace_id, inbound_secret_id, secret_ciphertext, created_by,
    created_at)
VALUES ($1, $2, $3, $4, $5)
"""

DELETE = """
DELETE FROM inbound_secret WHERE workspace_id = $1 AND inbound_secret_id = $2
RETURNING inbound_secret_id
"""

REQUIRE = "UPDATE workspace SET requires_inbound_signature = $2 WHERE workspace_id = $1"


class PostgresInboundSecrets:
    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher

    async def keys(
        self, transaction: Transaction, workspace_ids: Collection[UUID]
    ) -> Mapping[UUID, InboundKeys]:
        found: dict[UUID, tuple[bool, list[bytes]]] = {}
        for row in await transaction.fetch(KEYS, list(workspace_ids)):
            workspace_id, secret_id = row["workspace_id"], row["inbound_secret_id"]
            _, keys = found.setdefault(workspace_id, (row["requires_inbound_signature"], []))
            if secret_id is not None:
                context = secret_contexts.inbound_secret(workspace_id, secret_id)
                opened = self._cipher.decrypt(row["secret_ciphertext"], context=context)
                keys.append(key_of(opened.decode()))
        return {
            workspace_id: InboundKeys(is_required=is_required, keys=tuple(keys))
            for workspace_id, (is_required, keys) in found.items()
        }

    async def lock(self, transaction: Transaction, workspace_id: UUID) -> bool:
        return bool(await transaction.fetchval(LOCK, workspace_id))

    async def is_required(self, transaction: Transaction, workspace_id: UUID) -> bool:
        return bool(await transaction.fetchval(IS_REQUIRED, workspace_id))

    async def list(self, transaction: Transaction, workspace_id: UUID) -> list[InboundSecret]:
        return [InboundSecret(**dict(row)) for row in await transaction.fetch(LIST, workspace_id)]

    async def insert(self, transaction: Transaction, record: InboundSecret, secret: str) -> None:
        context = secret_contexts.inbound_secret(record.workspace_id, record.inbound_secret_id)
        await transaction.execute(
            INSERT,
            record.workspace_id,
            record.inbound_secret_id,
            self._cipher.encrypt(secret.encode(), context=context),
            record.created_by,
            record.created_at,
        )

    async def delete(
        self, transaction: Transaction, workspace_id: UUID, inbound_secret_id: UUID
    ) -> bool:
        return await transaction.fetchval(DELETE, workspace_id, inbound_secret_id) is not None

    async def require(
        self, transaction: Transaction, workspace_id: UUID, *, is_required: bool
    ) -> None:
        await transaction.execute(REQUIRE, workspace_id, is_required)
