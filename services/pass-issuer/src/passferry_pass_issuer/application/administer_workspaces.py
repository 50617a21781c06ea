"""Workspaces and API keys; each change is told on `workspace.access`, whole."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol
from uuid import UUID

from passferry_contracts.events.directory import ApiKeyGrant, WorkspaceAccessChanged
from passferry_contracts.registry import WORKSPACE_ACCESS
from passferry_contracts.types import Role, WorkspaceKind
from passferry_pass_issuer.application.ports import Cipher, Transaction
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain import secret_contexts
from passferry_pass_issuer.domain.api_key import MAX_API_KEYS, ApiKey, check_role
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.workspace import PLATFORM_ID, Workspace, check_place
from passferry_runtime.errors import Conflict, NotFound
from passferry_runtime.ids import uuid7

LOOKUP_KEY_BYTES = 32


class Workspaces(Protocol):
    async def insert(
        self, transaction: Transaction, workspace: Workspace, *, lookup_key_ciphertext: bytes
    ) -> bool:
        """False when its external id or one of its business ids is taken; then nothing is
        inserted, and the transaction goes on."""

    async def lock(self, transaction: Transaction, workspace_id: UUID) -> Workspace | None: ...

    async def find(self, transaction: Transaction, workspace_id: UUID) -> Workspace | None: ...

    async def update(self, transaction: Transaction, workspace: Workspace) -> bool:
        """False when one of its business ids is another workspace's."""

    async def ids(
        self, transaction: Transaction, *, after: UUID | None, limit: int
    ) -> list[UUID]: ...

    async def by_ids(
        self, transaction: Transaction, workspace_ids: Sequence[UUID]
    ) -> list[Workspace]: ...

    async def next_credentials_revision(
        self, transaction: Transaction, workspace_id: UUID
    ) -> int: ...

    async def google_issuer_ids(
        self, transaction: Transaction, workspace_id: UUID
    ) -> list[str]: ...


class ApiKeys(Protocol):
    async def of_workspace(self, transaction: Transaction, workspace_id: UUID) -> list[ApiKey]: ...

    async def insert(self, transaction: Transaction, api_key: ApiKey) -> None: ...

    async def revoke(
        self, transaction: Transaction, workspace_id: UUID, key_id: str, at: datetime
    ) -> bool: ...


class Directory(Protocol):
    """The in-memory table of who may do what; told at once, not only when Kafka comes round."""

    def apply(self, data: WorkspaceAccessChanged) -> None: ...


class NewKey(Protocol):
    @property
    def key_id(self) -> str: ...

    @property
    def presented(self) -> str: ...

    @property
    def secret_sha256(self) -> str: ...


class KeyMaker(Protocol):
    def __call__(self) -> NewKey: ...


@dataclass(frozen=True, kw_only=True)
class AnnounceAccess:
    """Tells what is true of a workspace now; called last in each change of access."""

    workspaces: Workspaces
    api_keys: ApiKeys
    directory: Directory

    async def __call__(self, work: Work, workspace: Workspace) -> Workspace:
        """Raises the revision and stores `workspace` with it; returns it."""
        changed = replace(workspace, revision=workspace.revision + 1, updated_at=work.now)
        if not await self.workspaces.update(work.transaction, changed):
            raise Conflict("business_id_taken", "a business id belongs to another workspace")
        event = await self.event(work, changed)
        work.transaction.emit(WORKSPACE_ACCESS, event)
        work.after_commit.append(lambda: self.directory.apply(event))
        return changed

    async def event(self, work: Work, workspace: Workspace) -> WorkspaceAccessChanged:
        keys = await self.api_keys.of_workspace(work.transaction, workspace.workspace_id)
        issuers = await self.workspaces.google_issuer_ids(work.transaction, workspace.workspace_id)
        return WorkspaceAccessChanged(
            workspace_id=workspace.workspace_id,
            name=workspace.name,
            kind=workspace.kind,
            parent_workspace_id=workspace.parent_workspace_id,
            external_id=workspace.external_id,
            business_ids=list(workspace.business_ids),
            suspended=workspace.is_suspended,
            # A revoked key is simply not there any more.
            api_keys=[_grant(key) for key in keys if key.revoked_at is None],
            google_issuer_ids=issuers,
            revision=workspace.revision,
            changed_at=work.now,
        )


