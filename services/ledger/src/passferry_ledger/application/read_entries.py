"""Reading entries, and the audit of all commands."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from passferry_ledger.application.ports import DecisionReader, EntryReader
from passferry_ledger.application.read_balances import ReadBalances
from passferry_ledger.application.searches import (
    DecisionSearch,
    EntrySearch,
    KeyPlace,
    Page,
    StatementSearch,
    TimePlace,
)
from passferry_ledger.domain.accounts import AccountView, PassAddress
from passferry_ledger.domain.views import Decision, EntryRecord, EntryView
from passferry_runtime.errors import NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadEntries:
    """Reads of a pass raise as `ReadBalances.balance` does."""

    balances: ReadBalances
    reader: EntryReader
    decision_reader: DecisionReader

    async def statement(
        self, address: PassAddress, search: StatementSearch
    ) -> tuple[AccountView, Page[EntryView, int]]:
        account = await self.balances.balance(address)
        return account, await self.reader.statement(account, search)

    async def page(self, workspace_id: UUID, search: EntrySearch) -> Page[EntryRecord, TimePlace]:
        return await self.reader.entries(workspace_id, search)

    async def by_reference(self, workspace_id: UUID, reference: str) -> EntryRecord | None:
        return await self.reader.find_entry(workspace_id, reference=reference)

    async def entry(self, workspace_id: UUID, entry_id: UUID) -> EntryRecord:
        """Raises `NotFound` (entry_unknown)."""
        found = await self.reader.find_entry(workspace_id, entry_id=entry_id)
        if found is None:
            raise NotFound("entry_unknown", "This workspace has no such entry.")
        return found

    async def decisions(
        self, workspace_id: UUID, search: DecisionSearch
    ) -> Page[Decision, KeyPlace]:
        return await self.decision_reader.decisions(workspace_id, search)
