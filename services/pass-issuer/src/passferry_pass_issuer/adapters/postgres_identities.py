"""Signing identities and requests for them in Postgres."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from passferry_pass_issuer.application.ports import Transaction
from passferry_pass_issuer.domain.credential_expiry import ExpiryNotice
from passferry_pass_issuer.domain.credentials import SigningIdentityRecord, SigningRequestRecord

#: A request that ended is shown for so long.
REQUEST_SHOWN = timedelta(days=30)

RETIRE = """
UPDATE signing_identity SET is_active = false, retired_at = $3
WHERE workspace_id = $1 AND pass_type_identifier = $2 AND is_active
"""

INSERT_IDENTITY = """
INSERT INTO signing_identity (workspace_id, signing_identity_id, pass_type_identifier,
    team_identifier, certificate_pem, wwdr_pem, private_key_ciphertext, fingerprint_sha256, has_nfc,
    not_after, is_active, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, true, $11)
"""

ACTIVATE = """
UPDATE signing_identity SET is_active = true, retired_at = NULL
WHERE workspace_id = $1 AND signing_identity_id = $2
"""

_IDENTITY = """workspace_id, signing_identity_id, pass_type_identifier, team_identifier,
    fingerprint_sha256, has_nfc, not_after, is_active, created_at, retired_at"""

IDENTITIES = f"""
SELECT {_IDENTITY} FROM signing_identity WHERE workspace_id = $1
ORDER BY is_active DESC, created_at DESC, signing_identity_id LIMIT 200
"""  # noqa: S608  # the columns are a constant of this module

IDENTITY = f"""
SELECT {_IDENTITY} FROM signing_identity WHERE workspace_id = $1 AND signing_identity_id = $2
"""  # noqa: S608  # the columns are a constant of this module

BY_FINGERPRINT = f"""
SELECT {_IDENTITY} FROM signing_identity
WHERE workspace_id = $1 AND fingerprint_sha256 = $2
ORDER BY is_active DESC, created_at DESC LIMIT 1
"""  # noqa: S608  # the columns are a constant of this module

DELETE_RETIRED = """
DELETE FROM signing_identity
WHERE workspace_id = $1 AND signing_identity_id = $2 AND NOT is_active
"""

DROP_RETIRED = """
DELETE FROM signing_identity
WHERE workspace_id = ANY($1::uuid[]) AND NOT is_active AND not_after <= $2
"""

INSERT_REQUEST = """
INSERT INTO signing_request (workspace_id, signing_request_id, pass_type_identifier, key_kind,
    request_pem, private_key_ciphertext, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""

_REQUEST = """workspace_id, signing_request_id, pass_type_identifier, key_kind, request_pem,
    signing_identity_id, fingerprint_sha256, created_at, expires_at"""

REQUESTS = f"""
SELECT {_REQUEST} FROM signing_request WHERE workspace_id = $1
ORDER BY created_at DESC, signing_request_id LIMIT 200
"""  # noqa: S608  # the columns are a constant of this module

LOCK_REQUEST = f"""
SELECT {_REQUEST}, private_key_ciphertext FROM signing_request
WHERE workspace_id = $1 AND signing_request_id = $2 FOR UPDATE
"""  # noqa: S608  # the columns are a constant of this module

COMPLETE_REQUEST = """
UPDATE signing_request
SET private_key_ciphertext = NULL, signing_identity_id = $3, fingerprint_sha256 = $4
WHERE workspace_id = $1 AND signing_request_id = $2
"""

DELETE_REQUEST = """
DELETE FROM signing_request WHERE workspace_id = $1 AND signing_request_id = $2
RETURNING signing_request_id
"""

# The key of a request that nobody completed goes with its end; a completed one has none any more.
DROP_REQUESTS = """
DELETE FROM signing_request
WHERE workspace_id = ANY($1::uuid[])
    AND (expires_at <= $2 AND signing_identity_id IS NULL OR expires_at <= $3)
"""

# The narrowest threshold wins; those that were told come as an array.
EXPIRING = """
SELECT i.workspace_id, i.signing_identity_id, i.pass_type_identifier, i.team_identifier,
    i.fingerprint_sha256, i.has_nfc, i.not_after, i.is_active, i.created_at, i.retired_at,
    ARRAY(SELECT n.threshold_days FROM expiry_notice n WHERE n.workspace_id = i.workspace_id
        AND n.signing_identity_id = i.signing_identity_id) AS told
FROM signing_identity i
WHERE i.workspace_id = ANY($1::uuid[]) AND i.is_active AND i.not_after <= $2
ORDER BY i.not_after, i.signing_identity_id LIMIT 1000
"""

SETTLE = """
INSERT INTO expiry_notice (workspace_id, signing_identity_id, threshold_days, told_at)
SELECT $1, $2, unnest($3::smallint[]), $4
ON CONFLICT (workspace_id, signing_identity_id, threshold_days) DO NOTHING
RETURNING threshold_days
"""


class PostgresIdentities:
    async def replace_identity(
        self,
        transaction: Transaction,
        record: SigningIdentityRecord,
        *,
        certificate_pem: str,
        wwdr_pem: str,
        private_key_ciphertext: bytes,
    ) -> None:
        names = record.workspace_id, record.pass_type_identifier
        await transaction.execute(RETIRE, *names, record.created_at)
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

    async def activate_identity(
        self, transaction: Transaction, record: SigningIdentityRecord, now: datetime
    ) -> None:
        names = record.workspace_id, record.pass_type_identifier
        await transaction.execute(RETIRE, *names, now)
        await transaction.execute(ACTIVATE, record.workspace_id, record.signing_identity_id)

    async def identities(
        self, transaction: Transaction, workspace_id: UUID
    ) -> list[SigningIdentityRecord]:
        return [_identity(row) for row in await transaction.fetch(IDENTITIES, workspace_id)]

    async def identity(
        self, transaction: Transaction, workspace_id: UUID, signing_identity_id: UUID
    ) -> SigningIdentityRecord | None:
        row = await transaction.fetchrow(IDENTITY, workspace_id, signing_identity_id)
        return None if row is None else _identity(row)

    async def identity_by_fingerprint(
        self, transaction: Transaction, workspace_id: UUID, fingerprint_sha256: str
    ) -> SigningIdentityRecord | None:
        row = await transaction.fetchrow(BY_FINGERPRINT, workspace_id, fingerprint_sha256)
        return None if row is None else _identity(row)

    async def delete_retired(
        self, transaction: Transaction, workspace_id: UUID, signing_identity_id: UUID
    ) -> None:
        await transaction.execute(DELETE_RETIRED, workspace_id, signing_identity_id)

    async def drop_retired(
        self, transaction: Transaction, workspace_ids: Collection[UUID], now: datetime
    ) -> int:
        done = await transaction.execute(DROP_RETIRED, list(workspace_ids), now)
        return int(done.rsplit(" ", 1)[1])

    async def insert_request(
        self,
        transaction: Transaction,
        record: SigningRequestRecord,
        *,
        private_key_ciphertext: bytes,
    ) -> None:
        await transaction.execute(
            INSERT_REQUEST,
            record.workspace_id,
            record.signing_request_id,
            record.pass_type_identifier,
            record.key_kind,
            record.request_pem,
            private_key_ciphertext,
            record.created_at,
            record.expires_at,
        )

    async def requests(
        self, transaction: Transaction, workspace_id: UUID
    ) -> list[SigningRequestRecord]:
        return [_request(row) for row in await transaction.fetch(REQUESTS, workspace_id)]

    async def lock_request(
        self, transaction: Transaction, workspace_id: UUID, signing_request_id: UUID
    ) -> tuple[SigningRequestRecord, bytes | None] | None:
        row = await transaction.fetchrow(LOCK_REQUEST, workspace_id, signing_request_id)
        return None if row is None else (_request(row), row["private_key_ciphertext"])

    async def complete_request(
        self, transaction: Transaction, record: SigningRequestRecord
    ) -> None:
        await transaction.execute(
            COMPLETE_REQUEST,
            record.workspace_id,
            record.signing_request_id,
            record.signing_identity_id,
            record.fingerprint_sha256,
        )

    async def delete_request(
        self, transaction: Transaction, workspace_id: UUID, signing_request_id: UUID
    ) -> bool:
        found = await transaction.fetchval(DELETE_REQUEST, workspace_id, signing_request_id)
        return found is not None

    async def drop_expired_requests(
        self, transaction: Transaction, workspace_ids: Collection[UUID], now: datetime
    ) -> int:
        done = await transaction.execute(
            DROP_REQUESTS, list(workspace_ids), now, now - REQUEST_SHOWN
        )
        return int(done.rsplit(" ", 1)[1])

    async def expiring(
        self, transaction: Transaction, workspace_ids: Collection[UUID], before: datetime
    ) -> list[tuple[SigningIdentityRecord, tuple[int, ...]]]:
        rows = await transaction.fetch(EXPIRING, list(workspace_ids), before)
        return [(_identity(row), tuple(row["told"])) for row in rows]

    async def settle(self, transaction: Transaction, notice: ExpiryNotice, now: datetime) -> bool:
        identity = notice.identity
        names = identity.workspace_id, identity.signing_identity_id
        rows = await transaction.fetch(SETTLE, *names, list(notice.settles), now)
        return notice.threshold_days in {row["threshold_days"] for row in rows}


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
        retired_at=row["retired_at"],
    )


def _request(row: Any) -> SigningRequestRecord:
    return SigningRequestRecord(
        workspace_id=row["workspace_id"],
        signing_request_id=row["signing_request_id"],
        pass_type_identifier=row["pass_type_identifier"],
        key_kind=row["key_kind"],
        request_pem=row["request_pem"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        signing_identity_id=row["signing_identity_id"],
        fingerprint_sha256=row["fingerprint_sha256"],
    )
