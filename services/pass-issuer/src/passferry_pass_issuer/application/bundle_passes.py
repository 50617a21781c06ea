"""Several passes as one file for Apple Wallet, signed as they are now."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from passferry_contracts.types import PassStatus
from passferry_pass_issuer.application.ports import (
    PassChange,
    Passes,
    RevisionWriter,
    Transaction,
)
from passferry_pass_issuer.application.render_revisions import PassKey
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.wallet_pass import WalletPass, changed
from passferry_runtime.errors import Conflict, NotFound

MAX_PASSES = 10


class PassLocks(Protocol):
    async def lock(
        self, transaction: Transaction, keys: Collection[PassKey]
    ) -> dict[PassKey, WalletPass]: ...


class PassBundles(Protocol):
    async def prepare(
        self, transaction: Transaction, passes: Sequence[WalletPass]
    ) -> Callable[[], Awaitable[bytes]]:
        """Reads the images. What is returned builds the file, after the transaction has ended;
        both raise `ContentRejected` when it would be too large."""


@dataclass(frozen=True, kw_only=True)
class BundlePasses:
    passes: Passes
    locks: PassLocks
    revisions: RevisionWriter
    bundles: PassBundles

    async def __call__(
        self, work: Work, workspace_id: UUID, references: Sequence[str]
    ) -> Callable[[], Awaitable[bytes]]:
        """Builds the passes in the order of their references, each once. They are signed now,
        and with every change from now on."""
        if not 1 <= len(references) <= MAX_PASSES:
            raise ContentRejected("too_many", "passes", f"1 to {MAX_PASSES} in a bundle")
        keys = [(workspace_id, each) for each in await self._ids(work, workspace_id, references)]
        locked = await self.locks.lock(work.transaction, keys)
        changes = [_signing(row) for row in locked.values() if not _is_signed(row)]
        for stored in await self.revisions.store_changed(work.transaction, changes):
            locked[workspace_id, stored.pass_id] = stored
        found = [locked[key] for key in keys]
        if not all(_is_signed(row) for row in found):
            raise Conflict(
                "not_signed", "upload a signing identity of their pass type identifier first"
            )
        build = await self.bundles.prepare(work.transaction, found)
        ids = [str(row.pass_id) for row in found]
        await work.audit(
            workspace_id, "passes.bundled", f"{len(ids)} passes", after={"pass_ids": ids}
        )
        return build

    async def _ids(self, work: Work, workspace_id: UUID, references: Sequence[str]) -> list[UUID]:
        ids: dict[UUID, None] = {}
        for place, reference in enumerate(references):
            found = await self.passes.find(
                work.transaction, workspace_id, reference, for_update=False
            )
            if found is None or found.status is PassStatus.DELETED:
                raise NotFound("pass_not_found", f"there is no such pass as passes.{place}")
            if found.pass_json is None:
                raise ContentRejected(
                    "not_for_apple", f"passes.{place}", "is of a template for Google alone"
                )
            ids[found.pass_id] = None
        return list(ids)


def _is_signed(row: WalletPass) -> bool:
    return row.is_on_apple and row.signature is not None and row.signed_revision == row.revision


def _signing(row: WalletPass) -> PassChange:
    """The same revision, told again with its signature."""
    return PassChange(
        before=row,
        after=changed(row, is_on_apple=True),
        causes=row.causes,
        caused_at=row.caused_at,
    )
