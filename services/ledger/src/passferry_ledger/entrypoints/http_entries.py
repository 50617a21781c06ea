"""Entries and the audit by HTTP."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request

from passferry_ledger.application.read_entries import ReadEntries
from passferry_ledger.application.searches import (
    DecisionSearch,
    EntrySearch,
    Order,
    Period,
    StatementSearch,
)
from passferry_ledger.entrypoints import cursors
from passferry_ledger.entrypoints.cursors import CursorParameter
from passferry_ledger.entrypoints.pass_addresses import PassReference, address_of
from passferry_ledger.entrypoints.read_models import (
    AuditAnswer,
    EntriesAnswer,
    EntryDetail,
    EntryRecordsAnswer,
    decision_answer,
    entry_answer,
    entry_detail,
    entry_record_answer,
)
from passferry_ledger.entrypoints.read_parameters import (
    Kinds,
    Limit,
    ManagerScope,
    OrderParameter,
    PeriodParameters,
    ReadScope,
    ShortFilter,
    parameter_invalid,
    unavailable_when_passing,
)

router = APIRouter(prefix="/api/v1/workspaces/{workspace_id}", tags=["entries"])

STATEMENT, ENTRIES, AUDIT = "statement", "entries", "audit"


@router.get("/passes/{pass_ref:path}/entries")
async def read_statement(
    request: Request,
    pass_ref: PassReference,
    scope: ReadScope,
    period: PeriodParameters,
    kinds: Kinds = [],  # noqa: B006  # read only, and OpenAPI shows it
    order: OrderParameter = Order.NEWEST_FIRST,
    cursor: CursorParameter = None,
    limit: Limit = 50,
) -> EntriesAnswer:
    """The pass's entries."""
    reads: ReadEntries = request.state.read_entries
    name = f"{STATEMENT}:{order}"
    search = StatementSearch(
        order=order,
        after=cursors.to_version(name, cursor),
        period=period,
        kinds=kinds,
        limit=limit,
    )
    async with unavailable_when_passing():
        account, page = await reads.statement(address_of(scope.workspace_id, pass_ref), search)
    return EntriesAnswer(
        pass_id=account.pass_id,
        data=[entry_answer(entry) for entry in page.items],
        next_cursor=cursors.from_version(name, page.following),
    )


@router.get("/entries")
async def read_entries(
    request: Request,
    scope: ReadScope,
    period: PeriodParameters,
    reference: ShortFilter = None,
    kinds: Kinds = [],  # noqa: B006  # read only, and OpenAPI shows it
    program_id: UUID | None = None,
    order: OrderParameter = Order.NEWEST_FIRST,
    cursor: CursorParameter = None,
    limit: Limit = 50,
) -> EntryRecordsAnswer:
    """The workspace's entries; with `reference` alone, the one that has it, or none."""
    reads: ReadEntries = request.state.read_entries
    if reference is not None:
        if kinds or program_id or cursor or period != Period():
            raise parameter_invalid("reference", "stands alone: it names one entry")
        return await _by_reference(reads, scope.workspace_id, reference)
    name = f"{ENTRIES}:{order}"
    search = EntrySearch(
        order=order,
        after=cursors.to_time_place(name, cursor),
        period=period,
        kinds=kinds,
        program_id=program_id,
        limit=limit,
    )
    async with unavailable_when_passing():
        page = await reads.page(scope.workspace_id, search)
    return EntryRecordsAnswer(
        data=[entry_record_answer(record) for record in page.items],
        next_cursor=cursors.from_time_place(name, page.following),
    )


async def _by_reference(
    reads: ReadEntries, workspace_id: UUID, reference: str
) -> EntryRecordsAnswer:
    async with unavailable_when_passing():
        found = await reads.by_reference(workspace_id, reference)
    data = [] if found is None else [entry_record_answer(found)]
    return EntryRecordsAnswer(data=data, next_cursor=None)


@router.get("/entries/{entry_id}")
async def read_entry(request: Request, entry_id: UUID, scope: ReadScope) -> EntryDetail:
    """One entry, with all its postings and the lots that it changed."""
    reads: ReadEntries = request.state.read_entries
    async with unavailable_when_passing():
        return entry_detail(await reads.entry(scope.workspace_id, entry_id))


@router.get("/audit")
async def read_audit(
    request: Request,
    scope: ManagerScope,
    period: PeriodParameters,
    recorded_by: ShortFilter = None,
    code: ShortFilter = None,
    cursor: CursorParameter = None,
    limit: Limit = 50,
) -> AuditAnswer:
    """Every command that was decided, refused ones included, newest first."""
    reads: ReadEntries = request.state.read_entries
    search = DecisionSearch(
        after=cursors.to_key_place(AUDIT, cursor),
        period=period,
        recorded_by=recorded_by,
        code=code,
        limit=limit,
    )
    async with unavailable_when_passing():
        page = await reads.decisions(scope.workspace_id, search)
    return AuditAnswer(
        data=[decision_answer(decision) for decision in page.items],
        next_cursor=cursors.from_key_place(AUDIT, page.following),
    )
