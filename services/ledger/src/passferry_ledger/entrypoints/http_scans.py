"""A till shows the code of a pass: what it is, and doing what its protocol does."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from passferry_contracts.fields import Name
from passferry_contracts.types import Role
from passferry_ledger.application.scan_pass import Scan, ScanPass
from passferry_ledger.domain.accounts import PassAddress
from passferry_ledger.domain.commands import EntryKind
from passferry_ledger.entrypoints.command_bodies import ACTIONS, UseBody
from passferry_ledger.entrypoints.http_commands import RESPONSES, DryRun, KeyHeader, submit
from passferry_runtime.auth import Scope, require
from passferry_runtime.errors import RetryLater, Unavailable

router = APIRouter(prefix="/api/v1/workspaces/{workspace_id}/scans", tags=["scans"])

ACTION_NAMES = {action.kind: name for name, action in ACTIONS.items()}


class ScanBody(UseBody):
    """`code` is what the barcode holds."""

    code: Name


class OfferAnswer(BaseModel):
    """`action` is the last part of a command's path; `code` says why it would be refused now."""

    action: str
    offered: bool
    code: str | None


class ScanAnswer(BaseModel):
    pass_id: UUID
    external_id: str | None
    program_id: UUID
    protocol: str
    unit: str
    unit_scale: int
    status: str
    closed_reason: str | None
    balance_minor: int
    held_minor: int
    available_minor: int
    tier: str | None
    version: int
    #: What tills do with passes of this protocol.
    actions: list[OfferAnswer]


@router.get("")
async def read_scan(
    request: Request,
    code: Annotated[Name, Query(description="What the barcode holds.")],
    scope: Annotated[Scope, Depends(require(Role.VIEWER))],
) -> ScanAnswer:
    """The pass behind a code, and which actions its protocol offers now. Changes nothing."""
    scan_pass: ScanPass = request.state.scan_pass
    try:
        scan = await scan_pass(PassAddress(workspace_id=scope.workspace_id, code=code))
    except RetryLater as error:
        raise Unavailable(error.code, error.detail, retry_after_s=1) from error
    return _scan_answer(scan)


@router.post("", responses=RESPONSES)
async def scan(
    request: Request,
    body: ScanBody,
    scope: Annotated[Scope, Depends(require(Role.MEMBER))],
    dry_run: DryRun,
    idempotency_key: KeyHeader = None,
) -> JSONResponse:
    """Do what the program's protocol does with it: the caller need not know which it is."""
    address = PassAddress(workspace_id=scope.workspace_id, code=body.code)
    return await submit(
        request, scope, EntryKind.USE, body, address, key=idempotency_key, dry_run=dry_run
    )


def _scan_answer(scan: Scan) -> ScanAnswer:
    account = scan.account
    return ScanAnswer(
        pass_id=account.pass_id,
        external_id=account.external_id,
        program_id=account.program_id,
        protocol=account.protocol,
        unit=account.unit,
        unit_scale=account.unit_scale,
        status=account.status,
        closed_reason=account.closed_reason,
        balance_minor=account.balance_minor,
        held_minor=account.held_minor,
        available_minor=account.available_minor,
        tier=account.tier,
        version=account.version,
        actions=[
            OfferAnswer(
                action=ACTION_NAMES[offer.kind], offered=offer.code is None, code=offer.code
            )
            for offer in scan.offers
        ],
    )
