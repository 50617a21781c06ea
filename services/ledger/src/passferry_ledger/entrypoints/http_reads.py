"""Balances and entries by HTTP."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request

from passferry_contracts.types import Role
from passferry_ledger.application.read_balances import MAX_PAGE, ReadBalances
from passferry_ledger.entrypoints.http_models import (
    BalanceAnswer,
    BalancesAnswer,
    EntriesAnswer,
    balance_answer,
    entry_answer,
)
from passferry_ledger.entrypoints.pass_addresses import PassReference, address_of
from passferry_runtime.auth import Scope, require
from passferry_runtime.errors import FieldError, Invalid, RetryLater, Unavailable

router = APIRouter(prefix="/api/v1/workspaces/{workspace_id}", tags=["balances"])

ReadScope = Annotated[Scope, Depends(require(Role.VIEWER))]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]
MAX_CURSOR = 20


@router.get("/balances")
async def read_balances(
    request: Request, scope: ReadScope, cursor: UUID | None = None, limit: Limit = 100
) -> BalancesAnswer:
    """All balances that the ledger keeps, page by page in the order of pass ids."""
    reads: ReadBalances = request.state.read_balances
    try:
        accounts, following = await reads.balances(scope.workspace_id, after=cursor, limit=limit)
    except RetryLater as error:
        raise _unavailable(error) from error
    return BalancesAnswer(
        data=[balance_answer(account) for account in accounts], next_cursor=following
    )


@router.get("/passes/{pass_ref:path}/balance")
async def read_balance(
    request: Request, pass_ref: PassReference, scope: ReadScope
) -> BalanceAnswer:
    reads: ReadBalances = request.state.read_balances
    try:
        account = await reads.balance(address_of(scope.workspace_id, pass_ref))
    except RetryLater as error:
        raise _unavailable(error) from error
    return balance_answer(account)


@router.get("/passes/{pass_ref:path}/entries")
async def read_entries(
    request: Request,
    pass_ref: PassReference,
    scope: ReadScope,
    cursor: Annotated[str | None, Query(max_length=MAX_CURSOR)] = None,
    limit: Limit = 50,
) -> EntriesAnswer:
    """The pass's entries, newest first."""
    reads: ReadBalances = request.state.read_balances
    try:
        statement = await reads.statement(
            address_of(scope.workspace_id, pass_ref),
            before_version=_version_of(cursor),
            limit=limit,
        )
    except RetryLater as error:
        raise _unavailable(error) from error
    before = statement.next_before_version
    return EntriesAnswer(
        pass_id=statement.account.pass_id,
        data=[entry_answer(entry) for entry in statement.entries],
        next_cursor=None if before is None else f"v{before}",
    )


def _version_of(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    number = cursor[1:]
    if cursor[0:1] != "v" or not (number.isascii() and number.isdecimal()) or len(number) > 18:
        raise Invalid(
            "validation_failed",
            "The cursor is not one that was given out.",
            errors=[FieldError("cursor", "not a cursor of this list")],
        )
    return int(number)


def _unavailable(error: RetryLater) -> Unavailable:
    return Unavailable(error.code, error.detail, retry_after_s=1)
