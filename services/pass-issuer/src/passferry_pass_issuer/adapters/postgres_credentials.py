"""The credentials that are active, opened; they stay in memory, bounded, for a short while."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar
from uuid import UUID

from passferry_pass_issuer.application.ports import (
    Cipher,
    GoogleCredential,
    ProviderKey,
    SigningMaterial,
    Transaction,
)
from passferry_pass_issuer.domain import secret_contexts
from passferry_pass_issuer.domain.credentials import (
    Finding,
    unreadable_account,
    unreadable_identity,
)
from passferry_runtime.crypto import DecryptionFailed
from passferry_runtime.logging import get_logger

log = get_logger(__name__)

CACHED_CREDENTIALS = 1_000
#: Another replica may take an upload, so nothing opened is kept for long, and that something is
#: missing is not kept at all.
KEPT_S = 30.0

MATERIAL = """
SELECT workspace_id, signing_identity_id, pass_type_identifier, team_identifier,
    fingerprint_sha256, certificate_pem, wwdr_pem, private_key_ciphertext, not_after,
    has_nfc
FROM signing_identity WHERE workspace_id = $1 AND is_active
ORDER BY pass_type_identifier
"""

PROVIDER_KEYS = """
SELECT workspace_id, team_identifier, key_id, private_key_ciphertext
FROM provider_key WHERE workspace_id = $1 AND is_active ORDER BY team_identifier
"""

ACCOUNTS = """
SELECT workspace_id, issuer_id, credential_ciphertext
FROM google_account WHERE workspace_id = $1 AND is_active ORDER BY issuer_id
"""


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
        self._unreadable = OrderedDict[Finding, None]()

    def forget(self, workspace_id: UUID) -> None:
        self._material.forget(workspace_id)
        self._google.forget(workspace_id)
        for each in self.unreadable(workspace_id):
            del self._unreadable[each]

    async def signing_material(
        self, transaction: Transaction, workspace_id: UUID, pass_type_identifier: str
    ) -> SigningMaterial | None:
        kept = self._material.get(workspace_id, pass_type_identifier)
        if kept is not None:
            return kept
        rows = await transaction.fetch(MATERIAL, workspace_id)
        mine = [row for row in rows if row["pass_type_identifier"] == pass_type_identifier]
        what = unreadable_identity(workspace_id, pass_type_identifier)
        return self._first(mine, what, self._opened, self._material)

    async def all_signing_material(
        self, transaction: Transaction, workspace_id: UUID
    ) -> list[SigningMaterial]:
        rows = await transaction.fetch(MATERIAL, workspace_id)
        return [self._opened(row) for row in rows]

    async def all_provider_keys(
        self, transaction: Transaction, workspace_id: UUID
    ) -> list[ProviderKey]:
        rows = await transaction.fetch(PROVIDER_KEYS, workspace_id)
        return [self._opened_key(row) for row in rows]

    async def google_credential(
        self, transaction: Transaction, workspace_id: UUID, issuer_id: str
    ) -> GoogleCredential | None:
        kept = self._google.get(workspace_id, issuer_id)
        if kept is not None:
            return kept
        rows = await transaction.fetch(ACCOUNTS, workspace_id)
        mine = [row for row in rows if row["issuer_id"] == issuer_id]
        what = unreadable_account(workspace_id, issuer_id)
        return self._first(mine, what, self._opened_account, self._google)

    async def all_google_credentials(
        self, transaction: Transaction, workspace_id: UUID
    ) -> list[GoogleCredential]:
        rows = await transaction.fetch(ACCOUNTS, workspace_id)
        return [self._opened_account(row) for row in rows]

    def unreadable(self, workspace_id: UUID | None = None) -> list[Finding]:
        return [each for each in self._unreadable if workspace_id in (None, each.workspace_id)]

    def _first(
        self, rows: Sequence[Any], what: Finding, opened: Callable[[Any], T], kept: _Kept[T]
    ) -> T | None:
        """One that does not open is as good as none: what it would sign can still change and end.
        It is told of."""
        self._unreadable.pop(what, None)
        for row in rows:
            try:
                found = opened(row)
            except DecryptionFailed:
                self._unreadable[what] = None
                while len(self._unreadable) > CACHED_CREDENTIALS:
                    self._unreadable.popitem(last=False)
                log.warning(
                    "credential_unreadable",
                    workspace_id=str(what.workspace_id),
                    finding=what.code,
                    subject=what.subject,
                )
                return None
            kept.keep(what.workspace_id, what.subject, found)
            return found
        return None

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
            has_nfc=row["has_nfc"],
        )

    def _opened_key(self, row: Any) -> ProviderKey:
        names = row["workspace_id"], row["team_identifier"], row["key_id"]
        context = secret_contexts.provider_key(*names)
        return ProviderKey(
            workspace_id=row["workspace_id"],
            team_identifier=row["team_identifier"],
            key_id=row["key_id"],
            private_key_pem=self._cipher.decrypt(row["private_key_ciphertext"], context=context),
        )

    def _opened_account(self, row: Any) -> GoogleCredential:
        context = secret_contexts.google_credential(row["workspace_id"], row["issuer_id"])
        opened = self._cipher.decrypt(row["credential_ciphertext"], context=context)
        return GoogleCredential(
            workspace_id=row["workspace_id"],
            issuer_id=row["issuer_id"],
            service_account=json.loads(opened),
        )
