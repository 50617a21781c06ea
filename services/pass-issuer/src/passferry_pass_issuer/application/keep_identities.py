"""Signing identities: checked, sealed, told to the notifier, and followed by the next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from passferry_pass_issuer.application.administer_workspaces import Workspaces
from passferry_pass_issuer.application.announce_credentials import AnnounceCredentials
from passferry_pass_issuer.application.credential_ports import (
    CheckedIdentity,
    IdentityChecker,
    IdentityStore,
    IdentityUpload,
)
from passferry_pass_issuer.application.ports import Cipher
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain import secret_contexts
from passferry_pass_issuer.domain.credentials import SigningIdentityRecord
from passferry_runtime.errors import Conflict, NotFound
from passferry_runtime.ids import uuid7

#: Active pass types of one workspace: all go into one record.
MAX_ACTIVE_IDENTITIES = 20
#: An upload may keep a processor busy for seconds.
MAX_CHECKS_AT_ONCE = 2


@dataclass(frozen=True, kw_only=True)
class CheckUpload:
    """Off the event loop, and outside of any transaction: it may take seconds."""

    checker: IdentityChecker
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_CHECKS_AT_ONCE))

    async def __call__(self, upload: IdentityUpload, *, now: datetime) -> CheckedIdentity:
        async with self._turns:
            return await asyncio.to_thread(self.checker.check, upload, now=now)


@dataclass(frozen=True, kw_only=True)
class StoreIdentity:
    """Takes over in one transaction: what was signed before stays, what comes is signed anew."""

    store: IdentityStore
    cipher: Cipher
    announce: AnnounceCredentials
    workspaces: Workspaces
    #: Signs, later and in pages, what waits for this identity.
    sign_waiting: Callable[[UUID, str], None]

    async def __call__(
        self, work: Work, workspace_id: UUID, checked: CheckedIdentity
    ) -> SigningIdentityRecord:
        """The same certificate again is the same identity."""
        # Uploads of one workspace take turns, so that the record sent last is the newest.
        if await self.workspaces.lock(work.transaction, workspace_id) is None:
            raise NotFound("workspace_not_found", "there is no such workspace")
        known = await self.store.identity_by_fingerprint(
            work.transaction, workspace_id, checked.fingerprint_sha256
        )
        if known is not None:
            return await self.activate(work, known)
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
        await self._told(work, record, "signing_identity.uploaded")
        return record

    async def activate(self, work: Work, known: SigningIdentityRecord) -> SigningIdentityRecord:
        """Back to a retired one; nothing happens to one that is active."""
        if known.is_active:
            return known
        if known.not_after <= work.now:
            raise Conflict("certificate_expired", "the certificate of this identity has ended")
        await self._check_number(work, known.workspace_id, known.pass_type_identifier)
        await self.store.activate_identity(work.transaction, known, work.now)
        record = replace(known, is_active=True, retired_at=None)
        await self._told(work, record, "signing_identity.activated")
        return record

    async def _told(self, work: Work, record: SigningIdentityRecord, action: str) -> None:
        await self.announce(work, record.workspace_id)
        await work.audit(
            record.workspace_id,
            action,
            record.signing_identity_id,
            after={
                "pass_type_identifier": record.pass_type_identifier,
                "fingerprint_sha256": record.fingerprint_sha256,
                "not_after": record.not_after,
            },
        )
        work.after_commit.append(
            lambda: self.sign_waiting(record.workspace_id, record.pass_type_identifier)
        )

    async def _check_number(self, work: Work, workspace_id: UUID, pass_type: str) -> None:
        identities = await self.store.identities(work.transaction, workspace_id)
        active = {found.pass_type_identifier for found in identities if found.is_active}
        if len(active | {pass_type}) > MAX_ACTIVE_IDENTITIES:
            raise Conflict("too_many_identities", f"at most {MAX_ACTIVE_IDENTITIES} pass types")


@dataclass(frozen=True, kw_only=True)
class ActivateIdentity:
    """When the successor turns out to be wrong: back to the one before."""

    store: IdentityStore
    workspaces: Workspaces
    store_identity: StoreIdentity

    async def __call__(
        self, work: Work, workspace_id: UUID, signing_identity_id: UUID
    ) -> SigningIdentityRecord:
        known = await _known(self.store, self.workspaces, work, workspace_id, signing_identity_id)
        return await self.store_identity.activate(work, known)


@dataclass(frozen=True, kw_only=True)
class DeleteIdentity:
    """A retired one before its end, such as one whose key others may have."""

    store: IdentityStore
    workspaces: Workspaces

    async def __call__(self, work: Work, workspace_id: UUID, signing_identity_id: UUID) -> None:
        known = await _known(self.store, self.workspaces, work, workspace_id, signing_identity_id)
        if known.is_active:
            raise Conflict("signing_identity_in_use", "this identity signs: upload another first")
        await self.store.delete_retired(work.transaction, workspace_id, signing_identity_id)
        await work.audit(
            workspace_id,
            "signing_identity.deleted",
            signing_identity_id,
            before={"fingerprint_sha256": known.fingerprint_sha256},
        )


async def _known(
    store: IdentityStore,
    workspaces: Workspaces,
    work: Work,
    workspace_id: UUID,
    signing_identity_id: UUID,
) -> SigningIdentityRecord:
    if await workspaces.lock(work.transaction, workspace_id) is None:
        raise NotFound("workspace_not_found", "there is no such workspace")
    known = await store.identity(work.transaction, workspace_id, signing_identity_id)
    if known is None:
        raise NotFound("signing_identity_not_found", "there is no such signing identity")
    return known
