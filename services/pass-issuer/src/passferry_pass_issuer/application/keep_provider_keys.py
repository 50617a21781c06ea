"""Keys of Apple's push service (`.p8`): checked, sealed, told to the notifier alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from passferry_pass_issuer.application.administer_workspaces import Workspaces
from passferry_pass_issuer.application.announce_credentials import AnnounceCredentials
from passferry_pass_issuer.application.credential_ports import (
    IdentityStore,
    ProviderKeyChecker,
    ProviderKeyStore,
)
from passferry_pass_issuer.application.ports import Cipher
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain import secret_contexts
from passferry_pass_issuer.domain.credentials import ProviderKeyRecord
from passferry_runtime.errors import Conflict, NotFound

MAX_PROVIDER_KEYS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderKeyUpload:
    key_id: str
    team_identifier: str
    p8: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class UploadProviderKey:
    check: ProviderKeyChecker
    store: ProviderKeyStore
    cipher: Cipher
    announce: AnnounceCredentials
    workspaces: Workspaces

    async def __call__(
        self, work: Work, workspace_id: UUID, upload: ProviderKeyUpload
    ) -> ProviderKeyRecord:
        """Used from now on for its team; the key before it is kept, and can be sent again."""
        team, key_id = upload.team_identifier, upload.key_id
        private_key = self.check(key_id=key_id, team_id=team, p8=upload.p8)
        if await self.workspaces.lock(work.transaction, workspace_id) is None:
            raise NotFound("workspace_not_found", "there is no such workspace")
        known = await self.store.provider_keys(work.transaction, workspace_id)
        names = {(each.team_identifier, each.key_id) for each in known}
        if len(names | {(team, key_id)}) > MAX_PROVIDER_KEYS:
            raise Conflict("too_many_provider_keys", f"at most {MAX_PROVIDER_KEYS}: delete one")
        record = ProviderKeyRecord(
            workspace_id=workspace_id,
            team_identifier=team,
            key_id=key_id,
            is_active=True,
            created_at=work.now,
        )
        context = secret_contexts.provider_key(workspace_id, team, key_id)
        await self.store.put_provider_key(
            work.transaction,
            record,
            private_key_ciphertext=self.cipher.encrypt(private_key, context=context),
        )
        await self.announce(work, workspace_id)
        await work.audit(
            workspace_id, "provider_key.uploaded", key_id, after={"team_identifier": team}
        )
        return record


@dataclass(frozen=True, kw_only=True)
class DeleteProviderKey:
    store: ProviderKeyStore
    announce: AnnounceCredentials
    workspaces: Workspaces

    async def __call__(
        self, work: Work, workspace_id: UUID, team_identifier: str, key_id: str
    ) -> None:
        if await self.workspaces.lock(work.transaction, workspace_id) is None:
            raise NotFound("workspace_not_found", "there is no such workspace")
        if not await self.store.delete_provider_key(
            work.transaction, workspace_id, team_identifier, key_id
        ):
            raise NotFound("provider_key_not_found", "there is no such provider key")
        await self.announce(work, workspace_id)
        await work.audit(
            workspace_id,
            "provider_key.deleted",
            key_id,
            before={"team_identifier": team_identifier},
        )


async def pass_types_served(
    store: IdentityStore, work: Work, workspace_id: UUID
) -> dict[str, list[str]]:
    """By team: which of the workspace's pass types a key of that team serves."""
    served: dict[str, list[str]] = {}
    for identity in await store.identities(work.transaction, workspace_id):
        if identity.is_active:
            served.setdefault(identity.team_identifier, []).append(identity.pass_type_identifier)
    return served
