"""The proof that it adds up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

from passferry_ledger.application.ports import Verifier
from passferry_ledger.domain.verification import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyLedger:
    """Replays every entry of one workspace, or of all, from zero."""

    verifier: Verifier

    async def __call__(
        self, workspace_id: UUID | None = None
    ) -> AsyncIterator[tuple[UUID, list[Finding]]]:
        names = [workspace_id] if workspace_id else await self.verifier.workspaces()
        for name in names:
            yield name, await self.verifier.findings(name)
