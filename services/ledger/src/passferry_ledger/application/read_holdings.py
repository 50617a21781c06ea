"""Reading what a balance is made of: amounts set aside, and points with dates."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from passferry_ledger.application.ports import HoldingReader
from passferry_ledger.application.read_balances import ReadBalances
from passferry_ledger.application.searches import LotPlace, Page
from passferry_ledger.domain.accounts import AccountView, PassAddress
from passferry_ledger.domain.views import HoldView, LotSummary, LotView


@dataclass(frozen=True, slots=True, kw_only=True)
class Lots:
    account: AccountView
    summary: LotSummary
    page: Page[LotView, LotPlace]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadHoldings:
    """Raises as `ReadBalances.balance` does."""

    balances: ReadBalances
    reader: HoldingReader

    async def holds(
        self, address: PassAddress, *, state: str | None, before: UUID | None, limit: int
    ) -> tuple[AccountView, Page[HoldView, UUID]]:
        account = await self.balances.balance(address)
        page = await self.reader.holds(account, state=state, before=before, limit=limit)
        return account, page

    async def lots(self, address: PassAddress, *, after: LotPlace | None, limit: int) -> Lots:
        account = await self.balances.balance(address)
        summary, page = await self.reader.lots(account, after=after, limit=limit)
        return Lots(account=account, summary=summary, page=page)
