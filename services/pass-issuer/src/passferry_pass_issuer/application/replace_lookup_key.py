"""A new look-up key for a workspace whose own is lost for good."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol
from uuid import UUID

from passferry_pass_issuer.application.administer_workspaces import LOOKUP_KEY_BYTES
from passferry_pass_issuer.application.ports import Cipher, Transaction
from passferry_pass_issuer.application.repeated_work import RepeatedWork
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain import secret_contexts

ACTOR = "command:new-lookup-key"
#: Rows of one transaction, which keeps them locked.
PAGE_ROWS = 200
NO_KEY = "none"


class LookupKeyKept(Exception):
    """Nothing was done; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class DigestedPage:
    #: The key of the last row; None when this was the last page.
    last: tuple[Any, ...] | None
    known: int
    lost: int


class Lookups(Protocol):
    """What was found by the lost key, found by the new one: pages by key, locked."""

    async def addresses(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        *,
        after: tuple[Any, ...] | None,
        limit: int,
    ) -> DigestedPage:
        """Of holders."""

    async def former_values(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        *,
        after: tuple[Any, ...] | None,
        limit: int,
    ) -> DigestedPage:
        """What passes say of people who had them before."""


class LookupKeyRows(Protocol):
    async def sealed(self, transaction: Transaction, workspace_id: UUID) -> bytes | None:
        """None when there is no such workspace."""

    async def replace(
        self, transaction: Transaction, workspace_id: UUID, *, old: bytes, new: bytes
    ) -> bool:
        """False when another key stands there by now."""

    async def count_erased_names(self, transaction: Transaction, workspace_id: UUID) -> int: ...


class LostSecrets(Protocol):
    """The key ring, asked whether it opens something."""

    def opens(self, ciphertext: bytes, *, context: str) -> bool: ...

    def key_id_of(self, ciphertext: bytes) -> str | None:
        """Of the ring's key that it needs; None when it is no ciphertext."""


class Turn(Protocol):
    async def is_ours(self) -> bool: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class LookupKeyReport:
    known_again: Counter[str]
    #: Of these nothing is found by the new key.
    lost: Counter[str]


@dataclass(frozen=True, kw_only=True)
class ReplaceLookupKey:
    """The key is stored last: until then everything that needs it is refused, so that nothing is
    written beside this, and a run that broke off is begun anew."""

    repeated: RepeatedWork
    rows: LookupKeyRows
    ring: LostSecrets
    cipher: Cipher
    lookups_under: Callable[[bytes], Lookups]
    turn_of: Callable[[UUID], Turn]

    async def __call__(self, workspace_id: UUID, *, lost_key_id: str | None) -> LookupKeyReport:
        """Raises `LookupKeyKept` unless the key does not open and `lost_key_id` names what it needs."""
        turn = self.turn_of(workspace_id)
        try:
            if not await turn.is_ours():
                raise LookupKeyKept("another process makes a new look-up key for this workspace")
            old = await self.repeated(workspace_id, partial(self._lost, workspace_id, lost_key_id))
            return await self._replace(workspace_id, old)
        finally:
            turn.close()

    async def _lost(self, workspace_id: UUID, lost_key_id: str | None, work: Work) -> bytes:
        sealed = await self.rows.sealed(work.transaction, workspace_id)
        if sealed is None:
            raise LookupKeyKept("there is no such workspace")
        if self.ring.opens(sealed, context=secret_contexts.lookup_key(workspace_id)):
            raise LookupKeyKept("the look-up key of this workspace opens: it is not lost")
        needed = self.ring.key_id_of(sealed) or NO_KEY
        if lost_key_id != needed:
            raise LookupKeyKept(
                f"the look-up key needs the key {needed!r} of the key ring: put that back and restart."
                f" If it is lost for good, say so with --lost-key {needed}"
            )
        return sealed

    async def _replace(self, workspace_id: UUID, old: bytes) -> LookupKeyReport:
        key = secrets.token_bytes(LOOKUP_KEY_BYTES)
        lookups = self.lookups_under(key)
        report = LookupKeyReport(Counter(), Counter())
        await self._pages(workspace_id, "addresses", lookups.addresses, report)
        await self._pages(workspace_id, "former_values", lookups.former_values, report)
        await self.repeated(workspace_id, partial(self._store, workspace_id, old, key, report))
        return report

    async def _pages(
        self,
        workspace_id: UUID,
        name: str,
        digest: Callable[..., Awaitable[DigestedPage]],
        report: LookupKeyReport,
    ) -> None:
        after: tuple[Any, ...] | None = None
        while True:

            async def step(work: Work, after: tuple[Any, ...] | None = after) -> DigestedPage:
                return await digest(work.transaction, workspace_id, after=after, limit=PAGE_ROWS)

            page = await self.repeated(workspace_id, step)
            report.known_again[name] += page.known
            report.lost[name] += page.lost
            after = page.last
            if after is None:
                return

    async def _store(
        self, workspace_id: UUID, old: bytes, key: bytes, report: LookupKeyReport, work: Work
    ) -> None:
        new = self.cipher.encrypt(key, context=secret_contexts.lookup_key(workspace_id))
        if not await self.rows.replace(work.transaction, workspace_id, old=old, new=new):
            raise LookupKeyKept("another look-up key was stored meanwhile: look again")
        # Nobody knows those names any more. They are forgotten with their time.
        report.lost["erased_names"] = await self.rows.count_erased_names(
            work.transaction, workspace_id
        )
        await work.audit(
            workspace_id,
            "workspace.lookup_key_replaced",
            workspace_id,
            after={"known_again": dict(report.known_again), "lost": dict(report.lost)},
        )