def _grant(key: ApiKey) -> ApiKeyGrant:
    return ApiKeyGrant(
        key_id=key.key_id,
        secret_sha256=key.secret_sha256,
        role=key.role,
        name=key.name,
        expires_at=key.expires_at,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceRequest:
    name: str
    kind: WorkspaceKind = WorkspaceKind.ROOT
    parent_workspace_id: UUID | None = None
    external_id: str | None = None
    business_ids: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CreateWorkspace:
    workspaces: Workspaces
    announce: AnnounceAccess
    cipher: Cipher

    async def __call__(
        self, work: Work, workspace_id: UUID, request: WorkspaceRequest
    ) -> Workspace:
        """The transaction names the new workspace, and the parent if there is one."""
        parent = None
        if request.parent_workspace_id is not None:
            parent = await self.workspaces.lock(work.transaction, request.parent_workspace_id)
        check_place(request.kind, parent, is_parent_named=request.parent_workspace_id is not None)
        workspace = await self.insert(
            work,
            Workspace(
                workspace_id=workspace_id,
                kind=request.kind,
                parent_workspace_id=request.parent_workspace_id,
                external_id=request.external_id,
                name=request.name,
                is_suspended=False,
                business_ids=request.business_ids,
                revision=0,
                credentials_revision=0,
                created_at=work.now,
                updated_at=work.now,
            ),
        )
        await work.audit(
            workspace_id,
            "workspace.created",
            workspace_id,
            after={"name": workspace.name, "kind": workspace.kind.value},
        )
        return workspace

    async def insert(self, work: Work, workspace: Workspace) -> Workspace:
        sealed = self.cipher.encrypt(
            secrets.token_bytes(LOOKUP_KEY_BYTES),
            context=secret_contexts.lookup_key(workspace.workspace_id),
        )
        if not await self.workspaces.insert(
            work.transaction, workspace, lookup_key_ciphertext=sealed
        ):
            raise Conflict("workspace_exists", "the external id or a business id is taken")
        return await self.announce(work, workspace)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceChange:
    """What is None stays as it is."""

    name: str | None = None
    is_suspended: bool | None = None
    business_ids: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class ChangeWorkspace:
    workspaces: Workspaces
    announce: AnnounceAccess

    async def __call__(self, work: Work, workspace_id: UUID, change: WorkspaceChange) -> Workspace:
        before = await _locked(self.workspaces, work, workspace_id)
        if before.kind is WorkspaceKind.PLATFORM and change.is_suspended:
            raise Conflict("platform_workspace", "the platform cannot be suspended")
        after = replace(
            before,
            name=before.name if change.name is None else change.name,
            is_suspended=(
                before.is_suspended if change.is_suspended is None else change.is_suspended
            ),
            business_ids=(
                before.business_ids if change.business_ids is None else change.business_ids
            ),
        )
        changed = await self.announce(work, after)
        await work.audit(
            workspace_id,
            "workspace.changed",
            workspace_id,
            before=_summary(before),
            after=_summary(changed),
        )
        return changed


def _summary(workspace: Workspace) -> dict[str, object]:
    return {
        "name": workspace.name,
        "suspended": workspace.is_suspended,
        "business_ids": list(workspace.business_ids),
    }


async def _locked(workspaces: Workspaces, work: Work, workspace_id: UUID) -> Workspace:
    workspace = await workspaces.lock(work.transaction, workspace_id)
    if workspace is None:
        raise NotFound("workspace_not_found", "there is no such workspace")
    return workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedKey:
    """`presented` is shown once and kept nowhere."""

    api_key: ApiKey
    presented: str


@dataclass(frozen=True, kw_only=True)
class CreateApiKey:
    workspaces: Workspaces
    api_keys: ApiKeys
    announce: AnnounceAccess
    new_key: KeyMaker

    async def __call__(
        self,
        work: Work,
        workspace_id: UUID,
        *,
        role: Role,
        granted_by: Role,
        name: str = "",
        expires_at: datetime | None = None,
    ) -> CreatedKey:
        check_role(workspace_id, role, granted_by=granted_by)
        if expires_at is not None and expires_at <= work.now:
            raise ContentRejected("invalid", "expires_at", "is in the past")
        workspace = await _locked(self.workspaces, work, workspace_id)
        keys = await self.api_keys.of_workspace(work.transaction, workspace_id)
        if sum(key.revoked_at is None for key in keys) >= MAX_API_KEYS:
            raise Conflict("too_many_api_keys", f"at most {MAX_API_KEYS}; revoke one first")
        made = self.new_key()
        api_key = ApiKey(
            workspace_id=workspace_id,
            key_id=made.key_id,
            secret_sha256=made.secret_sha256,
            role=role,
            name=name,
            expires_at=expires_at,
            revoked_at=None,
            created_by=work.actor,
            created_at=work.now,
        )
        await self.api_keys.insert(work.transaction, api_key)
        await self.announce(work, workspace)
        await work.audit(
            workspace_id, "api_key.created", made.key_id, after={"role": role.value, "name": name}
        )
        return CreatedKey(api_key=api_key, presented=made.presented)


@dataclass(frozen=True, kw_only=True)
class RevokeApiKey:
    workspaces: Workspaces
    api_keys: ApiKeys
    announce: AnnounceAccess

    async def __call__(self, work: Work, workspace_id: UUID, key_id: str) -> None:
        """Revoking twice is revoking once."""
        workspace = await _locked(self.workspaces, work, workspace_id)
        keys = {
            key.key_id: key
            for key in await self.api_keys.of_workspace(work.transaction, workspace_id)
        }
        if key_id not in keys:
            raise NotFound("api_key_not_found", "there is no such key")
        self._keep_one_administrator(workspace_id, keys, key_id)
        if await self.api_keys.revoke(work.transaction, workspace_id, key_id, work.now):
            await self.announce(work, workspace)
        await work.audit(workspace_id, "api_key.revoked", key_id)

    @staticmethod
    def _keep_one_administrator(workspace_id: UUID, keys: dict[str, ApiKey], key_id: str) -> None:
        others = [key for key in keys.values() if key.revoked_at is None and key.key_id != key_id]
        if workspace_id == PLATFORM_ID and not others:
            raise Conflict("last_administrator", "the last administrator's key must stay")


@dataclass(frozen=True, kw_only=True)
class CreateAdministrator:
    """The platform's pseudo workspace, if it is not there, and one administrator's key."""

    workspaces: Workspaces
    create_workspace: CreateWorkspace
    create_api_key: CreateApiKey

    async def __call__(self, work: Work) -> CreatedKey:
        if await self.workspaces.lock(work.transaction, PLATFORM_ID) is None:
            await self.create_workspace.insert(
                work,
                Workspace(
                    workspace_id=PLATFORM_ID,
                    kind=WorkspaceKind.PLATFORM,
                    parent_workspace_id=None,
                    external_id=None,
                    name="Platform",
                    is_suspended=False,
                    business_ids=(),
                    revision=0,
                    credentials_revision=0,
                    created_at=work.now,
                    updated_at=work.now,
                ),
            )
        return await self.create_api_key(
            work,
            PLATFORM_ID,
            role=Role.ADMINISTRATOR,
            granted_by=Role.ADMINISTRATOR,
            name="first administrator",
        )


def new_workspace_id() -> UUID:
    return uuid7()
