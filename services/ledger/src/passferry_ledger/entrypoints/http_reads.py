"""Balances, holds and lots by HTTP."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request

from passferry_ledger.application.read_balances import ReadBalances
from passferry_ledger.application.read_holdings import ReadHoldings
from passferry_ledger.application.searches import AccountSearch
from passferry_ledger.entrypoints import cursors
from passferry_ledger.entrypoints.cursors import CursorParameter
from passferry_ledger.entrypoints.pass_addresses import PassReference, address_of
from passferry_ledger.entrypoints.read_models import (
    BalanceAnswer,
    BalanceAtAnswer,
    BalancesAnswer,
    BalancesQuery,
    BalancesQueryAnswer,
    HoldsAnswer,
    LotsAnswer,
    balance_answer,
    balance_at_answer,
    balances_query_answer,
    holds_answer,
    lots_answer,
)
from passferry_ledger.entrypoints.read_parameters import (
    AccountStatus,
    HoldState,
    Limit,
    ReadScope,
    ShortFilter,
    Time,
    past_time,
    unavailable_when_passing,
)
from passferry_runtime.clock import Clock

router = APIRouter(prefix="/api/v1/workspaces/{workspace_id}", tags=["balances"])

BALANCES, HOLDS, LOTS = "balances", "holds", "lots"


@router.get("/balances")
async def read_balances(
    request: Request,
    scope: ReadScope,
    program_id: UUID | None = None,
    status: AccountStatus | None = None,
    tier: ShortFilter = None,
    cursor: CursorParameter = None,
    limit: Limit = 100,
) -> BalancesAnswer:
    """All balances that the ledger keeps, page by page in the order of pass ids."""
    reads: ReadBalances = request.state.read_balances
    search = AccountSearch(
        after=cursors.to_id(BALANCES, cursor),
        program_id=program_id,
        status=status,
        tier=tier,
        limit=limit,
    )
    async with unavailable_when_passing():
        page = await reads.page(scope.workspace_id, search)
    return BalancesAnswer(
        data=[balance_answer(account) for account in page.items],
        next_cursor=cursors.from_id(BALANCES, page.following),
    )


@router.post("/balances/query")
async def query_balances(
    request: Request, body: BalancesQuery, scope: ReadScope
) -> BalancesQueryAnswer:
    """The balances of up to 1,000 passes by their names."""
    reads: ReadBalances = request.state.read_balances
    async with unavailable_when_passing():
        balances = await reads.named(
            scope.workspace_id, pass_ids=body.pass_ids, external_ids=body.external_ids
        )
    return balances_query_answer(balances)


@router.get("/passes/{pass_ref:path}/balance")
async def read_balance(
    request: Request,
    pass_ref: PassReference,
    scope: ReadScope,
    at: Annotated[
        Time | None, Query(description="The balance as it was then; not in the future.")
    ] = None,
) -> BalanceAnswer | BalanceAtAnswer:
    """The balance now, or as it was at a time."""
    reads: ReadBalances = request.state.read_balances
    clock: Clock = request.state.clock
    address = address_of(scope.workspace_id, pass_ref)
    async with unavailable_when_passing():
        if at is None:
            return balance_answer(await reads.balance(address))
        account, balance = await reads.balance_at(address, past_time(at, clock.now()))
        return balance_at_answer(account, balance)


@router.get("/passes/{pass_ref:path}/holds")
async def read_holds(
    request: Request,
    pass_ref: PassReference,
    scope: ReadScope,
    state: HoldState | None = None,
    cursor: CursorParameter = None,
    limit: Limit = 50,
) -> HoldsAnswer:
    """What was set aside on this pass, newest first."""
    reads: ReadHoldings = request.state.read_holdings
    async with unavailable_when_passing():
        account, page = await reads.holds(
            address_of(scope.workspace_id, pass_ref),
            state=state,
            before=cursors.to_id(HOLDS, cursor),
            limit=limit,
        )
    return holds_answer(account, page.items, cursors.from_id(HOLDS, page.following))


@router.get("/passes/{pass_ref:path}/lots")
async def read_lots(
    request: Request,
    pass_ref: PassReference,
    scope: ReadScope,
    cursor: CursorParameter = None,
    limit: Limit = 100,
) -> LotsAnswer:
    """Points of this pass that have dates and are not spent, soonest to lapse first."""
    reads: ReadHoldings = request.state.read_holdings
    async with unavailable_when_passing():
        lots = await reads.lots(
            address_of(scope.workspace_id, pass_ref),
            after=cursors.to_lot_place(LOTS, cursor),
            limit=limit,
        )
    return lots_answer(lots, cursors.from_lot_place(LOTS, lots.page.following))
