"""Work in the background: what it is about, how far it is, and how it may go on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from passferry_pass_issuer.domain.bulk_changes import ChangeAction

MAX_PER_SECOND = 10_000


class JobKind(StrEnum):
    BULK_ISSUE = "bulk_issue"
    BULK_CHANGE = "bulk_change"
    #: A new version of a template reaches the passes that were issued before it.
    ROLLOUT = "rollout"
    #: A change of a program reaches the passes that show it.
    REDRAW = "redraw"


class JobState(StrEnum):
    #: Its file is still coming in.
    RECEIVING = "receiving"
    WAITING = "waiting"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


ENDED = frozenset({JobState.DONE, JobState.CANCELLED, JobState.FAILED})


class Outcome(StrEnum):
    """Of one row or pass: issued, changed or drawn anew; there already or the same; or refused."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """`field` is the path of the fault; `detail` never holds the value that was given."""

    field: str
    code: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RowResult:
    """`number` is the row's in its file; of a rollout, the how manieth pass it was."""

    number: int
    outcome: Outcome
    pass_id: UUID | None = None
    refusal: Refusal | None = None


class JobAction(StrEnum):
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


_OPEN = frozenset({JobState.WAITING, JobState.RUNNING, JobState.PAUSED})
#: From which states each leads to which.
_STEPS: dict[JobAction, tuple[frozenset[JobState], JobState]] = {
    JobAction.PAUSE: (_OPEN, JobState.PAUSED),
    JobAction.RESUME: (_OPEN, JobState.RUNNING),
    JobAction.CANCEL: (_OPEN | {JobState.RECEIVING}, JobState.CANCELLED),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A row of the table `job`; times are aware UTC."""

    workspace_id: UUID
    job_id: UUID
    kind: JobKind
    state: JobState
    job_key: str | None = None
    request_sha256: str | None = None
    program_id: UUID | None = None
    #: Of a file of changes.
    action: ChangeAction | None = None
    template_id: UUID | None = None
    template_version: int | None = None
    is_dry_run: bool = False
    #: Of a rollout: passes that were voided or have expired too.
    includes_ended: bool = False
    max_per_second: int
    place: str = ""
    page_rows: int | None = None
    accepted: int = 0
    changed: int = 0
    unchanged: int = 0
    refused: int = 0
    #: The last tenth that was told, None before the start.
    reported_percent: int | None = None
    #: Why it does not go on right now.
    waits_for: str | None = None
    failure_code: str | None = None
    created_by: str
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    updated_at: datetime

    @property
    def done(self) -> int:
        return self.changed + self.unchanged + self.refused

    @property
    def percent(self) -> int:
        if self.state is JobState.DONE:
            return 100
        # Passes that are issued meanwhile may join a rollout.
        return min(self.done * 100 // self.accepted, 100) if self.accepted else 0

    @property
    def is_ended(self) -> bool:
        return self.state in ENDED

    def rate_per_second(self) -> int | None:
        """Rows or passes done each second since the start, waits included."""
        if self.started_at is None or self.updated_at <= self.started_at:
            return None
        spent_ms = int((self.updated_at - self.started_at).total_seconds() * 1000)
        return self.done * 1000 // spent_ms if spent_ms else None


def steered(job: Job, action: JobAction, now: datetime) -> Job | None:
    """The job after what was asked for; None when it has ended, or its file is not here yet."""
    allowed, state = _STEPS[action]
    if job.state not in allowed:
        return None
    if job.state is state or (action is JobAction.RESUME and job.state is not JobState.PAUSED):
        return job
    if state is JobState.CANCELLED:
        return ended(job, state, now)
    return replace(job, state=state, waits_for=None, updated_at=now)


def ended(job: Job, state: JobState, now: datetime, *, failure_code: str | None = None) -> Job:
    return replace(
        job,
        state=state,
        failure_code=failure_code,
        waits_for=None,
        # The key of what did not come to its end may be used again.
        job_key=job.job_key if state is JobState.DONE else None,
        finished_at=now,
        updated_at=now,
    )


def report_due(job: Job) -> bool:
    """At the start, at each tenth, and at the end."""
    if job.is_ended or job.reported_percent is None:
        return True
    return job.percent // 10 > job.reported_percent // 10
