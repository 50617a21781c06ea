"""Refused commands, as `application/problem+json`."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from passferry_ledger.domain.outcomes import NOT_KNOWN_YET, Outcome
from passferry_runtime.errors import Problem
from passferry_runtime.problems import MAX_FIELD_ERRORS, TYPE_BASE

#: HTTP's word for each refusal: 404 for what is not there, 409 for what the state of the ledger
#: forbids, 422 for what is wrong with the request itself.
STATUSES: dict[str, int] = {
    "pass_unknown": 404,
    "other_pass_unknown": 404,
    "hold_unknown": 404,
    "entry_unknown": 404,
    "workspace_suspended": 403,
    "reversal_needs_manager": 403,
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


class FieldFault(BaseModel):
    field: str
    message: str


class RefusalAnswer(BaseModel):
    """A refused command; programs decide by `code`. Balances are told where they are known."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    pass_id: UUID | None = None
    balance_minor: int | None = None
    held_minor: int | None = None
    available_minor: int | None = None
    unit: str | None = None
    version: int | None = None
    errors: list[FieldFault] | None = None
    #: True where nothing was meant to be applied.
    dry_run: bool | None = None


def refusal_answer(outcome: Outcome, *, dry_run: bool = False) -> dict[str, Any]:
    """Says nothing of this very request, so that a replay is the same byte for byte."""
    status = STATUSES[outcome.code]
    knows_balance = outcome.balance_minor is not None
    refusal = RefusalAnswer(
        type=_type_of(outcome.code),
        title=HTTPStatus(status).phrase,
        status=status,
        detail=outcome.detail,
        code=outcome.code,
        pass_id=outcome.pass_id,
        balance_minor=outcome.balance_minor,
        held_minor=outcome.held_minor if knows_balance else None,
        available_minor=outcome.available_minor,
        unit=outcome.unit,
        version=outcome.version,
        dry_run=dry_run or None,
    )
    return refusal.model_dump(mode="json", exclude_none=True)


def refusal_headers(outcome: Outcome) -> dict[str, str]:
    return {"Retry-After": "1"} if outcome.code in NOT_KNOWN_YET else {}


def problem_answer(problem: Problem, *, dry_run: bool = False) -> dict[str, Any]:
    """One command of several that never came before the ledger."""
    refusal = RefusalAnswer(
        type=_type_of(problem.code),
        title=HTTPStatus(problem.status).phrase,
        status=problem.status,
        detail=problem.detail,
        code=problem.code,
        errors=[
            FieldFault(field=error.field, message=error.message)
            for error in problem.errors[:MAX_FIELD_ERRORS]
        ]
        or None,
        dry_run=dry_run or None,
    )
    return refusal.model_dump(mode="json", exclude_none=True)


def _type_of(code: str) -> str:
    return TYPE_BASE + code.replace("_", "-")
