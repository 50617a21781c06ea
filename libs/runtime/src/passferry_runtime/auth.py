"""API keys, roles, and the hierarchy of workspaces. Denies by default."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import Request

from passferry_contracts.events.directory import ApiKeyGrant, WorkspaceAccessChanged
from passferry_contracts.registry import WORKSPACE_ACCESS
from passferry_contracts.types import PLATFORM_WORKSPACE_ID, Role, WorkspaceKind
from passferry_runtime.clock import Clock, SystemClock
from passferry_runtime.errors import Forbidden, NotFound, Unauthorized
from passferry_runtime.kafka.records import Incoming
from passferry_runtime.kafka.settings import KafkaSettings
from passferry_runtime.kafka.table_reader import TableReader
from passferry_runtime.metrics import AUTHENTICATION_FAILURES
from passferry_runtime.settings import AuthMode

KEY_PREFIX = "pf_live_"
MAX_PRESENTED_CHARACTERS = 200
PLATFORM_ID = UUID(PLATFORM_WORKSPACE_ID)
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """`presented` is shown once; only the hash is kept."""

    key_id: str
    presented: str
    secret_sha256: str


def new_api_key() -> NewApiKey:
    key_id = secrets.token_hex(8)
    secret = secrets.token_hex(32)
    checksum = _checksum(key_id, secret)
    presented = f"{KEY_PREFIX}{key_id}_{secret}_{checksum}"
    return NewApiKey(key_id, presented, hashlib.sha256(secret.encode()).hexdigest())


def _checksum(key_id: str, secret: str) -> str:
    return f"{zlib.crc32(f'{key_id}_{secret}'.encode()):08x}"


def _parse_key(presented: str) -> tuple[str, str] | None:
    """Key id and secret; None for what cannot be one of our keys (typos are caught here)."""
    if len(presented) > MAX_PRESENTED_CHARACTERS or not presented.startswith(KEY_PREFIX):
        return None
    parts = presented.removeprefix(KEY_PREFIX).split("_")
    if len(parts) != 3 or parts[2] != _checksum(parts[0], parts[1]):
        return None
    return parts[0], parts[1]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who acts: an API key with its workspace and role."""

    key_id: str
    workspace_id: UUID
    role: Role

    @property
    def is_platform(self) -> bool:
        # The role alone does not make one: it counts for keys of the platform workspace only.
        return self.role is Role.ADMINISTRATOR and self.workspace_id == PLATFORM_ID

    def may(self, needed: Role) -> bool:
        return self.role.covers(needed)

    @property
    def actor(self) -> str:
        """How the audit names it."""
        return f"key:{self.key_id}"


@dataclass(frozen=True, slots=True)
class Scope:
    """A principal in the workspace that a request is about."""

    principal: Principal
    workspace_id: UUID


class AccessDirectory:
    """Who and what exists, in memory, from the compacted topic `workspace.access`."""

    def __init__(self) -> None:
        self._workspaces: dict[UUID, WorkspaceAccessChanged] = {}
        self._keys: dict[str, tuple[UUID, ApiKeyGrant]] = {}
        self._businesses: dict[str, UUID] = {}

    def apply(self, access: WorkspaceAccessChanged) -> None:
        known = self._workspaces.get(access.workspace_id)
        if known is not None and known.revision >= access.revision:
            return
        self.remove(access.workspace_id)
        self._workspaces[access.workspace_id] = access
        for grant in access.api_keys:
            self._keys[grant.key_id] = (access.workspace_id, grant)
        for business_id in access.business_ids:
            self._businesses[business_id] = access.workspace_id

    def remove(self, workspace_id: UUID) -> None:
        known = self._workspaces.pop(workspace_id, None)
        if known is None:
            return
        for grant in known.api_keys:
            if grant.key_id in self._keys and self._keys[grant.key_id][0] == workspace_id:
                del self._keys[grant.key_id]
        for business_id in known.business_ids:
            if self._businesses.get(business_id) == workspace_id:
                del self._businesses[business_id]

    def reader(self, settings: KafkaSettings) -> TableReader:
        """What keeps this directory current."""

        def apply(incoming: Incoming) -> None:
            if isinstance(incoming.data, WorkspaceAccessChanged):
                self.apply(incoming.data)

        def forget(topic: str, key: bytes) -> None:
            with contextlib.suppress(ValueError):  # no workspace ever had such a key
                self.remove(UUID(key.decode()))

        return TableReader(settings=settings, topics=[WORKSPACE_ACCESS], apply=apply, forget=forget)

    def workspace(self, workspace_id: UUID) -> WorkspaceAccessChanged | None:
        return self._workspaces.get(workspace_id)

    def workspace_of_business(self, business_id: str) -> UUID | None:
        return self._businesses.get(business_id)

    def is_known(self, workspace_id: UUID) -> bool:
        return workspace_id in self._workspaces

    def is_suspended(self, workspace_id: UUID) -> bool:
        """Also when its parent is."""
        access = self._workspaces.get(workspace_id)
        if access is None:
            return False
        parent = self._workspaces.get(access.parent_workspace_id or workspace_id)
        return access.suspended or (parent is not None and parent.suspended)

    def may_hold_passes(self, workspace_id: UUID) -> bool:
        access = self._workspaces.get(workspace_id)
        return access is not None and access.kind in {WorkspaceKind.ROOT, WorkspaceKind.CHILD}

    def authenticate(self, presented: str, now: datetime) -> Principal | None:
        parsed = _parse_key(presented)
        if parsed is None:
            return None
        key_id, secret = parsed
        found = self._keys.get(key_id)
        digest = hashlib.sha256(secret.encode()).hexdigest()
        expected = found[1].secret_sha256 if found else "0" * 64
        if not hmac.compare_digest(digest, expected) or found is None:
            return None
        workspace_id, grant = found
        if grant.revoked or (grant.expires_at is not None and grant.expires_at <= now):
            return None
        return Principal(key_id, workspace_id, grant.role)

    def reaches(self, principal: Principal, workspace_id: UUID) -> bool:
        """Its own workspace, or a child of it: never sideways or upwards."""
        if principal.is_platform or principal.workspace_id == workspace_id:
            return True
        access = self._workspaces.get(workspace_id)
        return access is not None and access.parent_workspace_id == principal.workspace_id


