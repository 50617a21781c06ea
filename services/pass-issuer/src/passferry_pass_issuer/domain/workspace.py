"""Tenants: one level of parents and children beside plain roots, under one platform."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from passferry_contracts.types import PLATFORM_WORKSPACE_ID, WorkspaceKind
from passferry_pass_issuer.domain.refusals import ContentRejected

PLATFORM_ID = uuid.UUID(PLATFORM_WORKSPACE_ID)
MAX_BUSINESS_IDS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    workspace_id: UUID
    kind: WorkspaceKind
    parent_workspace_id: UUID | None
    external_id: str | None
    name: str
    is_suspended: bool
    business_ids: tuple[str, ...]
    #: Incremented with every change of access: name, suspension, keys, business ids.
    revision: int
    credentials_revision: int
    created_at: datetime
    updated_at: datetime

    @property
    def may_hold_passes(self) -> bool:
        return self.kind in {WorkspaceKind.ROOT, WorkspaceKind.CHILD}


def check_place(kind: WorkspaceKind, parent: Workspace | None, *, is_parent_named: bool) -> None:
    """Raises `ContentRejected` unless a workspace of `kind` may stand below `parent`."""
    if kind is WorkspaceKind.PLATFORM:
        raise ContentRejected("invalid", "kind", "must be root, parent or child")
    if kind is not WorkspaceKind.CHILD:
        if is_parent_named:
            raise ContentRejected("invalid", "parent_workspace_id", "is of a child alone")
        return
    if not is_parent_named:
        raise ContentRejected("required", "parent_workspace_id", "is required of a child")
    # One level only: a child of a child, or of a root that holds passes itself, is refused.
    if parent is None or parent.kind is not WorkspaceKind.PARENT:
        raise ContentRejected("parent_unknown", "parent_workspace_id", "is no parent workspace")
