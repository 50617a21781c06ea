"""What the use cases of credentials need of the world."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from passferry_pass_issuer.application.ports import Transaction
from passferry_pass_issuer.domain.credential_expiry import ExpiryNotice
from passferry_pass_issuer.domain.credentials import (
    CredentialNeed,
    GoogleAccountRecord,
    ProviderKeyRecord,
    SigningIdentityRecord,
    SigningRequestRecord,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedIdentity:
    """An upload that passed the checks; the key is in clear, for a moment."""

    pass_type_identifier: str
    team_identifier: str
    certificate_pem: bytes
    private_key_pem: bytes = field(repr=False)
    wwdr_pem: bytes
    not_after: datetime
    has_nfc: bool
    fingerprint_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityUpload:
    """Either PEM (certificate and key) or PKCS#12; the expected identifiers if they are known."""

    certificate_pem: bytes | None = field(default=None, repr=False)
    private_key_pem: bytes | None = field(default=None, repr=False)
    p12: bytes | None = field(default=None, repr=False)
    password: bytes | None = field(default=None, repr=False)
    pass_type_identifier: str | None = None
    team_identifier: str | None = None


class IdentityChecker(Protocol):
    def check(self, upload: IdentityUpload, *, now: datetime) -> CheckedIdentity:
        """May take seconds. Raises `ContentRejected` naming the field and the code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedServiceAccount:
    client_email: str
    private_key_id: str


class ServiceAccountChecker(Protocol):
    def check(self, service_account: Mapping[str, Any]) -> CheckedServiceAccount:
        """Raises `ContentRejected` naming the field and the code."""


class ProviderKeyChecker(Protocol):
    def __call__(self, *, key_id: str, team_id: str, p8: bytes) -> bytes:
        """The key as PKCS#8. Raises `ContentRejected` naming the field and the code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeRequest:
    request_pem: bytes
    private_key_pem: bytes = field(repr=False)


class RequestMaker(Protocol):
    def __call__(self, pass_type_identifier: str, key_kind: str) -> MadeRequest:
        """A PKCS#10 request with a new key. May take a second."""


class IdentityStore(Protocol):
    async def replace_identity(
        self,
        transaction: Transaction,
        record: SigningIdentityRecord,
        *,
        certificate_pem: str,
        wwdr_pem: str,
        private_key_ciphertext: bytes,
    ) -> None:
        """Insert as the active one of its pass type; the one before it is retired."""

    async def activate_identity(
        self, transaction: Transaction, record: SigningIdentityRecord, now: datetime
    ) -> None:
        """Make a retired one the active one of its pass type; that one is retired."""

    async def identities(
        self, transaction: Transaction, workspace_id: UUID
    ) -> list[SigningIdentityRecord]:
        """Active ones first, then the newest; at most 200."""

    async def identity(
        self, transaction: Transaction, workspace_id: UUID, signing_identity_id: UUID
    ) -> SigningIdentityRecord | None: ...

    async def identity_by_fingerprint(
        self, transaction: Transaction, workspace_id: UUID, fingerprint_sha256: str
    ) -> SigningIdentityRecord | None: ...

    async def delete_retired(
        self, transaction: Transaction, workspace_id: UUID, signing_identity_id: UUID
    ) -> None:
        """With its key; one that is active stays."""

    async def drop_retired(
        self, transaction: Transaction, workspace_ids: Collection[UUID], now: datetime
    ) -> int:
        """Delete retired identities, with their keys, whose certificates ended; how many."""


class SigningRequestStore(Protocol):
    async def insert_request(
        self,
        transaction: Transaction,
        record: SigningRequestRecord,
        *,
        private_key_ciphertext: bytes,
    ) -> None: ...

    async def requests(
        self, transaction: Transaction, workspace_id: UUID
    ) -> list[SigningRequestRecord]:
        """Newest first; at most 200."""

    async def lock_request(
        self, transaction: Transaction, workspace_id: UUID, signing_request_id: UUID
    ) -> tuple[SigningRequestRecord, bytes | None] | None:
        """With the ciphertext of its key, which is gone once it is completed."""

    async def complete_request(
        self, transaction: Transaction, record: SigningRequestRecord
    ) -> None:
        """Store what came of it; its key leaves the table."""

    async def delete_request(
        self, transaction: Transaction, workspace_id: UUID, signing_request_id: UUID
    ) -> bool: ...

    async def drop_expired_requests(
        self, transaction: Transaction, workspace_ids: Collection[UUID], now: datetime
    ) -> int:
        """How many were deleted."""


class ProviderKeyStore(Protocol):
    async def put_provider_key(
        self, transaction: Transaction, record: ProviderKeyRecord, *, private_key_ciphertext: bytes
    ) -> None:
        """As the active one of its team."""

    async def provider_keys(
        self, transaction: Transaction, workspace_id: UUID
    ) -> list[ProviderKeyRecord]:
        """Active ones first; at most 200."""

    async def delete_provider_key(
        self, transaction: Transaction, workspace_id: UUID, team_identifier: str, key_id: str
    ) -> bool: ...


class GoogleAccountStore(Protocol):
    async def put_google_account(
        self,
        transaction: Transaction,
        record: GoogleAccountRecord,
        *,
        credential_ciphertext: bytes,
    ) -> None:
        """As the one that signs; the one before it stays beside it, older ones go."""

    async def google_accounts(
        self, transaction: Transaction, workspace_id: UUID
    ) -> list[GoogleAccountRecord]:
        """By issuer, the active key first."""

    async def activate_google_key(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        issuer_id: str,
        private_key_id: str,
        now: datetime,
    ) -> bool:
        """False when there is no such key."""

    async def delete_google_key(
        self, transaction: Transaction, workspace_id: UUID, issuer_id: str, private_key_id: str
    ) -> bool:
        """Only one that does not sign; false when there is none."""


class CredentialStore(
    IdentityStore, SigningRequestStore, ProviderKeyStore, GoogleAccountStore, Protocol
):
    async def needs(
        self, transaction: Transaction, workspace_ids: Collection[UUID]
    ) -> list[CredentialNeed]: ...


class ExpiryStore(Protocol):
    async def expiring(
        self, transaction: Transaction, workspace_ids: Collection[UUID], before: datetime
    ) -> list[tuple[SigningIdentityRecord, tuple[int, ...]]]:
        """Active identities whose certificates end before a time, the first to end first, with the
        thresholds that were told; at most 1,000."""

    async def settle(self, transaction: Transaction, notice: ExpiryNotice, now: datetime) -> bool:
        """Remember that it was told; false when somebody else did."""
