"""Keys to the API; only the hash of their secret is kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from passferry_contracts.types import Role
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.workspace import PLATFORM_ID

#: Of one workspace, not counting revoked ones.
MAX_API_KEYS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    workspace_id: UUID
    key_id: str
    secret_sha256: str
    role: Role
    name: str
    expires_at: datetime | None
    revoked_at: datetime | None
    created_by: str
    created_at: datetime


def check_role(workspace_id: UUID, role: Role, *, granted_by: Role) -> None:
    """Administrators belong to the platform alone, and nobody grants more than they may."""
    if (role is Role.ADMINISTRATOR) != (workspace_id == PLATFORM_ID):
        raise ContentRejected("invalid", "role", "is of the platform, or of a workspace, not both")
    if not granted_by.covers(role):
        raise ContentRejected("role_too_high", "role", "is above your own")
