"""Workspaces and API keys in Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from passferry_contracts.types import Role, WorkspaceKind
from passferry_pass_issuer.application.ports import Transaction
from passferry_pass_issuer.domain.api_key import ApiKey
from passferry_pass_issuer.domain.workspace import Workspace

INSERT_WORKSPACE = """
INSERT INTO workspace (workspace_id, kind, parent_workspace_id, external_id, name, is_suspended,
    lookup_key_ciphertext, revision, credentials_revision, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT DO NOTHING
RETURNING workspace_id
"""

INSERT_INDEX = "INSERT INTO workspace_index (workspace_id, created_at) VALUES ($1, $2)"

# A conflict with another workspace's row cannot be seen, only noticed by what is missing.
INSERT_BUSINESS_IDS = """
INSERT INTO workspace_business_id (workspace_id, business_id)
SELECT $1, business_id FROM unnest($2::text[]) AS given(business_id)
ON CONFLICT DO NOTHING
"""

COUNT_BUSINESS_IDS = """
SELECT count(*) FROM workspace_business_id
WHERE workspace_id = $1 AND business_id = ANY($2::text[])
"""

DELETE_BUSINESS_IDS = """
DELETE FROM workspace_business_id
WHERE workspace_id = $1 AND NOT business_id = ANY($2::text[])
"""

UPDATE_WORKSPACE = """
UPDATE workspace
SET name = $2, is_suspended = $3, revision = $4, updated_at = $5
WHERE workspace_id = $1
"""

NEXT_CREDENTIALS_REVISION = """
UPDATE workspace SET credentials_revision = credentials_revision + 1
WHERE workspace_id = $1
RETURNING credentials_revision
"""

SELECT_WORKSPACES = """
SELECT w.workspace_id, w.kind, w.parent_workspace_id, w.external_id, w.name, w.is_suspended,
    w.revision, w.credentials_revision, w.created_at, w.updated_at,
    ARRAY(SELECT b.business_id FROM workspace_business_id b
          WHERE b.workspace_id = w.workspace_id ORDER BY b.business_id) AS business_ids
FROM workspace w
WHERE w.workspace_id = ANY($1::uuid[])
ORDER BY w.workspace_id
"""

# Whoever writes a row that names the workspace does not wait for it.
LOCK_WORKSPACE = "SELECT 1 FROM workspace WHERE workspace_id = $1 FOR NO KEY UPDATE"

# workspace_id orders by age, because it is a UUIDv7.
SELECT_IDS = """
SELECT workspace_id FROM workspace_index
WHERE $1::uuid IS NULL OR workspace_id > $1
ORDER BY workspace_id LIMIT $2
"""

SELECT_ISSUER_IDS = """
SELECT issuer_id FROM google_account WHERE workspace_id = $1 AND is_active ORDER BY issuer_id
"""

SELECT_KEYS = """
SELECT workspace_id, key_id, secret_sha256, role, name, expires_at, revoked_at, created_by,
    created_at
FROM api_key WHERE workspace_id = $1
ORDER BY revoked_at IS NOT NULL, created_at DESC, key_id LIMIT 500
"""

INSERT_KEY = """
INSERT INTO api_key (workspace_id, key_id, secret_sha256, role, name, expires_at, created_by,
    created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""

REVOKE_KEY = """
UPDATE api_key SET revoked_at = $3
WHERE workspace_id = $1 AND key_id = $2 AND revoked_at IS NULL
RETURNING key_id
"""


class PostgresWorkspaces:
    async def insert(
        self, transaction: Transaction, workspace: Workspace, *, lookup_key_ciphertext: bytes
    ) -> bool:
        inserted = await transaction.fetchval(
            INSERT_WORKSPACE,
            workspace.workspace_id,
            workspace.kind.value,
            workspace.parent_workspace_id,
            workspace.external_id,
            workspace.name,
            workspace.is_suspended,
            lookup_key_ciphertext,
            workspace.revision,
            workspace.credentials_revision,
            workspace.created_at,
            workspace.updated_at,
        )
        if inserted is None:
            return False
        await transaction.execute(INSERT_INDEX, workspace.workspace_id, workspace.created_at)
        return await self._put_business_ids(transaction, workspace)

    async def _put_business_ids(self, transaction: Transaction, workspace: Workspace) -> bool:
        wanted = list(workspace.business_ids)
        workspace_id = workspace.workspace_id
        await transaction.execute(DELETE_BUSINESS_IDS, workspace_id, wanted)
        if not wanted:
            return True
        await transaction.execute(INSERT_BUSINESS_IDS, workspace_id, wanted)
        count = await transaction.fetchval(COUNT_BUSINESS_IDS, workspace_id, wanted)
        return bool(count == len(set(wanted)))

    async def lock(self, transaction: Transaction, workspace_id: UUID) -> Workspace | None:
        if await transaction.fetchval(LOCK_WORKSPACE, workspace_id) is None:
            return None
        return await self.find(transaction, workspace_id)

    async def find(self, transaction: Transaction, workspace_id: UUID) -> Workspace | None:
        found = await self.by_ids(transaction, [workspace_id])
        return found[0] if found else None

    async def by_ids(
        self, transaction: Transaction, workspace_ids: Sequence[UUID]
    ) -> list[Workspace]:
        rows = await transaction.fetch(SELECT_WORKSPACES, list(workspace_ids))
        return [_workspace(row) for row in rows]

    async def ids(self, transaction: Transaction, *, after: UUID | None, limit: int) -> list[UUID]:
        rows = await transaction.fetch(SELECT_IDS, after, limit)
        return [row["workspace_id"] for row in rows]

    async def update(self, transaction: Transaction, workspace: Workspace) -> bool:
        await transaction.execute(
            UPDATE_WORKSPACE,
            workspace.workspace_id,
            workspace.name,
            workspace.is_suspended,
            workspace.revision,
            workspace.updated_at,
        )
        return await self._put_business_ids(transaction, workspace)

    async def next_credentials_revision(self, transaction: Transaction, workspace_id: UUID) -> int:
        return int(await transaction.fetchval(NEXT_CREDENTIALS_REVISION, workspace_id))

    async def google_issuer_ids(self, transaction: Transaction, workspace_id: UUID) -> list[str]:
        rows = await transaction.fetch(SELECT_ISSUER_IDS, workspace_id)
        return [row["issuer_id"] for row in rows]


class PostgresApiKeys:
    async def of_workspace(self, transaction: Transaction, workspace_id: UUID) -> list[ApiKey]:
        rows = await transaction.fetch(SELECT_KEYS, workspace_id)
        return [_api_key(row) for row in rows]

    async def insert(self, transaction: Transaction, api_key: ApiKey) -> None:
        await transaction.execute(
            INSERT_KEY,
            api_key.workspace_id,
            api_key.key_id,
            api_key.secret_sha256,
            api_key.role.value,
            api_key.name,
            api_key.expires_at,
            api_key.created_by,
            api_key.created_at,
        )

    async def revoke(
        self, transaction: Transaction, workspace_id: UUID, key_id: str, at: datetime
    ) -> bool:
        revoked = await transaction.fetchval(REVOKE_KEY, workspace_id, key_id, at)
        return revoked is not None


def _workspace(row: Any) -> Workspace:
    return Workspace(
        workspace_id=row["workspace_id"],
        kind=WorkspaceKind(row["kind"]),
        parent_workspace_id=row["parent_workspace_id"],
        external_id=row["external_id"],
        name=row["name"],
        is_suspended=row["is_suspended"],
        business_ids=tuple(row["business_ids"]),
        revision=row["revision"],
        credentials_revision=row["credentials_revision"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _api_key(row: Any) -> ApiKey:
    return ApiKey(
        workspace_id=row["workspace_id"],
        key_id=row["key_id"],
        secret_sha256=row["secret_sha256"],
        role=Role(row["role"]),
        name=row["name"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        created_by=row["created_by"],
        created_at=row["created_at"],
    )
