"""Signing identities and Google accounts: they come in, and never go out again."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import Field, SecretStr

from passferry_contracts.fields import PassTypeIdentifier
from passferry_contracts.types import Role
from passferry_pass_issuer.application.keep_credentials import IdentityUpload
from passferry_pass_issuer.domain.credentials import GoogleAccountRecord, SigningIdentityRecord
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.entrypoints.http_templates import GoogleIssuerId, TeamIdentifier
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

MAX_PEM = 20_000
MAX_SERVICE_ACCOUNT_MEMBERS = 32


class SigningIdentityBody(RequestBody):
    """Either `certificate_pem` and `private_key_pem`, or `p12_base64`; `password` for both."""

    certificate_pem: str | None = Field(default=None, max_length=MAX_PEM)
    private_key_pem: SecretStr | None = Field(default=None, max_length=MAX_PEM)
    p12_base64: SecretStr | None = Field(default=None, max_length=2 * MAX_PEM)
    password: SecretStr | None = Field(default=None, max_length=1_000)
    pass_type_identifier: PassTypeIdentifier | None = None
    team_identifier: TeamIdentifier | None = None

    def upload(self) -> IdentityUpload:
        key, p12, password = self.private_key_pem, self.p12_base64, self.password
        return IdentityUpload(
            certificate_pem=self.certificate_pem.encode() if self.certificate_pem else None,
            private_key_pem=key.get_secret_value().encode() if key else None,
            p12=_decoded(p12.get_secret_value()) if p12 else None,
            password=password.get_secret_value().encode() if password else None,
            pass_type_identifier=self.pass_type_identifier,
            team_identifier=self.team_identifier,
        )


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ContentRejected("invalid", "p12_base64", "is not base64") from error


class GoogleAccountBody(RequestBody):
    issuer_id: GoogleIssuerId
    #: The JSON key file of the service account, as Google gives it.
    service_account: dict[str, Any] = Field(max_length=MAX_SERVICE_ACCOUNT_MEMBERS, repr=False)


def signing_identity_body(record: SigningIdentityRecord, now: datetime) -> Body:
    return {
        "signing_identity_id": str(record.signing_identity_id),
        "pass_type_identifier": record.pass_type_identifier,
        "team_identifier": record.team_identifier,
        "fingerprint_sha256": record.fingerprint_sha256,
        "has_nfc": record.has_nfc,
        "not_after": instant(record.not_after),
        "days_left": record.days_left(now),
        "active": record.is_active,
        "created_at": instant(record.created_at),
    }


def google_account_body(record: GoogleAccountRecord) -> Body:
    return {
        "issuer_id": record.issuer_id,
        "client_email": record.client_email,
        "updated_at": instant(record.updated_at),
    }


@router.post("/signing-identities", status_code=201)
async def upload_signing_identity(
    request: Request, workspace_id: UUID, body: SigningIdentityBody, scope: Owner
) -> Body:
    """Check a pass type's certificate and key, and sign with them from now on."""
    async with working(request, [workspace_id], actor=scope.principal.actor) as work:
        record = await issuer_of(request).upload_signing_identity(work, workspace_id, body.upload())
    return signing_identity_body(record, work.now)


@router.get("/signing-identities")
async def list_signing_identities(request: Request, scope: Manager) -> Body:
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        found = await issuer_of(request).credentials.identities(
            work.transaction, scope.workspace_id
        )
    data = [signing_identity_body(record, work.now) for record in found]
    return {"data": data, "next_cursor": None}


@router.post("/google-accounts", status_code=201)
async def upload_google_account(request: Request, body: GoogleAccountBody, scope: Owner) -> Body:
    """Store the service account of a Google issuer, in place of the one before."""
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        record = await issuer_of(request).upload_google_account(
            work, scope.workspace_id, body.issuer_id, body.service_account
        )
    return google_account_body(record)


@router.get("/google-accounts")
async def list_google_accounts(request: Request, scope: Manager) -> Body:
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        found = await issuer_of(request).credentials.google_accounts(
            work.transaction, scope.workspace_id
        )
    return {"data": [google_account_body(record) for record in found], "next_cursor": None}
