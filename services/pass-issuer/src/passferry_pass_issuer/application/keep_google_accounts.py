"""Google's service accounts: checked, sealed, and rotated with two keys alive."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from passferry_pass_issuer.application.administer_workspaces import AnnounceAccess, Workspaces
from passferry_pass_issuer.application.announce_credentials import AnnounceCredentials
from passferry_pass_issuer.application.credential_ports import (
    GoogleAccountStore,
    ServiceAccountChecker,
)
from passferry_pass_issuer.application.ports import Cipher
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain import secret_contexts
from passferry_pass_issuer.domain.credentials import GoogleAccountRecord
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.workspace import Workspace
from passferry_runtime.errors import Conflict, NotFound

#: Google issuers of one workspace: all go into one record.
MAX_GOOGLE_ACCOUNTS = 16
_ISSUER_ID = re.compile(r"[0-9]{1,32}")


@dataclass(frozen=True, kw_only=True)
class KeepGoogleAccounts:
    """Upload, switch between the two keys of an issuer, delete the one that does not sign."""

    checker: ServiceAccountChecker
    store: GoogleAccountStore
    cipher: Cipher
    announce: AnnounceCredentials
    announce_access: AnnounceAccess
    workspaces: Workspaces

    async def upload(
        self, work: Work, workspace_id: UUID, issuer_id: str, service_account: Mapping[str, Any]
    ) -> GoogleAccountRecord:
        """Signs from now on. The key before it stays beside it until the next upload: links that it
        signed are still opened, and one call goes back to it."""
        if not _ISSUER_ID.fullmatch(issuer_id):
            raise ContentRejected("invalid", "issuer_id", "must be 1 to 32 digits")
        checked = self.checker.check(service_account)
        workspace = await self._locked(work, workspace_id)
        accounts = await self.store.google_accounts(work.transaction, workspace_id)
        if len({found.issuer_id for found in accounts} | {issuer_id}) > MAX_GOOGLE_ACCOUNTS:
            raise Conflict("too_many_accounts", f"at most {MAX_GOOGLE_ACCOUNTS} Google issuers")
        record = GoogleAccountRecord(
            workspace_id=workspace_id,
            issuer_id=issuer_id,
            client_email=checked.client_email,
            private_key_id=checked.private_key_id,
            is_active=True,
            created_at=work.now,
            updated_at=work.now,
        )
        context = secret_contexts.google_credential(workspace_id, issuer_id)
        await self.store.put_google_account(
            work.transaction,
            record,
            credential_ciphertext=self.cipher.encrypt(
                json.dumps(dict(service_account)).encode(), context=context
            ),
        )
        if issuer_id not in {found.issuer_id for found in accounts}:
            await self.announce_access(work, workspace)
        await self.announce(work, workspace_id)
        await self._audited(work, record, "uploaded")
        return record

    async def activate(
        self, work: Work, workspace_id: UUID, issuer_id: str, private_key_id: str
    ) -> GoogleAccountRecord:
        await self._locked(work, workspace_id)
        if not await self.store.activate_google_key(
            work.transaction, workspace_id, issuer_id, private_key_id, work.now
        ):
            raise _no_key()
        await self.announce(work, workspace_id)
        accounts = await self.store.google_accounts(work.transaction, workspace_id)
        [record] = [each for each in accounts if each.issuer_id == issuer_id and each.is_active]
        await self._audited(work, record, "activated")
        return record

    async def delete(
        self, work: Work, workspace_id: UUID, issuer_id: str, private_key_id: str
    ) -> None:
        await self._locked(work, workspace_id)
        accounts = await self.store.google_accounts(work.transaction, workspace_id)
        name = (issuer_id, private_key_id)
        found = [each for each in accounts if (each.issuer_id, each.private_key_id) == name]
        if not found:
            raise _no_key()
        if found[0].is_active:
            raise Conflict("key_in_use", "this key signs: upload or activate another first")
        await self.store.delete_google_key(
            work.transaction, workspace_id, issuer_id, private_key_id
        )
        await self._audited(work, found[0], "deleted")

    async def _locked(self, work: Work, workspace_id: UUID) -> Workspace:
        workspace = await self.workspaces.lock(work.transaction, workspace_id)
        if workspace is None:
            raise NotFound("workspace_not_found", "there is no such workspace")
        return workspace

    async def _audited(self, work: Work, record: GoogleAccountRecord, what: str) -> None:
        await work.audit(
            record.workspace_id,
            f"google_account.{what}",
            record.issuer_id,
            after={"issuer_id": record.issuer_id, "private_key_id": record.private_key_id},
        )


def _no_key() -> NotFound:
    return NotFound("google_key_not_found", "there is no such key of this issuer")
