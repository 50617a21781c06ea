"""Workspaces and API keys."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field
from starlette.responses import JSONResponse, Response

from passferry_contracts.fields import ExternalId, Instant, Name, ShortText
from passferry_contracts.types import Role, WorkspaceKind
from passferry_pass_issuer.application.administer_workspaces import (
    WorkspaceChange,
    WorkspaceRequest,
    new_workspace_id,
)
from passferry_pass_issuer.domain.api_key import ApiKey
from passferry_pass_issuer.domain.workspace import PLATFORM_ID, Workspace
from passferry_pass_issuer.entrypoints.http_work import (
    DEFAULT_PAGE,
    MAX_PAGE,
    Body,
    RequestBody,
    answer_once,
    id_cursor,
    instant,
    issuer_of,
    page_of,
    without,
    working,
)
from passferry_runtime.auth import Principal, Scope, require, require_platform
from passferry_runtime.errors import NotFound

router = APIRouter(prefix="/api/v1", tags=["workspaces"])
#: Routes of those who belong to the workspace.
member_router = APIRouter(prefix="/api/v1/workspaces/{workspace_id}", tags=["workspaces"])

Administrator = Annotated[Principal, Depends(require_platform())]
Viewer = Annotated[Scope, Depends(require(Role.VIEWER))]
Owner = Annotated[Scope, Depends(require(Role.OWNER))]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]
Cursor = Annotated[str | None, Query(max_length=300)]

BusinessIds = Annotated[list[ExternalId], Field(max_length=100)]


class NewWorkspaceBody(RequestBody):
    name: Name
    kind: WorkspaceKind = WorkspaceKind.ROOT
    parent_workspace_id: UUID | None = None
    external_id: ExternalId | None = None
    business_ids: BusinessIds = Field(default_factory=list)


class WorkspaceChangeBody(RequestBody):
    name: Name | None = None
    suspended: bool | None = None
    business_ids: BusinessIds | None = None


class NewApiKeyBody(RequestBody):
    role: Role
    name: ShortText = ""
    expires_at: Instant | None = None


def workspace_body(workspace: Workspace) -> Body:
    parent = workspace.parent_workspace_id
    return {
        "workspace_id": str(workspace.workspace_id),
        "kind": workspace.kind.value,
        "name": workspace.name,
        "parent_workspace_id": str(parent) if parent else None,
        "external_id": workspace.external_id,
        "business_ids": list(workspace.business_ids),
        "suspended": workspace.is_suspended,
        "created_at": instant(workspace.created_at),
        "updated_at": instant(workspace.updated_at),
    }


def api_key_body(key: ApiKey) -> Body:
    return {
        "key_id": key.key_id,
        "role": key.role.value,
        "name": key.name,
        "created_by": key.created_by,
        "created_at": instant(key.created_at),
        "expires_at": instant(key.expires_at),
        "revoked_at": instant(key.revoked_at),
    }


@router.post("/workspaces", status_code=201)
async def create_workspace(
    request: Request, body: NewWorkspaceBody, principal: Administrator
) -> Response:
    """Make a workspace: a root, a parent, or a child of a parent."""
    issuer = issuer_of(request)
    workspace_id = new_workspace_id()
    touched = {PLATFORM_ID, workspace_id, body.parent_workspace_id or PLATFORM_ID}
    asked = WorkspaceRequest(
        name=body.name,
        kind=body.kind,
        parent_workspace_id=body.parent_workspace_id,
        external_id=body.external_id,
        business_ids=tuple(sorted(set(body.business_ids))),
    )
    async with working(request, touched, actor=principal.actor) as work:

        async def produce() -> Body:
            return workspace_body(await issuer.create_workspace(work, workspace_id, asked))

        given = body.model_dump(mode="json")
        return await answer_once(request, work, PLATFORM_ID, given, produce)


@router.get("/workspaces")
async def list_workspaces(
    request: Request, principal: Administrator, limit: Limit = DEFAULT_PAGE, cursor: Cursor = None
) -> Body:
    """All workspaces, oldest first."""
    issuer = issuer_of(request)
    after = id_cursor(cursor)
    async with working(request, [], actor=principal.actor) as work:
        ids = await issuer.workspaces.ids(work.transaction, after=after, limit=limit)
    async with working(request, ids, actor=principal.actor) as work:
        found = await issuer.workspaces.by_ids(work.transaction, ids)
    shown = [workspace_body(each) for each in found if each.workspace_id != PLATFORM_ID]
    next_cursor = [str(ids[-1])] if len(ids) == limit else None
    return page_of(shown, len(shown), next_cursor)


@member_router.get("")
async def read_workspace(request: Request, scope: Viewer) -> Body:
    issuer = issuer_of(request)
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        found = await issuer.workspaces.find(work.transaction, scope.workspace_id)
    if found is None:
        raise NotFound("workspace_not_found", "there is no such workspace")
    return workspace_body(found)


@router.patch("/workspaces/{workspace_id}")
async def change_workspace(
    request: Request, workspace_id: UUID, body: WorkspaceChangeBody, principal: Administrator
) -> Body:
    """Rename, suspend or resume, or map upstream business ids."""
    ids = body.business_ids
    change = WorkspaceChange(
        name=body.name,
        is_suspended=body.suspended,
        business_ids=None if ids is None else tuple(sorted(set(ids))),
    )
    async with working(request, [workspace_id], actor=principal.actor) as work:
        changed = await issuer_of(request).change_workspace(work, workspace_id, change)
    return workspace_body(changed)


@member_router.get("/health")
async def read_workspace_health(request: Request, scope: Viewer) -> Body:
    """What is missing for the workspace's published templates to work fully."""
    issuer = issuer_of(request)
    now = issuer.workbench.clock.now()
    report = await issuer.watch_credentials.of_workspace(scope.workspace_id, now)
    is_degraded = any(finding.is_degraded for finding in report.findings)
    return {
        "state": "degraded" if is_degraded else "ok",
        "findings": [
            {"code": finding.code, "subject": finding.subject, "detail": finding.detail}
            for finding in report.findings
        ],
    }


