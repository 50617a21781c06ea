"""Provider keys and Google accounts in Postgres, beside the signing identities."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from passferry_pass_issuer.adapters.postgres_identities import PostgresIdentities
from passferry_pass_issuer.application.ports import Transaction
from passferry_pass_issuer.domain.credentials import (
    CredentialNeed,
    GoogleAccountRecord,
    ProviderKeyRecord,
)

RETIRE_PROVIDER_KEY = """
UPDATE provider_key SET is_active = false
WHERE workspace_id = $1 AND team_identifier = $2 AND key_id <> $3 AND is_active
"""

PUT_PROVIDER_KEY = """
INSERT INTO provider_key (workspace_id, team_identifier, key_id, private_key_ciphertext, is_active,
    created_at)
VALUES ($1, $2, $3, $4, true, $5)
ON CONFLICT (workspace_id, team_identifier, key_id) DO UPDATE
SET private_key_ciphertext = EXCLUDED.private_key_ciphertext, is_active = true
"""

PROVIDER_KEYS = """
SELECT workspace_id, team_identifier, key_id, is_active, created_at
FROM provider_key WHERE workspace_id = $1
ORDER BY is_active DESC, team_identifier, created_at DESC, key_id LIMIT 200
"""

DELETE_PROVIDER_KEY = """
DELETE FROM provider_key WHERE workspace_id = $1 AND team_identifier = $2 AND key_id = $3
RETURNING key_id
"""

# Of those that do not sign only the one that did last stays.
DROP_GOOGLE_KEYS = """
DELETE FROM google_account
WHERE workspace_id = $1 AND issuer_id = $2 AND private_key_id <> $3 AND NOT is_active
"""

RETIRE_GOOGLE_KEY = """
UPDATE google_account SET is_active = false, updated_at = $4
WHERE workspace_id = $1 AND issuer_id = $2 AND private_key_id <> $3 AND is_active
"""

PUT_GOOGLE_KEY = """
INSERT INTO google_account (workspace_id, issuer_id, private_key_id, client_email,
    credential_ciphertext, is_active, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, true, $6, $6)
ON CONFLICT (workspace_id, issuer_id, private_key_id) DO UPDATE
SET client_email = EXCLUDED.client_email, is_active = true,
    credential_ciphertext = EXCLUDED.credential_ciphertext, updated_at = EXCLUDED.updated_at
"""

HAS_GOOGLE_KEY = """
SELECT 1 FROM google_account WHERE workspace_id = $1 AND issuer_id = $2 AND private_key_id = $3
"""

ACTIVATE_GOOGLE_KEY = """
UPDATE google_account SET is_active = true, updated_at = $4
WHERE workspace_id = $1 AND issuer_id = $2 AND private_key_id = $3
"""

DELETE_GOOGLE_KEY = """
DELETE FROM google_account
WHERE workspace_id = $1 AND issuer_id = $2 AND private_key_id = $3 AND NOT is_active
RETURNING private_key_id
"""

ACCOUNTS = """
SELECT workspace_id, issuer_id, client_email, private_key_id, is_active, created_at, updated_at
FROM google_account WHERE workspace_id = $1 ORDER BY issuer_id, is_active DESC LIMIT 200
"""

# Programs that still issue or still have passes name the templates that matter.
NEEDS = """
SELECT DISTINCT t.workspace_id, t.pass_type_identifier, t.team_identifier, t.google_issuer_id,
    i.team_identifier AS identity_team, i.not_after AS identity_not_after,
    a.issuer_id IS NOT NULL AS has_google_account,
    t.content #>> '{apple,nfc}' IS NOT NULL AND NOT coalesce(i.has_nfc, true) AS lacks_nfc
FROM template t
JOIN program p ON p.workspace_id = t.workspace_id AND p.template_id = t.template_id
    AND p.status <> 'retired'
LEFT JOIN signing_identity i ON i.workspace_id = t.workspace_id
    AND i.pass_type_identifier = t.pass_type_identifier AND i.is_active
LEFT JOIN google_account a ON a.workspace_id = t.workspace_id
    AND a.issuer_id = t.google_issuer_id AND a.is_active
