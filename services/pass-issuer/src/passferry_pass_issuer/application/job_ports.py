"""What background work needs of the world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from passferry_pass_issuer.application.ports import PassLink, Transaction
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.bulk_changes import ChangeRequest
from passferry_pass_issuer.domain.issuing import IssueRequest
from passferry_pass_issuer.domain.jobs import Job, JobKind, Refusal, RowResult


class Jobs(Protocol):
    """Jobs with their place in the queue."""

    async def insert(self, transaction: Transaction, job: Job, *, due_at: datetime) -> bool:
        """False when there is one already for the same work."""

    async def find(
        self, transaction: Transaction, workspace_id: UUID, job_id: UUID, *, for_update: bool
    ) -> Job | None: ...

    async def by_key(
        self, transaction: Transaction, workspace_id: UUID, kind: JobKind, job_key: str
    ) -> Job | None: ...

    async def count_open_files(self, transaction: Transaction, workspace_id: UUID) -> int:
        """Files that have not come to their end."""

    async def open_rollout(
        self, transaction: Transaction, workspace_id: UUID, template_id: UUID
    ) -> Job | None:
        """The one that has not ended, locked."""

    async def open_redraw(
        self, transaction: Transaction, workspace_id: UUID, program_id: UUID
    ) -> Job | None:
        """As `open_rollout`, of a program."""

    async def page(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        kind: JobKind,
        *,
        subject_id: UUID | None,
        before: tuple[datetime, UUID] | None,
        limit: int,
    ) -> list[Job]:
        """Newest first; `subject_id` is the template of rollouts, the program of redraws."""

    async def update(self, transaction: Transaction, job: Job) -> None: ...

    async def claim(
        self, transaction: Transaction, *, leased_by: UUID, now: datetime, until: datetime
    ) -> tuple[UUID, UUID] | None:
        """(workspace_id, job_id) of what is due the longest and leased by nobody."""

    async def lock_leased(
        self, transaction: Transaction, workspace_id: UUID, job_id: UUID, *, leased_by: UUID
    ) -> Job | None:
        """None when the job is gone, or somebody else has it by now."""

    async def put_due(
        self, transaction: Transaction, workspace_id: UUID, job_id: UUID, at: datetime
    ) -> None:
        """Gives the lease back too."""

    async def remove(self, transaction: Transaction, workspace_id: UUID, job_id: UUID) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedRow:
    number: int
    request: IssueRequest | ChangeRequest


class StagedRows(Protocol):
    """Rows that wait for their turn, as ciphertext."""

    async def stage(
        self, transaction: Transaction, workspace_id: UUID, job_id: UUID, rows: Sequence[StagedRow]
    ) -> None:
        """One chunk, addressed by its first row."""

    async def first(
        self, transaction: Transaction, workspace_id: UUID, job_id: UUID
    ) -> list[StagedRow]:
        """The next chunk; empty when there is none left."""

    async def drop(
        self, transaction: Transaction, workspace_id: UUID, job_id: UUID, first_row: int
    ) -> None: ...

    async def drop_some(
        self, transaction: Transaction, workspace_id: UUID, job_id: UUID, *, limit: int
    ) -> int:
        """How many chunks were dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownResult:
    """A result as it is downloaded; external id and link of a pass that there is."""

    result: RowResult
    external_id: str | None = None
    link: PassLink | None = None


class JobResults(Protocol):
    async def insert(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        job_id: UUID,
        results: Sequence[RowResult],
    ) -> None: ...

    async def page(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        job_id: UUID,
        *,
        after: int,
        limit: int,
        only_refused: bool,
    ) -> list[ShownResult]:
        """In the order of their numbers."""

    async def drop_some(
        self, transaction: Transaction, workspace_id: UUID, job_id: UUID, *, limit: int
    ) -> int: ...


class Backlog(Protocol):
    async def is_long(self) -> bool:
        """Whether so many events wait to be sent that more would hold up those of live traffic."""


class Statistics(Protocol):
    async def refresh(self) -> None:
        """Let the planner see how much there is by now."""


class Errors(Protocol):
    """What an error of a step means."""

    def is_passing(self, error: Exception) -> bool:
        """The same step may work in a while."""

    def refusal(self, error: Exception) -> Refusal:
        """What is told of the row or pass that it was about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one step did; with `waits_for` it did nothing, and is tried again after a while."""

    changed: int = 0
    unchanged: int = 0
    refused: int = 0
    is_finished: bool = False
    waits_for: str | None = None
    failure_code: str | None = None
    #: Where the next step goes on, of work that has a place.
    place: str | None = None
    page_rows: int | None = None
    #: Of all the work, when the step found out.
    accepted: int | None = None

    @property
    def done(self) -> int:
        return self.changed + self.unchanged + self.refused


class JobSteps(Protocol):
    """One kind of work, in steps of one transaction each."""

    async def __call__(self, work: Work, job: Job) -> Step: ...

    async def narrow(self, work: Work, job: Job, refusal: Refusal) -> Step:
        """After a step that failed: make the next one smaller, or give up its only row."""
