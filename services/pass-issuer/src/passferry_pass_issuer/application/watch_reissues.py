"""Shows which reissue waits the longest for the ledger's answer: one that never comes is no silence."""

from __future__ import annotations

from dataclasses import dataclass

from passferry_pass_issuer.application.administer_workspaces import Workspaces
from passferry_pass_issuer.application.life_ports import MovingReissue, Replacements
from passferry_pass_issuer.application.ports import Transactions
from passferry_pass_issuer.application.workspace_pages import workspace_pages
from passferry_pass_issuer.metrics import OLDEST_MOVING_REISSUE
from passferry_runtime.logging import get_logger

log = get_logger(__name__)

PAGE_WORKSPACES = 200


@dataclass(kw_only=True)
class WatchReissues:
    transactions: Transactions
    workspaces: Workspaces
    replacements: Replacements
    #: As of the last look; None too where another replica looks.
    oldest: MovingReissue | None = None

    async def __call__(self) -> None:
        """What it cannot see now, it leaves as it was seen before."""
        try:
            self._show(await self._find())
        except Exception as error:
            log.warning("moving_reissues_not_found", error=type(error).__name__)

    def clear(self) -> None:
        """Another replica looks, and shows what it finds."""
        self._show(None)

    async def _find(self) -> MovingReissue | None:
        found = list[MovingReissue]()
        async for named in workspace_pages(
            self.transactions, self.workspaces, limit=PAGE_WORKSPACES
        ):
            async with self.transactions.transaction(named) as transaction:
                oldest = await self.replacements.oldest_moving(transaction, named)
            if oldest is not None:
                found.append(oldest)
        return min(found, key=lambda each: each.since, default=None)

    def _show(self, oldest: MovingReissue | None) -> None:
        OLDEST_MOVING_REISSUE.set(0 if oldest is None else oldest.since.timestamp())
        self.oldest = oldest
