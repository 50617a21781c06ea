"""Signing identities and Google accounts: checked, sealed, and told to the notifier alone."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from passferry_contracts.events.directory import WorkspaceCredentialsChanged
from passferry_contracts.registry import WORKSPACE_CREDENTIALS
from passferry_pass_issuer.application.administer_workspaces import AnnounceAccess, Workspaces
from passferry_pass_issuer.application.ports import (
    Cipher,
    Credentials,
    SigningMaterial,
    Transaction,
)
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain import secret_contexts
from passferry_pass_issuer.domain.credentials import (
    CredentialNeed,
    GoogleAccountRecord,
    SigningIdentityRecord,
)
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_runtime.errors import Conflict, NotFound
from passferry_runtime.ids import uuid7

#: Active pass types and Google issuers of one workspace: all go into one record.
MAX_ACTIVE_IDENTITIES = 20
MAX_GOOGLE_ACCOUNTS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedIdentity:
    """An upload that passed the checks; the key is in clear, for a moment."""

    pass_type_identifier: str
    team_identifier: str
    certificate_pem: bytes
    private_key_pem: bytes
    wwdr_pem: bytes
    not_after: datetime
    has_nfc: bool
    fingerprint_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityUpload:
    """Either PEM (certificate and key) or PKCS#12; the expected identifiers if they are known."""

    certificate_pem: bytes | None = None
    private_key_pem: bytes | None = None
    p12: bytes | None = None
    password: bytes | None = None
    pass_type_identifier: str | None = None
    team_identifier: str | None = None


class IdentityChecker(Protocol):
    def check(self, upload: IdentityUpload, *, now: datetime) -> CheckedIdentity:
        """Raises `ContentRejected` naming the field and the code."""


class CredentialStore(Protocol):
    async def replace_identity(
        self,
        transaction: Transaction,
        record: SigningIdentityRecord,
        *,
        certificate_pem: str,
        wwdr_pem: str,
        private_key_ciphertext: bytes,
    ) -> None:
        """Insert as the active one of its pass type; the one before it becomes inactive."""

    async def identities(
        self, transaction: Transaction, workspace_id: UUID
    ) -> list[SigningIdentityRecord]:
        """Active ones first, then the newest; at most 200."""

    async def identity_by_fingerprint(
        self, transaction: Transaction, workspace_id: UUID, fingerprint_sha256: str
    ) -> SigningIdentityRecord | None: ...

    async def put_google_account(
        self,
        transaction: Transaction,
        record: GoogleAccountRecord,
        *,
        private_key_id: str,
        credential_ciphertext: bytes,
    ) -> None: ...

    async def google_accounts(
        self, transaction: Transaction, workspace_id: UUID
    ) -> list[GoogleAccountRecord]: ...

    async def needs(
        self, transaction: Transaction, workspace_ids: Collection[UUID]
    ) -> list[CredentialNeed]: ...


@dataclass(frozen=True, kw_only=True)
class AnnounceCredentials:
    """Seals all active credentials of a workspace for the notifier."""

    workspaces: Workspaces
    store: CredentialStore
    credentials: Credentials
    seal: Cipher

    async def __call__(self, work: Work, workspace_id: UUID) -> None:
        self.credentials.forget(workspace_id)
        # Another request may open what it finds before this commits: forget it once more then.
        work.after_commit.append(lambda: self.credentials.forget(workspace_id))
        revision = await self.workspaces.next_credentials_revision(work.transaction, workspace_id)
        opened = {
            "apple": [
                _certificate_entry(material)
                for material in await self.credentials.all_signing_material(
                    work.transaction, workspace_id
                )
            ],
            "google": [
                {"issuer_id": found.issuer_id, "service_account": found.service_account}
                for found in await self.credentials.all_google_credentials(
                    work.transaction, workspace_id
                )
            ],
        }
        sealed = self.seal.encrypt(
            json.dumps(opened).encode(),
            context=secret_contexts.workspace_credentials(workspace_id),
        )
        work.transaction.emit(
            WORKSPACE_CREDENTIALS,
            WorkspaceCredentialsChanged(
                workspace_id=workspace_id,
                ciphertext=base64.b64encode(sealed).decode(),
                revision=revision,
                changed_at=work.now,
            ),
        )


def _certificate_entry(material: SigningMaterial) -> dict[str, str]:
    return {
        "pass_type_identifier": material.pass_type_identifier,
        "team_identifier": material.team_identifier,
        "kind": "certificate",
        "certificate_pem": material.certificate_pem.decode(),
        "private_key_pem": material.private_key_pem.decode(),
        "chain_pem": material.wwdr_pem.decode(),
    }


