"""Certificates for keys that were made here: the key is born encrypted and never leaves."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID

from passferry_pass_issuer.application.administer_workspaces import Workspaces
from passferry_pass_issuer.application.credential_ports import (
    IdentityChecker,
    IdentityUpload,
    MadeRequest,
    RequestMaker,
    SigningRequestStore,
)
from passferry_pass_issuer.application.keep_identities import StoreIdentity
from passferry_pass_issuer.application.ports import Cipher
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain import secret_contexts
from passferry_pass_issuer.domain.credentials import SigningIdentityRecord, SigningRequestRecord
from passferry_runtime.errors import Conflict, NotFound
from passferry_runtime.ids import uuid7

REQUEST_LIFE = timedelta(days=30)
MAX_WAITING_REQUESTS = 20
#: Making an RSA key keeps a processor busy.
MAX_MADE_AT_ONCE = 2


@dataclass(frozen=True, kw_only=True)
class CreateSigningRequest:
    make: RequestMaker
    store: SigningRequestStore
    cipher: Cipher
    workspaces: Workspaces
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_MADE_AT_ONCE))

    async def made(self, pass_type_identifier: str, key_kind: str) -> MadeRequest:
        """Before the transaction: an RSA key takes a part of a second."""
        async with self._turns:
            return await asyncio.to_thread(self.make, pass_type_identifier, key_kind)

    async def __call__(
        self,
        work: Work,
        workspace_id: UUID,
        pass_type_identifier: str,
        key_kind: str,
        made: MadeRequest,
    ) -> SigningRequestRecord:
        if await self.workspaces.lock(work.transaction, workspace_id) is None:
            raise NotFound("workspace_not_found", "there is no such workspace")
        known = await self.store.requests(work.transaction, workspace_id)
        if sum(each.state(work.now) == "waiting" for each in known) >= MAX_WAITING_REQUESTS:
            raise Conflict(
                "too_many_requests_waiting",
                f"at most {MAX_WAITING_REQUESTS} requests wait for their certificate: delete one",
            )
        record = SigningRequestRecord(
            workspace_id=workspace_id,
            signing_request_id=uuid7(),
            pass_type_identifier=pass_type_identifier,
            key_kind=key_kind,
            request_pem=made.request_pem.decode(),
            created_at=work.now,
            expires_at=work.now + REQUEST_LIFE,
        )
        context = secret_contexts.signing_request_key(workspace_id, record.signing_request_id)
        await self.store.insert_request(
            work.transaction,
            record,
            private_key_ciphertext=self.cipher.encrypt(made.private_key_pem, context=context),
        )
        await work.audit(
            workspace_id,
            "signing_request.created",
            record.signing_request_id,
            after={"pass_type_identifier": pass_type_identifier, "key": key_kind},
        )
        return record


@dataclass(frozen=True, kw_only=True)
class CompleteSigningRequest:
    """Apple's certificate makes an identity of the key that waits for it."""

    store: SigningRequestStore
    cipher: Cipher
    #: Without a PKCS#12 there is nothing in it that takes long.
    checker: IdentityChecker
    store_identity: StoreIdentity

    async def __call__(
        self, work: Work, workspace_id: UUID, signing_request_id: UUID, certificate: bytes
    ) -> SigningIdentityRecord:
        """The same certificate again gives the same identity."""
        found = await self.store.lock_request(work.transaction, workspace_id, signing_request_id)
        if found is None:
            raise NotFound("signing_request_not_found", "there is no such signing request")
        record, ciphertext = found
        if ciphertext is None:
            return await self._completed(work, record)
        if record.state(work.now) == "expired":
            raise Conflict("signing_request_expired", "make a new signing request")
        context = secret_contexts.signing_request_key(workspace_id, signing_request_id)
        upload = IdentityUpload(
            certificate_pem=certificate,
            private_key_pem=self.cipher.decrypt(ciphertext, context=context),
            pass_type_identifier=record.pass_type_identifier,
        )
        checked = self.checker.check(upload, now=work.now)
        identity = await self.store_identity(work, workspace_id, checked)
        completed = replace(
            record,
            signing_identity_id=identity.signing_identity_id,
            fingerprint_sha256=identity.fingerprint_sha256,
        )
        await self.store.complete_request(work.transaction, completed)
        await work.audit(
            workspace_id,
            "signing_request.completed",
            signing_request_id,
            after={"signing_identity_id": identity.signing_identity_id},
        )
        return identity

    async def _completed(self, work: Work, record: SigningRequestRecord) -> SigningIdentityRecord:
        identity = None
        if record.signing_identity_id is not None:
            identity = await self.store_identity.store.identity(
                work.transaction, record.workspace_id, record.signing_identity_id
            )
        if identity is None:
            raise Conflict("signing_request_completed", "it was completed, and its identity ended")
        return identity


@dataclass(frozen=True, kw_only=True)
class DeleteSigningRequest:
    store: SigningRequestStore

    async def __call__(self, work: Work, workspace_id: UUID, signing_request_id: UUID) -> None:
        if not await self.store.delete_request(work.transaction, workspace_id, signing_request_id):
            raise NotFound("signing_request_not_found", "there is no such signing request")
        await work.audit(workspace_id, "signing_request.deleted", signing_request_id)
