"""Signing identities and the requests for their certificates: keys come in, or are born here, and
never go out."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from passferry_contracts.fields import PassTypeIdentifier
from passferry_contracts.types import Role
from passferry_pass_issuer.domain.credentials import SigningIdentityRecord, SigningRequestRecord
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.entrypoints.credential_bodies import (
    CertificateBody,
    SigningIdentityBody,
    body_of,
    request_schema,
)
from passferry_pass_issuer.entrypoints.http_work import (
    Body,
    RequestBody,
    answer_once,
    instant,
    issuer_of,
    problem_of,
    working,
)
from passferry_runtime.auth import Scope, require

router = APIRouter(
    prefix="/api/v1/workspaces/{workspace_id}/signing-identities", tags=["credentials"]
)

Manager = Annotated[Scope, Depends(require(Role.MANAGER))]
Owner = Annotated[Scope, Depends(require(Role.OWNER))]

_IDENTITY_FILES = ("p12", "certificate", "private_key")


class SigningRequestBody(RequestBody):
    pass_type_identifier: PassTypeIdentifier
    key: Literal["rsa2048", "p256"] = "rsa2048"


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
        "state": record.state(now),
        "created_at": instant(record.created_at),
        "retired_at": instant(record.retired_at),
    }


def signing_request_body(record: SigningRequestRecord, now: datetime) -> Body:
    identity = record.signing_identity_id
    return {
        "signing_request_id": str(record.signing_request_id),
        "pass_type_identifier": record.pass_type_identifier,
        "key": record.key_kind,
        "state": record.state(now),
        "request_pem": record.request_pem,
        "signing_identity_id": None if identity is None else str(identity),
        "created_at": instant(record.created_at),
        "expires_at": instant(record.expires_at),
    }


async def _told(request: Request, record: SigningIdentityRecord, now: datetime) -> Body:
    """With what the published templates of its pass type need and it has not."""
    report = await issuer_of(request).watch_credentials.of_workspace(record.workspace_id, now)
    faults = [
        each
        for each in report.findings
        if each.is_degraded and each.subject == record.pass_type_identifier
    ]
    warnings = [{"code": each.code, "detail": each.detail} for each in faults]
    return signing_identity_body(record, now) | {"warnings": warnings}


@router.post(
    "", status_code=201, openapi_extra=request_schema(SigningIdentityBody, _IDENTITY_FILES)
)
async def upload_signing_identity(request: Request, scope: Owner) -> Body:
    """Check a pass type's certificate and key, and sign with them from now on.

    JSON, or a form with the files `p12`, or `certificate` and `private_key`.
    """
    issuer, workspace_id = issuer_of(request), scope.workspace_id
    body = await body_of(request, SigningIdentityBody)
    try:
        # No transaction waits for a file that takes long to open.
        checked = await issuer.desk.check_upload(body.upload(), now=issuer.workbench.clock.now())
    except ContentRejected as refusal:
        raise problem_of(refusal) from None
    async with working(request, [workspace_id], actor=scope.principal.actor) as work:
        record = await issuer.desk.store_identity(work, workspace_id, checked)
    return await _told(request, record, work.now)


@router.get("")
async def list_signing_identities(request: Request, scope: Manager) -> Body:
    """Active ones first; retired ones stay until their certificates end."""
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        found = await issuer_of(request).credentials.identities(
            work.transaction, scope.workspace_id
        )
    data = [signing_identity_body(record, work.now) for record in found]
    return {"data": data, "next_cursor": None}


@router.post("/requests", status_code=201)
async def create_signing_request(
    request: Request, body: SigningRequestBody, scope: Owner
) -> Response:
    """Make a key, which never leaves, and a request to upload to Apple."""
    issuer, workspace_id = issuer_of(request), scope.workspace_id
    made = await issuer.desk.create_signing_request.made(body.pass_type_identifier, body.key)
    async with working(request, [workspace_id], actor=scope.principal.actor) as work:

        async def produce() -> Body:
            record = await issuer.desk.create_signing_request(
                work, workspace_id, body.pass_type_identifier, body.key, made
            )
            return signing_request_body(record, work.now)

        given = body.model_dump(mode="json")
        return await answer_once(request, work, workspace_id, given, produce)


@router.get("/requests")
async def list_signing_requests(request: Request, scope: Manager) -> Body:
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        found = await issuer_of(request).credentials.requests(work.transaction, scope.workspace_id)
    data = [signing_request_body(record, work.now) for record in found]
    return {"data": data, "next_cursor": None}


@router.post(
    "/requests/{signing_request_id}/certificate",
    status_code=201,
    openapi_extra=request_schema(CertificateBody, ("certificate",)),
)
async def complete_signing_request(
    request: Request, signing_request_id: UUID, scope: Owner
) -> Body:
    """Apple's certificate for a request: PEM or DER, as JSON or as the file `certificate`."""
    body = await body_of(request, CertificateBody)
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        record = await issuer_of(request).desk.complete_signing_request(
            work, scope.workspace_id, signing_request_id, body.certificate()
        )
    return await _told(request, record, work.now)


@router.delete("/requests/{signing_request_id}", status_code=204)
async def delete_signing_request(request: Request, signing_request_id: UUID, scope: Owner) -> None:
    """Forget a request and its key."""
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        await issuer_of(request).desk.delete_signing_request(
            work, scope.workspace_id, signing_request_id
        )


@router.post("/{signing_identity_id}/activate")
async def activate_signing_identity(
    request: Request, signing_identity_id: UUID, scope: Owner
) -> Body:
    """Go back to a retired identity whose certificate has not ended."""
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        record = await issuer_of(request).desk.activate_identity(
            work, scope.workspace_id, signing_identity_id
        )
    return await _told(request, record, work.now)


@router.delete("/{signing_identity_id}", status_code=204)
async def delete_signing_identity(
    request: Request, signing_identity_id: UUID, scope: Owner
) -> None:
    """Forget a retired identity and its key before its certificate ends."""
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        await issuer_of(request).desk.delete_identity(work, scope.workspace_id, signing_identity_id)
