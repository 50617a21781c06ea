"""Signing identities and Google accounts in Postgres; opened ones stay in memory, bounded."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Collection
from typing import Any, Generic, TypeVar
from uuid import UUID

from passferry_pass_issuer.application.ports import (
    Cipher,
    GoogleCredential,
    SigningMaterial,
    Transaction,
)
from passferry_pass_issuer.domain import secret_contexts
from passferry_pass_issuer.domain.credentials import (
    CredentialNeed,
    GoogleAccountRecord,
    SigningIdentityRecord,
)

CACHED_CREDENTIALS = 1_000
#: Another replica may take an upload, so nothing opened is kept for long, and that something is
#: missing is not kept at all.
KEPT_S = 30.0

DEACTIVATE = """
UPDATE signing_identity SET is_active = false
WHERE workspace_id = $1 AND pass_type_identifier = $2 AND is_active
"""

INSERT_IDENTITY = """
INSERT INTO signing_identity (workspace_id, signing_identity_id, pass_type_identifier,
    team_identifier, certificate_pem, wwdr_pem, private_key_ciphertext, fingerprint_sha256, has_nfc,
    not_after, is_active, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, true, $11)
"""

_RECORD = """workspace_id, signing_identity_id, pass_type_identifier, team_identifier,
    fingerprint_sha256, has_nfc, not_after, is_active, created_at"""

IDENTITIES = f"""
SELECT {_RECORD} FROM signing_identity WHERE workspace_id = $1
ORDER BY is_active DESC, created_at DESC, signing_identity_id LIMIT 200
"""  # noqa: S608  # the columns are a constant of this module

BY_FINGERPRINT = f"""
SELECT {_RECORD} FROM signing_identity
WHERE workspace_id = $1 AND fingerprint_sha256 = $2
ORDER BY is_active DESC, created_at DESC LIMIT 1
"""  # noqa: S608  # the columns are a constant of this module

MATERIAL = """
SELECT workspace_id, signing_identity_id, pass_type_identifier, team_identifier,
    fingerprint_sha256, certificate_pem, wwdr_pem, private_key_ciphertext, not_after
FROM signing_identity WHERE workspace_id = $1 AND is_active
ORDER BY pass_type_identifier
"""

PUT_ACCOUNT = """
INSERT INTO google_account (workspace_id, issuer_id, client_email, private_key_id,
    credential_ciphertext, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $6)
ON CONFLICT (workspace_id, issuer_id) DO UPDATE
SET client_email = EXCLUDED.client_email, private_key_id = EXCLUDED.private_key_id,
    credential_ciphertext = EXCLUDED.credential_ciphertext, updated_at = EXCLUDED.updated_at
"""

ACCOUNTS = """
SELECT workspace_id, issuer_id, client_email, credential_ciphertext, created_at, updated_at
FROM google_account WHERE workspace_id = $1 ORDER BY issuer_id
"""

# Programs that still issue or still have passes name the templates that matter.
NEEDS = """
SELECT DISTINCT t.workspace_id, t.pass_type_identifier, t.team_identifier, t.google_issuer_id,
    i.team_identifier AS identity_team, i.not_after AS identity_not_after,
    a.issuer_id IS NOT NULL AS has_google_account
FROM template t
JOIN program p ON p.workspace_id = t.workspace_id AND p.template_id = t.template_id
    AND p.status <> 'retired'
LEFT JOIN signing_identity i ON i.workspace_id = t.workspace_id
    AND i.pass_type_identifier = t.pass_type_identifier AND i.is_active