class Authenticator:
    """Tells who is asking, by the mode that this installation runs in."""

    def __init__(
        self,
        directory: AccessDirectory,
        *,
        mode: AuthMode = "multi-tenant",
        single_workspace_id: UUID | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.directory = directory
        self._mode = mode
        self._single = single_workspace_id
        self._clock = clock or SystemClock()

    def principal_of(self, request: Request) -> Principal:
        if self._mode == "anonymous" and self._single is not None:
            return Principal("anonymous", self._single, Role.OWNER)
        presented = _presented_key(request)
        principal = None
        if presented is not None:
            principal = self.directory.authenticate(presented, self._clock.now())
        if principal is not None and not self._is_of_this_installation(principal):
            principal = None
        if principal is None:
            AUTHENTICATION_FAILURES.labels(
                reason="missing" if presented is None else "invalid"
            ).inc()
            raise Unauthorized(
                "unauthorized",
                "send a valid API key as `Authorization: Bearer pf_live_…` or `X-Api-Key`",
            )
        return principal

    def scope_of(self, request: Request, workspace_id: UUID, needed: Role) -> Scope:
        principal = self.principal_of(request)
        is_reachable = self.directory.reaches(principal, workspace_id)
        if self._mode != "multi-tenant" and workspace_id != self._single:
            is_reachable = is_reachable and principal.is_platform
        is_known = self.directory.is_known(workspace_id) or workspace_id == self._single
        if not is_reachable or not is_known or workspace_id == PLATFORM_ID:
            # Equal for what exists and what does not: ids cannot be probed.
            raise NotFound("workspace_not_found", "there is no such workspace for this API key")
        if not principal.may(needed):
            raise Forbidden("forbidden", f"this needs the role {needed.value}")
        is_suspended = self.directory.is_suspended(workspace_id)
        if is_suspended and request.method not in _READING and not principal.is_platform:
            raise Forbidden("workspace_suspended", "the workspace is suspended")
        return Scope(principal, workspace_id)

    def _is_of_this_installation(self, principal: Principal) -> bool:
        is_single = self._mode != "single-tenant" or principal.workspace_id == self._single
        return is_single or principal.is_platform


def _presented_key(request: Request) -> str | None:
    header = request.headers.get("authorization")
    if header is not None:
        scheme, _, value = header.partition(" ")
        return value.strip() if scheme.lower() == "bearer" else ""
    return request.headers.get("x-api-key")


def require(needed: Role) -> Callable[..., Awaitable[Scope]]:
    """Dependency of a route with `{workspace_id}` in its path."""

    async def guard(request: Request, workspace_id: UUID) -> Scope:
        authenticator: Authenticator = request.state.authenticator
        return authenticator.scope_of(request, workspace_id, needed)

    guard.required_role = needed  # type: ignore[attr-defined]  # read by create_app
    return guard


def require_platform() -> Callable[..., Awaitable[Principal]]:
    """Dependency of a route for platform administrators."""

    async def guard(request: Request) -> Principal:
        authenticator: Authenticator = request.state.authenticator
        principal = authenticator.principal_of(request)
        if not principal.is_platform:
            raise Forbidden("forbidden", "this needs a platform administrator")
        return principal

    guard.required_role = Role.ADMINISTRATOR  # type: ignore[attr-defined]  # read by create_app
    return guard


def public(endpoint: Any) -> Any:
    """Mark a route that anyone may call: device routes, public links, signed callbacks."""
    endpoint.is_public = True
    return endpoint