@member_router.post("/api-keys", status_code=201)
async def create_api_key(request: Request, body: NewApiKeyBody, scope: Owner) -> Response:
    """Make a key; `api_key` in the answer is shown this once."""
    return await _create_key(request, body, scope.workspace_id, scope.principal)


@member_router.get("/api-keys")
async def list_api_keys(request: Request, scope: Owner) -> Body:
    return await _list_keys(request, scope.workspace_id, scope.principal)


@member_router.delete("/api-keys/{key_id}", status_code=204)
async def revoke_api_key(request: Request, key_id: str, scope: Owner) -> Response:
    return await _revoke_key(request, key_id, scope.workspace_id, scope.principal)


@router.post("/platform/api-keys", status_code=201)
async def create_administrator_key(
    request: Request, body: NewApiKeyBody, principal: Administrator
) -> Response:
    """Make another administrator's key."""
    return await _create_key(request, body, PLATFORM_ID, principal)


@router.get("/platform/api-keys")
async def list_administrator_keys(request: Request, principal: Administrator) -> Body:
    return await _list_keys(request, PLATFORM_ID, principal)


@router.delete("/platform/api-keys/{key_id}", status_code=204)
async def revoke_administrator_key(
    request: Request, key_id: str, principal: Administrator
) -> Response:
    return await _revoke_key(request, key_id, PLATFORM_ID, principal)


async def _create_key(
    request: Request, body: NewApiKeyBody, workspace_id: UUID, principal: Principal
) -> JSONResponse:
    async with working(request, [workspace_id], actor=principal.actor) as work:

        async def produce() -> Body:
            created = await issuer_of(request).create_api_key(
                work,
                workspace_id,
                role=body.role,
                granted_by=principal.role,
                name=body.name,
                expires_at=body.expires_at,
            )
            return {**api_key_body(created.api_key), "api_key": created.presented}

        given = body.model_dump(mode="json")
        return await answer_once(
            request, work, workspace_id, given, produce, remembered=without("api_key")
        )


async def _list_keys(request: Request, workspace_id: UUID, principal: Principal) -> Body:
    async with working(request, [workspace_id], actor=principal.actor) as work:
        keys = await issuer_of(request).api_keys.of_workspace(work.transaction, workspace_id)
    return {"data": [api_key_body(key) for key in keys], "next_cursor": None}


async def _revoke_key(
    request: Request, key_id: str, workspace_id: UUID, principal: Principal
) -> Response:
    async with working(request, [workspace_id], actor=principal.actor) as work:
        await issuer_of(request).revoke_api_key(work, workspace_id, key_id)
    return Response(status_code=204)
