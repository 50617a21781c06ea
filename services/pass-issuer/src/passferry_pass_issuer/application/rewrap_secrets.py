"""Moves what is encrypted at rest to the newest key, so that an old one can leave the ring."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol
from uuid import UUID

from passferry_pass_issuer.application.administer_workspaces import Workspaces
from passferry_pass_issuer.application.announce_credentials import AnnounceCredentials
from passferry_pass_issuer.application.ports import Transaction
from passferry_pass_issuer.application.repeated_work import RepeatedWork
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.secret_columns import SECRET_COLUMNS, SecretColumn
from passferry_runtime.logging import get_logger

log = get_logger(__name__)

ACTOR = "command:rewrap-secrets"
PAGE_WORKSPACES = 500
#: Rows of one transaction, which keeps them locked.
PAGE_ROWS = 200


class Rewrapper(Protocol):
    @property
    def active_key_id(self) -> str: ...

    @property
    def active_head(self) -> bytes: ...

    def rewrap(self, ciphertext: bytes, *, context: str) -> bytes | None:
        """The same secret under the active key; None when no key of the ring opens it."""


@dataclass(frozen=True, slots=True)
class SealedSecret:
    key: tuple[Any, ...]
    ciphertext: bytes


class SecretStore(Protocol):
    async def page(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        column: SecretColumn,
        *,
        after: tuple[Any, ...] | None,
        head: bytes,
        limit: int,
    ) -> list[SealedSecret]:
        """Locked, by key, of those that do not begin with `head`."""

    async def replace(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        column: SecretColumn,
        changed: Sequence[tuple[SealedSecret, bytes]],
    ) -> None:
        """Only where the old ciphertext still stands."""


@dataclass(frozen=True, slots=True)
class RewrapReport:
    workspaces: int
    #: By table.
    rewrapped: Counter[str]
    #: What no key of the ring opens: the ring lacks one, or the row was tampered with.
    unopened: Counter[str]


@dataclass(frozen=True, slots=True)
class _Page:
    size: int
    last: tuple[Any, ...] | None
    rewrapped: int
    unopened: int


@dataclass(frozen=True, kw_only=True)
class RewrapSecrets:
    """May be stopped and run again at any time: what is done is not done twice."""

    repeated: RepeatedWork
    workspaces: Workspaces
    store: SecretStore
    ring: Rewrapper
    #: Seals what the notifier holds anew as well, under the ring shared with it.
    announce: AnnounceCredentials | None = None

    async def __call__(self) -> RewrapReport:
        report = RewrapReport(0, Counter(), Counter())
        after: UUID | None = None
        while True:
            async with self.repeated.workbench.open([], actor=ACTOR) as work:
                ids = await self.workspaces.ids(
                    work.transaction, after=after, limit=PAGE_WORKSPACES
                )
            for workspace_id in ids:
                await self._workspace(workspace_id, report)
            report = RewrapReport(report.workspaces + len(ids), report.rewrapped, report.unopened)
            if len(ids) < PAGE_WORKSPACES:
                return report
            after = ids[-1]

    async def _workspace(self, workspace_id: UUID, report: RewrapReport) -> None:
        moved: Counter[str] = Counter()
        for column in SECRET_COLUMNS:
            after: tuple[Any, ...] | None = None
            while True:
                page = await self.repeated(
                    workspace_id, partial(self._page, workspace_id, column, after)
                )
                # Counted once it is stored.
                if page.rewrapped:
                    moved[column.table] += page.rewrapped
                if page.unopened:
                    report.unopened[column.table] += page.unopened
                if page.size < PAGE_ROWS:
                    break
                after = page.last
        report.rewrapped.update(moved)
        if moved:
            await self.repeated(workspace_id, partial(self._audit, workspace_id, moved))
        if self.announce is not None:
            await self._announce(self.announce, workspace_id, report)

    async def _page(
        self,
        workspace_id: UUID,
        column: SecretColumn,
        after: tuple[Any, ...] | None,
        work: Work,
    ) -> _Page:
        page = await self.store.page(
            work.transaction,
            workspace_id,
            column,
            after=after,
            head=self.ring.active_head,
            limit=PAGE_ROWS,
        )
        changed = []
        for secret in page:
            context = column.context_of(workspace_id, secret.key)
            renewed = self.ring.rewrap(secret.ciphertext, context=context)
            if renewed is not None:
                changed.append((secret, renewed))
        await self.store.replace(work.transaction, workspace_id, column, changed)
        return _Page(
            size=len(page),
            last=page[-1].key if page else None,
            rewrapped=len(changed),
            unopened=len(page) - len(changed),
        )

    async def _audit(self, workspace_id: UUID, moved: Counter[str], work: Work) -> None:
        await work.audit(
            workspace_id,
            "secrets.rewrapped",
            self.ring.active_key_id,
            after={"rewrapped": dict(moved)},
        )

    async def _announce(
        self, announce: AnnounceCredentials, workspace_id: UUID, report: RewrapReport
    ) -> None:
        async def tell(work: Work) -> None:
            workspace = await self.workspaces.lock(work.transaction, workspace_id)
            # Who never had a credential has none on the topic either.
            if workspace is not None and workspace.credentials_revision > 0:
                await announce(work, workspace_id)

        try:
            await self.repeated(workspace_id, tell)
        except Exception as error:
            if self.repeated.errors.is_passing(error):
                raise
            # One that does not open must not keep the others under the old key.
            log.warning(
                "credentials_not_sealed_anew",
                workspace_id=str(workspace_id),
                error=type(error).__name__,
            )
            report.unopened["workspace.credentials"] += 1
