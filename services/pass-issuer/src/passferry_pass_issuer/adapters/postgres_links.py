"""Links of passes in Postgres."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from passferry_pass_issuer.adapters.link_tokens import open_token
from passferry_pass_issuer.application.ports import Cipher, Transaction
from passferry_pass_issuer.domain import secret_contexts
from passferry_pass_issuer.domain.link import Link

INSERT = """
INSERT INTO link (workspace_id, link_id, pass_id, token_ciphertext, token_sha256, label, utm,
    is_extra, expires_at, is_revoked, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb, $8, $9, $10, $11)
"""

COUNTS = """
SELECT count(*) FILTER (WHERE NOT is_revoked AND (expires_at IS NULL OR expires_at > $3)),
    count(*)
FROM link WHERE workspace_id = $1 AND pass_id = $2
"""

# One label after the other in a workspace, so that the bound holds.
LOCK_LABELS = """
SELECT pg_advisory_xact_lock(hashtextextended('link_label:' || workspace_id::text, 0))
FROM workspace WHERE workspace_id = $1
"""

IS_LABEL = """
SELECT EXISTS (SELECT 1 FROM link_label WHERE workspace_id = $1 AND label = $2)
"""

INSERT_LABEL = """
INSERT INTO link_label (workspace_id, label, created_at)
SELECT $1, $2, $3
WHERE (SELECT count(*) FROM link_label WHERE workspace_id = $1) < $4
ON CONFLICT DO NOTHING
RETURNING label
"""

COLUMNS = """workspace_id, link_id, pass_id, token_ciphertext, token_sha256, label, utm, is_extra,
    expires_at, is_revoked, created_at"""  # columns of the table link

PAGE = f"""
SELECT {COLUMNS} FROM link
WHERE workspace_id = $1 AND pass_id = $2 AND ($3::uuid IS NULL OR link_id > $3)
ORDER BY link_id LIMIT $4
"""  # noqa: S608  # the columns are a constant

FIND = f"""
SELECT {COLUMNS} FROM link WHERE workspace_id = $1 AND pass_id = $2 AND link_id = $3
"""  # noqa: S608  # the columns are a constant

REVOKE = "UPDATE link SET is_revoked = true WHERE workspace_id = $1 AND link_id = $2"


class PostgresLinks:
    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher

    async def insert(self, transaction: Transaction, link: Link) -> None:
        context = secret_contexts.link_token(link.workspace_id, link.link_id)
        token = link.token
        await transaction.execute(
            INSERT,
            link.workspace_id,
            link.link_id,
            link.pass_id,
            None if token is None else self._cipher.encrypt(token.encode(), context=context),
            link.token_sha256,
            link.label,
            json.dumps(dict(link.utm)),
            link.is_extra,
            link.expires_at,
            link.is_revoked,
            link.created_at,
        )

    async def counts(
        self, transaction: Transaction, workspace_id: UUID, pass_id: UUID, now: datetime
    ) -> tuple[int, int]:
        row = await transaction.fetchrow(COUNTS, workspace_id, pass_id, now)
        return int(row[0]), int(row[1])

    async def use_label(
        self, transaction: Transaction, workspace_id: UUID, label: str, now: datetime, *, most: int
    ) -> bool:
        if await transaction.fetchval(IS_LABEL, workspace_id, label):
            return True
        await transaction.execute(LOCK_LABELS, workspace_id)
        if await transaction.fetchval(INSERT_LABEL, workspace_id, label, now, most) is not None:
            return True
        return bool(await transaction.fetchval(IS_LABEL, workspace_id, label))

    async def page(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        pass_id: UUID,
        *,
        after: UUID | None,
        limit: int,
    ) -> list[Link]:
        rows = await transaction.fetch(PAGE, workspace_id, pass_id, after, limit)
        return [self._link(row) for row in rows]

    async def find(
        self, transaction: Transaction, workspace_id: UUID, pass_id: UUID, link_id: UUID
    ) -> Link | None:
        row = await transaction.fetchrow(FIND, workspace_id, pass_id, link_id)
        return None if row is None else self._link(row)

    async def revoke(self, transaction: Transaction, workspace_id: UUID, link_id: UUID) -> None:
        await transaction.execute(REVOKE, workspace_id, link_id)

    def _link(self, row: Any) -> Link:
        return Link(
            workspace_id=row["workspace_id"],
            link_id=row["link_id"],
            pass_id=row["pass_id"],
            token=open_token(
                self._cipher,
                row["token_ciphertext"],
                workspace_id=row["workspace_id"],
                link_id=row["link_id"],
            ),
            token_sha256=row["token_sha256"],
            label=row["label"],
            utm=json.loads(row["utm"]),
            is_extra=row["is_extra"],
            expires_at=row["expires_at"],
            is_revoked=row["is_revoked"],
            created_at=row["created_at"],
        )
