"""Reading balances."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from passferry_ledger.application.ports import BalanceReader
from passferry_ledger.application.searches import AccountSearch, Page
from passferry_ledger.domain.accounts import AccountView, PassAddress
from passferry_ledger.domain.outcomes import REFUSALS, UNKNOWN
from passferry_ledger.domain.views import BalanceAt
from passferry_runtime.errors import Conflict, NotFound

#: Names in one request for balances.
MAX_NAMES = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Balances:
    """What was found of the passes that were named, in the order of their names."""

    found: list[AccountView]
    kept_upstream: list[UUID]
    unknown_pass_ids: list[UUID]
    unknown_external_ids: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBalances:
    """Reads of a pass raise `NotFound` (pass_unknown) and `Conflict` (balance_kept_upstream)."""

    reader: BalanceReader

    async def balance(self, address: PassAddress) -> AccountView:
        account = await self.reader.find_account(address)
        if account is None:
            raise NotFound(UNKNOWN, REFUSALS[UNKNOWN], retry_after_s=1)
        if account.is_kept_upstream:
            code = "balance_kept_upstream"
            raise Conflict(code, REFUSALS[code])
        return account

    async def balance_at(self, address: PassAddress, at: datetime) -> tuple[AccountView, BalanceAt]:
        """The account as it is now, and its balance as it was at `at`."""
        account = await self.balance(address)
        return account, await self.reader.balance_at(account, at)

    async def page(self, workspace_id: UUID, search: AccountSearch) -> Page[AccountView, UUID]:
        return await self.reader.balances(workspace_id, search)

    async def named(
        self, workspace_id: UUID, *, pass_ids: Collection[UUID], external_ids: Collection[str]
    ) -> Balances:
        """At most MAX_NAMES together; a pass that is named twice is there once."""
        accounts = await self.reader.accounts_named(
            workspace_id, pass_ids=set(pass_ids), external_ids=set(external_ids)
        )
        by_pass = {account.pass_id: account for account in accounts}
        by_external = {account.external_id: account for account in accounts}
        named = [by_pass.get(name) for name in pass_ids]
        named += [by_external.get(name) for name in external_ids]
        known = {account.pass_id: account for account in named if account is not None}
        return Balances(
            found=[account for account in known.values() if not account.is_kept_upstream],
            kept_upstream=[name for name, account in known.items() if account.is_kept_upstream],
            unknown_pass_ids=[name for name in dict.fromkeys(pass_ids) if name not in by_pass],
            unknown_external_ids=[
                name for name in dict.fromkeys(external_ids) if name not in by_external
            ],
        )
