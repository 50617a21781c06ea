"""Reading balances and entries."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from passferry_ledger.application.ports import BalanceReader
from passferry_ledger.domain.accounts import AccountView, EntryView, PassAddress
from passferry_ledger.domain.outcomes import REFUSALS, UNKNOWN
from passferry_runtime.errors import Conflict, NotFound

MAX_PAGE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """Entries newest first; `next_before_version` is None on the last page."""

    account: AccountView
    entries: list[EntryView]
    next_before_version: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBalances:
    reader: BalanceReader

    async def balance(self, address: PassAddress) -> AccountView:
        """Raises `NotFound` (pass_unknown) and `Conflict` (balance_kept_upstream)."""
        account = await self.reader.find_account(address)
        if account is None:
            raise NotFound(UNKNOWN, REFUSALS[UNKNOWN], retry_after_s=1)
        if account.is_kept_upstream:
            code = "balance_kept_upstream"
            raise Conflict(code, REFUSALS[code])
        return account

    async def statement(
        self, address: PassAddress, *, before_version: int | None, limit: int
    ) -> Statement:
        account = await self.balance(address)
        size = min(limit, MAX_PAGE)
        found = await self.reader.entries(account, before_version=before_version, limit=size + 1)
        entries = found[:size]
        has_more = len(found) > size
        return Statement(
            account=account,
            entries=entries,
            next_before_version=entries[-1].version if has_more else None,
        )

    async def balances(
        self, workspace_id: UUID, *, after: UUID | None, limit: int
    ) -> tuple[list[AccountView], UUID | None]:
        """One page, and the pass id after which the next one begins."""
        size = min(limit, MAX_PAGE)
        found = await self.reader.balances(workspace_id, after=after, limit=size + 1)
        page = found[:size]
        return page, page[-1].pass_id if len(found) > size else None
