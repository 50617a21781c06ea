"""Push keys and Google accounts: they come in, and never go out again."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from pydantic import Field

from passferry_contracts.types import Role
from passferry_pass_issuer.application.keep_provider_keys import (
    ProviderKeyUpload,
    pass_types_served,
)
from passferry_pass_issuer.domain.credentials import GoogleAccountRecord, ProviderKeyRecord
from passferry_pass_issuer.entrypoints.credential_bodies import (
    ProviderKeyBody,
    body_of,
    request_schema,
)
from passferry_pass_issuer.entrypoints.http_templates import GoogleIssuerId
from passferry_pass_issuer.entrypoints.http_work import (
    Body,
    RequestBody,
    instant,
    issuer_of,
    working,
)
from passferry_runtime.auth import Scope, require

router = APIRouter(prefix="/api/v1/workspaces/{workspace_id}", tags=["credentials"])

Manager = Annotated[Scope, Depends(require(Role.MANAGER))]
Owner = Annotated[Scope, Depends(require(Role.OWNER))]
AppleName = Annotated[str, Path(pattern=r"^[A-Z0-9]{10}$")]
IssuerName = Annotated[str, Path(pattern=r"^[0-9]{1,32}$")]
PrivateKeyId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,128}$")]

MAX_SERVICE_ACCOUNT_MEMBERS = 32


class GoogleAccountBody(RequestBody):
    issuer_id: GoogleIssuerId
    #: The JSON key file of the service account, as Google gives it.
    service_account: dict[str, Any] = Field(max_length=MAX_SERVICE_ACCOUNT_MEMBERS, repr=False)


def provider_key_body(record: ProviderKeyRecord, served: dict[str, list[str]]) -> Body:
    return {
        "key_id": record.key_id,
        "team_id": record.team_identifier,
        "active": record.is_active,
        "pass_type_identifiers": served.get(record.team_identifier, []) if record.is_active else [],
        "created_at": instant(record.created_at),
    }


def google_account_body(record: GoogleAccountRecord) -> Body:
    return {
        "issuer_id": record.issuer_id,
        "client_email": record.client_email,
        "private_key_id": record.private_key_id,
        "active": record.is_active,
        "created_at": instant(record.created_at),
        "updated_at": instant(record.updated_at),
    }


@router.post(
    "/provider-keys", status_code=201, openapi_extra=request_schema(ProviderKeyBody, ("p8",))
)
async def upload_provider_key(request: Request, scope: Owner) -> Body:
    """A `.p8` of Apple's push service. It serves pass types of its own team, and rings when their
    certificate cannot."""
    issuer, workspace_id = issuer_of(request), scope.workspace_id
    body = await body_of(request, ProviderKeyBody)
    upload = ProviderKeyUpload(
        key_id=body.key_id,
        team_identifier=body.team_id,
        p8=body.p8.get_secret_value().encode(),
    )
    async with working(request, [workspace_id], actor=scope.principal.actor) as work:
        record = await issuer.desk.upload_provider_key(work, workspace_id, upload)
        served = await pass_types_served(issuer.credentials, work, workspace_id)
    return provider_key_body(record, served)


@router.get("/provider-keys")
async def list_provider_keys(request: Request, scope: Manager) -> Body:
    """With the pass types that each serves: those of its team that have a signing identity."""
    credentials, workspace_id = issuer_of(request).credentials, scope.workspace_id
    async with working(request, [workspace_id], actor=scope.principal.actor) as work:
        found = await credentials.provider_keys(work.transaction, workspace_id)
        served = await pass_types_served(credentials, work, workspace_id)
    return {"data": [provider_key_body(each, served) for each in found], "next_cursor": None}


@router.delete("/provider-keys/{team_id}/{key_id}", status_code=204)
async def delete_provider_key(
    request: Request, team_id: AppleName, key_id: AppleName, scope: Owner
) -> None:
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        await issuer_of(request).desk.delete_provider_key(work, scope.workspace_id, team_id, key_id)


@router.post("/google-accounts", status_code=201)
async def upload_google_account(request: Request, body: GoogleAccountBody, scope: Owner) -> Body:
    """Sign with this service account of a Google issuer; the key before it stays beside it."""
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        record = await issuer_of(request).desk.google_accounts.upload(
            work, scope.workspace_id, body.issuer_id, body.service_account
        )
    return google_account_body(record)


@router.get("/google-accounts")
async def list_google_accounts(request: Request, scope: Manager) -> Body:
    """By issuer, the key that signs first."""
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        found = await issuer_of(request).credentials.google_accounts(
            work.transaction, scope.workspace_id
        )
    return {"data": [google_account_body(record) for record in found], "next_cursor": None}


@router.post("/google-accounts/{issuer_id}/keys/{private_key_id}/activate")
async def activate_google_key(
    request: Request, issuer_id: IssuerName, private_key_id: PrivateKeyId, scope: Owner
) -> Body:
    """Sign with the other one of an issuer's two keys."""
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        record = await issuer_of(request).desk.google_accounts.activate(
            work, scope.workspace_id, issuer_id, private_key_id
        )
    return google_account_body(record)


@router.delete("/google-accounts/{issuer_id}/keys/{private_key_id}", status_code=204)
async def delete_google_key(
    request: Request, issuer_id: IssuerName, private_key_id: PrivateKeyId, scope: Owner
) -> None:
    """Forget the key that does not sign."""
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        await issuer_of(request).desk.google_accounts.delete(
            work, scope.workspace_id, issuer_id, private_key_id
        )
