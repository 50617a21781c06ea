"""What the use cases need of the outside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from passferry_ledger.application.searches import (
    AccountSearch,
    DecisionSearch,
    EntrySearch,
    ExportSelection,
    KeyPlace,
    LotPlace,
    Page,
    StatementSearch,
    TimePlace,
)
from passferry_ledger.domain.accounts import (
    AccountView,
    Closing,
    NewAccount,
    PassAddress,
    Program,
)
from passferry_ledger.domain.commands import Command
from passferry_ledger.domain.outcomes import Outcome
from passferry_ledger.domain.verification import Finding
from passferry_ledger.domain.views import (
    BalanceAt,
    Decision,
    EntryRecord,
    EntryView,
    HoldView,
    LotSummary,
    LotView,
)

#: The stored functions take no more.
MAX_BATCH_COMMANDS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerTo:
    """The record of ledger.commands that waits for a result."""

    event_id: str
    event_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A command on its way into the ledger; the rest is about the way."""

    command: Command
    answer_to: AnswerTo | None = None
    traceparent: str | None = None

    @property
    def key(self) -> tuple[UUID, str]:
        """Keys are of a workspace."""
        return self.command.workspace_id, self.command.idempotency_key or ""


class Mode(StrEnum):
    """What becomes of a batch: each command for itself, all or none, or nothing but the answers."""

    EACH = "each"
    ALL_OR_NONE = "all_or_none"
    TRY = "try"


class Opening(StrEnum):
    """What became of a new account."""

    OPENED = "opened"
    KNOWN = "known"
    PROGRAM_UNKNOWN = "program_unknown"
    EXTERNAL_ID_TAKEN = "external_id_taken"
    OPENING_BELOW_FLOOR = "opening_below_floor"


class LedgerStore(Protocol):
    """Applies commands. Raises `RetryLater` when the store cannot be reached now."""

    async def apply(
        self,
        submissions: Sequence[Submission],
        *,
        suspended: Collection[UUID],
        mode: Mode = Mode.EACH,
    ) -> list[Outcome]:
        """All in one transaction, in order, events included; one outcome per submission.

        `suspended` names the workspaces whose commands are refused. At most MAX_BATCH_COMMANDS.
        """
        ...


class AccountStore(Protocol):
    async def store_programs(self, programs: Sequence[Program]) -> None:
        """Keep each program's newest revision."""
        ...

    async def open_accounts(self, accounts: Sequence[NewAccount]) -> list[Opening]:
        """Open those not known yet, with the opening balance as their first entry."""
        ...

    async def close_accounts(self, closings: Sequence[Closing]) -> list[bool]:
        """Close for good; false where the pass is not known yet."""
        ...


class BalanceReader(Protocol):
    """Each raises `RetryLater` when the store cannot be reached now, as all readers do."""

    async def find_account(self, address: PassAddress) -> AccountView | None: ...

    async def balance_at(self, account: AccountView, at: datetime) -> BalanceAt: ...

    async def accounts_named(
        self, workspace_id: UUID, *, pass_ids: Collection[UUID], external_ids: Collection[str]
    ) -> list[AccountView]:
        """Those that are known, in no order, also such as are kept upstream."""
        ...

    async def balances(self, workspace_id: UUID, search: AccountSearch) -> Page[AccountView, UUID]:
        """Accounts whose balance we keep, in the order of pass ids."""
        ...


class HoldingReader(Protocol):
    async def holds(
        self, account: AccountView, *, state: str | None, before: UUID | None, limit: int
    ) -> Page[HoldView, UUID]:
        """Newest first."""
        ...

    async def lots(
        self, account: AccountView, *, after: LotPlace | None, limit: int
    ) -> tuple[LotSummary, Page[LotView, LotPlace]]:
        """What is left of points with dates, soonest to lapse first."""
        ...


class EntryReader(Protocol):
    async def statement(
        self, account: AccountView, search: StatementSearch
    ) -> Page[EntryView, int]:
        """Entries of one pass in the order of versions."""
        ...

    async def entries(
        self, workspace_id: UUID, search: EntrySearch
    ) -> Page[EntryRecord, TimePlace]:
        """Entries of the workspace in the order of time."""
        ...

    async def find_entry(
        self, workspace_id: UUID, *, entry_id: UUID | None = None, reference: str | None = None
    ) -> EntryRecord | None:
        """By exactly one of the two, lot movements included."""
        ...


class DecisionReader(Protocol):
    async def decisions(
        self, workspace_id: UUID, search: DecisionSearch
    ) -> Page[Decision, KeyPlace]:
        """Newest first."""
        ...


class EntryExporter(Protocol):
    def open(
        self, workspace_id: UUID, selection: ExportSelection
    ) -> AbstractAsyncContextManager[AsyncIterator[list[EntryView]]]:
        """Entries in the order of time, in lists of bounded length, all as of one moment. An entry
        between two passes is there from the side of each, one after the other."""
        ...


class Verifier(Protocol):
    async def workspaces(self) -> list[UUID]: ...

    async def findings(self, workspace_id: UUID) -> list[Finding]: ...


class Workspaces(Protocol):
    """Who exists and who is suspended, as pass-issuer tells it."""

    def is_known(self, workspace_id: UUID) -> bool: ...

    def is_suspended(self, workspace_id: UUID) -> bool: ...

    def may_hold_passes(self, workspace_id: UUID) -> bool: ...
