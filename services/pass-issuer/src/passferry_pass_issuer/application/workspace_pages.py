"""All workspaces, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

from passferry_pass_issuer.application.administer_workspaces import Workspaces
from passferry_pass_issuer.application.ports import Transactions

PAGE_WORKSPACES = 500
MAX_WORKSPACES = 20_000


async def workspace_pages(
    transactions: Transactions, workspaces: Workspaces, *, limit: int = PAGE_WORKSPACES
) -> AsyncIterator[list[UUID]]:
    """Their ids by age. Each page is read in a transaction of its own, which has ended before
    anything is done with it."""
    after: UUID | None = None
    for _ in range(MAX_WORKSPACES // limit):
        async with transactions.transaction([]) as transaction:
            ids = await workspaces.ids(transaction, after=after, limit=limit)
        if not ids:
            return
        yield ids
        after = ids[-1]