@dataclass(frozen=True, kw_only=True)
class UploadSigningIdentity:
    checker: IdentityChecker
    store: CredentialStore
    cipher: Cipher
    announce: AnnounceCredentials
    workspaces: Workspaces
    #: Signs, later and in pages, what waits for this identity.
    sign_waiting: Callable[[UUID, str], None]

    async def __call__(
        self, work: Work, workspace_id: UUID, upload: IdentityUpload
    ) -> SigningIdentityRecord:
        """The same certificate again is the same identity."""
        checked = self.checker.check(upload, now=work.now)
        # Uploads of one workspace take turns, so that the record sent last is the newest.
        if await self.workspaces.lock(work.transaction, workspace_id) is None:
            raise NotFound("workspace_not_found", "there is no such workspace")
        known = await self.store.identity_by_fingerprint(
            work.transaction, workspace_id, checked.fingerprint_sha256
        )
        if known is not None and known.is_active:
            return known
        await self._check_number(work, workspace_id, checked.pass_type_identifier)
        record = SigningIdentityRecord(
            workspace_id=workspace_id,
            signing_identity_id=uuid7(),
            pass_type_identifier=checked.pass_type_identifier,
            team_identifier=checked.team_identifier,
            fingerprint_sha256=checked.fingerprint_sha256,
            has_nfc=checked.has_nfc,
            not_after=checked.not_after,
            is_active=True,
            created_at=work.now,
        )
        context = secret_contexts.signing_key(workspace_id, record.signing_identity_id)
        await self.store.replace_identity(
            work.transaction,
            record,
            certificate_pem=checked.certificate_pem.decode(),
            wwdr_pem=checked.wwdr_pem.decode(),
            private_key_ciphertext=self.cipher.encrypt(checked.private_key_pem, context=context),
        )
        await self.announce(work, workspace_id)
        await work.audit(
            workspace_id,
            "signing_identity.uploaded",
            record.signing_identity_id,
            after={
                "pass_type_identifier": record.pass_type_identifier,
                "fingerprint_sha256": record.fingerprint_sha256,
                "not_after": record.not_after,
            },
        )
        work.after_commit.append(
            lambda: self.sign_waiting(workspace_id, record.pass_type_identifier)
        )
        return record

    async def _check_number(self, work: Work, workspace_id: UUID, pass_type: str) -> None:
        identities = await self.store.identities(work.transaction, workspace_id)
        active = {found.pass_type_identifier for found in identities if found.is_active}
        if len(active | {pass_type}) > MAX_ACTIVE_IDENTITIES:
            raise Conflict("too_many_identities", f"at most {MAX_ACTIVE_IDENTITIES} pass types")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedServiceAccount:
    client_email: str
    private_key_id: str


class ServiceAccountChecker(Protocol):
    def check(self, service_account: Mapping[str, Any]) -> CheckedServiceAccount:
        """Raises `ContentRejected` naming the field and the code."""


@dataclass(frozen=True, kw_only=True)
class UploadGoogleAccount:
    checker: ServiceAccountChecker
    store: CredentialStore
    cipher: Cipher
    announce: AnnounceCredentials
    announce_access: AnnounceAccess
    workspaces: Workspaces

    async def __call__(
        self, work: Work, workspace_id: UUID, issuer_id: str, service_account: Mapping[str, Any]
    ) -> GoogleAccountRecord:
        """The service account of an issuer; a newer one takes the place of the one before."""
        if not issuer_id.isdigit() or len(issuer_id) > 32:
            raise ContentRejected("invalid", "issuer_id", "is 1 to 32 digits")
        checked = self.checker.check(service_account)
        workspace = await self.workspaces.lock(work.transaction, workspace_id)
        if workspace is None:
            raise NotFound("workspace_not_found", "there is no such workspace")
        accounts = await self.store.google_accounts(work.transaction, workspace_id)
        if len({found.issuer_id for found in accounts} | {issuer_id}) > MAX_GOOGLE_ACCOUNTS:
            raise Conflict("too_many_accounts", f"at most {MAX_GOOGLE_ACCOUNTS} Google issuers")
        record = GoogleAccountRecord(
            workspace_id=workspace_id,
            issuer_id=issuer_id,
            client_email=checked.client_email,
            created_at=work.now,
            updated_at=work.now,
        )
        context = secret_contexts.google_credential(workspace_id, issuer_id)
        await self.store.put_google_account(
            work.transaction,
            record,
            private_key_id=checked.private_key_id,
            credential_ciphertext=self.cipher.encrypt(
                json.dumps(dict(service_account)).encode(), context=context
            ),
        )
        await self.announce_access(work, workspace)
        await self.announce(work, workspace_id)
        await work.audit(
            workspace_id, "google_account.uploaded", issuer_id, after={"issuer_id": issuer_id}
        )
        return record