WHERE t.workspace_id = ANY($1::uuid[]) AND t.status = 'published'
LIMIT 10000
"""


class PostgresCredentialStore(PostgresIdentities):
    async def put_provider_key(
        self, transaction: Transaction, record: ProviderKeyRecord, *, private_key_ciphertext: bytes
    ) -> None:
        names = record.workspace_id, record.team_identifier, record.key_id
        await transaction.execute(RETIRE_PROVIDER_KEY, *names)
        await transaction.execute(
            PUT_PROVIDER_KEY, *names, private_key_ciphertext, record.created_at
        )

    async def provider_keys(
        self, transaction: Transaction, workspace_id: UUID
    ) -> list[ProviderKeyRecord]:
        rows = await transaction.fetch(PROVIDER_KEYS, workspace_id)
        return [
            ProviderKeyRecord(
                workspace_id=row["workspace_id"],
                team_identifier=row["team_identifier"],
                key_id=row["key_id"],
                is_active=row["is_active"],
                created_at=row["created_at"],
            )
            for row in rows
        ]

    async def delete_provider_key(
        self, transaction: Transaction, workspace_id: UUID, team_identifier: str, key_id: str
    ) -> bool:
        names = workspace_id, team_identifier, key_id
        return await transaction.fetchval(DELETE_PROVIDER_KEY, *names) is not None

    async def put_google_account(
        self,
        transaction: Transaction,
        record: GoogleAccountRecord,
        *,
        credential_ciphertext: bytes,
    ) -> None:
        names = record.workspace_id, record.issuer_id, record.private_key_id
        accounts = await self.google_accounts(transaction, record.workspace_id)
        active = [each for each in accounts if each.is_active]
        if (record.issuer_id, record.private_key_id) not in {
            (each.issuer_id, each.private_key_id) for each in active
        }:
            # The one that signed until now becomes the one beside; who stood there goes.
            await transaction.execute(DROP_GOOGLE_KEYS, *names)
        await transaction.execute(RETIRE_GOOGLE_KEY, *names, record.updated_at)
        await transaction.execute(
            PUT_GOOGLE_KEY, *names, record.client_email, credential_ciphertext, record.updated_at
        )

    async def google_accounts(
        self, transaction: Transaction, workspace_id: UUID
    ) -> list[GoogleAccountRecord]:
        return [_account(row) for row in await transaction.fetch(ACCOUNTS, workspace_id)]

    async def activate_google_key(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        issuer_id: str,
        private_key_id: str,
        now: datetime,
    ) -> bool:
        names = workspace_id, issuer_id, private_key_id
        if await transaction.fetchval(HAS_GOOGLE_KEY, *names) is None:
            return False
        await transaction.execute(RETIRE_GOOGLE_KEY, *names, now)
        await transaction.execute(ACTIVATE_GOOGLE_KEY, *names, now)
        return True

    async def delete_google_key(
        self, transaction: Transaction, workspace_id: UUID, issuer_id: str, private_key_id: str
    ) -> bool:
        names = workspace_id, issuer_id, private_key_id
        return await transaction.fetchval(DELETE_GOOGLE_KEY, *names) is not None

    async def needs(
        self, transaction: Transaction, workspace_ids: Collection[UUID]
    ) -> list[CredentialNeed]:
        rows = await transaction.fetch(NEEDS, list(workspace_ids))
        return [
            CredentialNeed(
                workspace_id=row["workspace_id"],
                pass_type_identifier=row["pass_type_identifier"],
                team_identifier=row["team_identifier"],
                google_issuer_id=row["google_issuer_id"],
                identity_team=row["identity_team"],
                identity_not_after=row["identity_not_after"],
                has_google_account=row["has_google_account"],
                lacks_nfc=row["lacks_nfc"],
            )
            for row in rows
        ]


def _account(row: Any) -> GoogleAccountRecord:
    return GoogleAccountRecord(
        workspace_id=row["workspace_id"],
        issuer_id=row["issuer_id"],
        client_email=row["client_email"],
        private_key_id=row["private_key_id"],
        is_active=row["is_active"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