LEFT JOIN google_account a ON a.workspace_id = t.workspace_id AND a.issuer_id = t.google_issuer_id
WHERE t.workspace_id = ANY($1::uuid[]) AND t.status = 'published'
LIMIT 10000
"""


class PostgresCredentialStore:
    async def replace_identity(
        self,
        transaction: Transaction,
        record: SigningIdentityRecord,
        *,
        certificate_pem: str,
        wwdr_pem: str,
        private_key_ciphertext: bytes,
    ) -> None:
        await transaction.execute(DEACTIVATE, record.workspace_id, record.pass_type_identifier)
        await transaction.execute(
            INSERT_IDENTITY,
            record.workspace_id,
            record.signing_identity_id,
            record.pass_type_identifier,
            record.team_identifier,
            certificate_pem,
            wwdr_pem,
            private_key_ciphertext,
            record.fingerprint_sha256,
            record.has_nfc,
            record.not_after,
            record.created_at,
        )

    async def identities(
        self, transaction: Transaction, workspace_id: UUID
    ) -> list[SigningIdentityRecord]:
        rows = await transaction.fetch(IDENTITIES, workspace_id)
        return [_identity(row) for row in rows]

    async def identity_by_fingerprint(
        self, transaction: Transaction, workspace_id: UUID, fingerprint_sha256: str
    ) -> SigningIdentityRecord | None:
        row = await transaction.fetchrow(BY_FINGERPRINT, workspace_id, fingerprint_sha256)
        return None if row is None else _identity(row)

    async def put_google_account(
        self,
        transaction: Transaction,
        record: GoogleAccountRecord,
        *,
        private_key_id: str,
        credential_ciphertext: bytes,
    ) -> None:
        await transaction.execute(
            PUT_ACCOUNT,
            record.workspace_id,
            record.issuer_id,
            record.client_email,
            private_key_id,
            credential_ciphertext,
            record.updated_at,
        )

    async def google_accounts(
        self, transaction: Transaction, workspace_id: UUID
    ) -> list[GoogleAccountRecord]:
        rows = await transaction.fetch(ACCOUNTS, workspace_id)
        return [
            GoogleAccountRecord(
                workspace_id=row["workspace_id"],
                issuer_id=row["issuer_id"],
                client_email=row["client_email"],
                created_at=row["created_at"],
                updated_at=row["updated_at"],
            )
            for row in rows
        ]

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
            )
            for row in rows
        ]


T = TypeVar("T")


class _Kept(Generic[T]):
    """Opened credentials of a workspace by their name, for a while; the oldest go first."""

    def __init__(self) -> None:
        self._entries: OrderedDict[tuple[UUID, str], tuple[float, T]] = OrderedDict()

    def get(self, workspace_id: UUID, name: str) -> T | None:
        entry = self._entries.get((workspace_id, name))
        if entry is None or time.monotonic() - entry[0] > KEPT_S:
            return None
        return entry[1]

    def keep(self, workspace_id: UUID, name: str, opened: T) -> None:
        key = workspace_id, name
        self._entries[key] = (time.monotonic(), opened)
        self._entries.move_to_end(key)
        while len(self._entries) > CACHED_CREDENTIALS:
            self._entries.popitem(last=False)

    def forget(self, workspace_id: UUID) -> None:
        for key in [key for key in self._entries if key[0] == workspace_id]:
            del self._entries[key]


class PostgresCredentials:
    """Keys in clear live here and in the signer, in memory only."""

    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher
        self._material = _Kept[SigningMaterial]()
        self._google = _Kept[GoogleCredential]()

    def forget(self, workspace_id: UUID) -> None:
        self._material.forget(workspace_id)
        self._google.forget(workspace_id)

    async def signing_material(
        self, transaction: Transaction, workspace_id: UUID, pass_type_identifier: str
    ) -> SigningMaterial | None:
        kept = self._material.get(workspace_id, pass_type_identifier)
        if kept is not None:
            return kept
        for material in await self.all_signing_material(transaction, workspace_id):
            self._material.keep(workspace_id, material.pass_type_identifier, material)
        return self._material.get(workspace_id, pass_type_identifier)

    async def all_signing_material(
        self, transaction: Transaction, workspace_id: UUID
    ) -> list[SigningMaterial]:
        rows = await transaction.fetch(MATERIAL, workspace_id)
        return [self._opened(row) for row in rows]

    async def google_credential(
        self, transaction: Transaction, workspace_id: UUID, issuer_id: str
    ) -> GoogleCredential | None:
        kept = self._google.get(workspace_id, issuer_id)
        if kept is not None:
            return kept
        for credential in await self.all_google_credentials(transaction, workspace_id):
            self._google.keep(workspace_id, credential.issuer_id, credential)
        return self._google.get(workspace_id, issuer_id)

    async def all_google_credentials(
        self, transaction: Transaction, workspace_id: UUID
    ) -> list[GoogleCredential]:
        rows = await transaction.fetch(ACCOUNTS, workspace_id)
        return [self._opened_account(row) for row in rows]

    def _opened(self, row: Any) -> SigningMaterial:
        context = secret_contexts.signing_key(row["workspace_id"], row["signing_identity_id"])
        return SigningMaterial(
            workspace_id=row["workspace_id"],
            pass_type_identifier=row["pass_type_identifier"],
            team_identifier=row["team_identifier"],
            fingerprint_sha256=row["fingerprint_sha256"],
            certificate_pem=row["certificate_pem"].encode(),
            private_key_pem=self._cipher.decrypt(row["private_key_ciphertext"], context=context),
            wwdr_pem=row["wwdr_pem"].encode(),
            not_after=row["not_after"],
        )

    def _opened_account(self, row: Any) -> GoogleCredential:
        context = secret_contexts.google_credential(row["workspace_id"], row["issuer_id"])
        opened = self._cipher.decrypt(row["credential_ciphertext"], context=context)
        return GoogleCredential(
            workspace_id=row["workspace_id"],
            issuer_id=row["issuer_id"],
            service_account=json.loads(opened),
        )


def _identity(row: Any) -> SigningIdentityRecord:
    return SigningIdentityRecord(
        workspace_id=row["workspace_id"],
        signing_identity_id=row["signing_identity_id"],
        pass_type_identifier=row["pass_type_identifier"],
        team_identifier=row["team_identifier"],
        fingerprint_sha256=row["fingerprint_sha256"],
        has_nfc=row["has_nfc"],
        not_after=row["not_after"],
        is_active=row["is_active"],
        created_at=row["created_at"],
    )
