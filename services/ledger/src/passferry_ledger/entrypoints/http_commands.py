"""Earn, redeem and adjust by HTTP."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import JSONResponse

from passferry_contracts.types import Role
from passferry_ledger.application.ports import Submission
from passferry_ledger.domain.commands import Command, EntryKind
from passferry_ledger.domain.outcomes import Outcome
from passferry_ledger.entrypoints.http_models import (
    AdjustBody,
    CommandAnswer,
    CommandBody,
    EarnBody,
    RedeemBody,
    RefusalAnswer,
    applied_answer,
)
from passferry_ledger.entrypoints.pass_addresses import PassReference, address_of
from passferry_runtime.auth import Scope, require
from passferry_runtime.idempotency import parse_idempotency_key
from passferry_runtime.problems import MEDIA_TYPE, TYPE_BASE
from passferry_runtime.tracing import current_traceparent

REPLAYED_HEADER = "Idempotency-Replayed"

#: HTTP's word for each refusal: 404 for what is not there, 409 for what the state of the ledger
#: forbids, 422 for what is wrong with the request itself.
STATUSES: dict[str, int] = {
    "pass_unknown": 404,
    "other_pass_unknown": 404,
    "hold_unknown": 404,
    "entry_unknown": 404,
    "workspace_suspended": 403,
    "pass_mismatch": 422,
    "key_reused": 422,
    "unit_mismatch": 422,
    "amount_invalid": 422,
    "amount_required": 422,
    "amount_out_of_range": 422,
    "entry_limit_exceeded": 422,
    "day_limit_exceeded": 422,
    "balance_limit_exceeded": 422,
    "other_balance_limit_exceeded": 422,
    "redemption_too_small": 422,
    "redemption_too_large": 422,
    "no_earn_rule": 422,
    "purchase_unit_mismatch": 422,
    "purchase_earns_nothing": 422,
    "action_not_supported": 422,
    "transfer_to_itself": 422,
    "hold_until_invalid": 422,
    "entry_not_reversible": 422,
    "reversal_exceeds_entry": 422,
    "hold_exceeded": 422,
    "bulk_aborted": 424,
    "balance_kept_upstream": 409,
    "program_suspended": 409,
    "program_retired": 409,
    "account_closed": 409,
    "other_account_closed": 409,
    "reference_used": 409,
    "insufficient_balance": 409,
    "nothing_to_redeem": 409,
    "already_checked_in": 409,
    "hold_ended": 409,
    "too_many_holds": 409,
    "holds_open": 409,
    "already_reversed": 409,
    "nothing_to_expire": 409,
    "nothing_to_review": 409,
}

RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": CommandAnswer},
    404: {"model": RefusalAnswer, "description": "Not known (yet): ask again with the same key"},
    409: {"model": RefusalAnswer, "description": "Refused; remembered under the key"},
    422: {"model": RefusalAnswer, "description": "Refused, or the body is not valid"},
}

router = APIRouter(
    prefix="/api/v1/workspaces/{workspace_id}/passes/{pass_ref:path}",
    tags=["commands"],
    responses=RESPONSES,
)

KeyHeader = Annotated[
    str | None,
    Header(alias="Idempotency-Key", description="One key, one outcome; quoted or bare."),
]


@router.post("/earn")
async def earn(
    request: Request,
    pass_ref: PassReference,
    body: EarnBody,
    scope: Annotated[Scope, Depends(require(Role.MEMBER))],
    idempotency_key: KeyHeader = None,
) -> JSONResponse:
    """Give the pass `amount_minor` more."""
    return await _submit(request, EntryKind.EARN, pass_ref, body, scope, idempotency_key)


@router.post("/redeem")
async def redeem(
    request: Request,
    pass_ref: PassReference,
    body: RedeemBody,
    scope: Annotated[Scope, Depends(require(Role.MEMBER))],
    idempotency_key: KeyHeader = None,
) -> JSONResponse:
    """Spend `amount_minor` of the pass."""
    return await _submit(request, EntryKind.REDEEM, pass_ref, body, scope, idempotency_key)


@router.post("/adjust")
async def adjust(
    request: Request,
    pass_ref: PassReference,
    body: AdjustBody,
    scope: Annotated[Scope, Depends(require(Role.MANAGER))],
    idempotency_key: KeyHeader = None,
) -> JSONResponse:
    """Correct the balance by hand, or refund: `amount_minor` has any sign."""
    return await _submit(request, EntryKind.ADJUST, pass_ref, body, scope, idempotency_key)


async def _submit(
    request: Request,
    kind: EntryKind,
    pass_ref: str,
    body: EarnBody | RedeemBody | AdjustBody,
    scope: Scope,
    idempotency_key: str | None,
) -> JSONResponse:
    address = address_of(scope.workspace_id, pass_ref)
    key = parse_idempotency_key(idempotency_key, required=True)
    said = body.model_dump(include=set(CommandBody.model_fields))
    command = Command(
        workspace_id=scope.workspace_id,
        kind=kind,
        amount_minor=body.amount_minor,
        pass_id=address.pass_id,
        external_id=address.external_id,
        idempotency_key=key,
        recorded_by=f"key:{scope.principal.key_id}"[:200],
        **said,
    )
    submission = Submission(command=command, traceparent=current_traceparent())
    outcome: Outcome = await request.state.submit_command(submission)
    return answer(command, outcome)


def answer(command: Command, outcome: Outcome) -> JSONResponse:
    headers = {REPLAYED_HEADER: "true"} if outcome.is_replayed else {}
    if outcome.is_applied:
        return JSONResponse(applied_answer(command, outcome), headers=headers)
    if outcome.code == "pass_unknown":
        headers["Retry-After"] = "1"
    return JSONResponse(
        refusal_answer(outcome),
        status_code=STATUSES[outcome.code],
        headers=headers,
        media_type=MEDIA_TYPE,
    )


def refusal_answer(outcome: Outcome) -> dict[str, Any]:
    """Says nothing of this very request, so that a replay is the same byte for byte."""
    problem = RefusalAnswer(
        type=TYPE_BASE + outcome.code.replace("_", "-"),
        title=HTTPStatus(STATUSES[outcome.code]).phrase,
        status=STATUSES[outcome.code],
        detail=outcome.detail,
        code=outcome.code,
        pass_id=outcome.pass_id,
        balance_minor=outcome.balance_minor,
        available_minor=outcome.available_minor,
        unit=outcome.unit,
        version=outcome.version,
    )
    return problem.model_dump(mode="json", exclude_none=True)
