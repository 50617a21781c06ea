"""All entries of a workspace in one go, a few exports at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from passferry_ledger.application.ports import EntryExporter
from passferry_ledger.application.searches import ExportSelection
from passferry_ledger.domain.views import EntryView
from passferry_runtime.errors import Unavailable

#: Each keeps a connection to the database, and an old snapshot in it, for as long as it lasts.
MAX_EXPORTS = 2
BUSY_RETRY_AFTER_S = 30
#: Of one export, however slowly its reader reads: it keeps old rows from being tidied away.
MAX_EXPORT_S = 600.0


class ExportEntries:
    def __init__(
        self,
        exporter: EntryExporter,
        *,
        max_exports: int = MAX_EXPORTS,
        limit_s: float = MAX_EXPORT_S,
    ) -> None:
        self.limit_s = limit_s
        self._exporter = exporter
        self._max_exports = max_exports
        self._running = 0

    @property
    def running(self) -> int:
        return self._running

    @asynccontextmanager
    async def __call__(
        self, workspace_id: UUID, selection: ExportSelection
    ) -> AsyncIterator[AsyncIterator[list[EntryView]]]:
        """The entries, list by list. Raises `Unavailable` while too many exports are running."""
        if self._running >= self._max_exports:
            raise Unavailable(
                "exports_busy",
                f"{self._max_exports} exports are running, which is the most at once.",
                retry_after_s=BUSY_RETRY_AFTER_S,
            )
        self._running += 1
        try:
            async with self._exporter.open(workspace_id, selection) as pages:
                yield pages
        finally:
            self._running -= 1
