"""What the routes about background work use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

from passferry_pass_issuer.application.accept_bulk import AcceptBulk
from passferry_pass_issuer.application.job_ports import JobResults, Jobs
from passferry_pass_issuer.application.redraw_passes import StartRedraw
from passferry_pass_issuer.application.roll_out import StartRollout
from passferry_pass_issuer.application.steer_jobs import SteerJob
from passferry_runtime.errors import TooMany

MAX_UPLOADS = 8
MAX_UPLOADS_OF_WORKSPACE = 2


@dataclass(slots=True)
class UploadSlots:
    """So many files come in at once in one process, so that its memory is bounded, and so few of
    one workspace, so that nobody keeps the others out."""

    taken: Counter[UUID] = field(default_factory=Counter)

    @contextmanager
    def of(self, workspace_id: UUID) -> Iterator[None]:
        if (
            self.taken.total() >= MAX_UPLOADS
            or self.taken[workspace_id] >= MAX_UPLOADS_OF_WORKSPACE
        ):
            raise TooMany("too_many_uploads", "other files are coming in", retry_after_s=10)
        self.taken[workspace_id] += 1
        try:
            yield
        finally:
            self.taken[workspace_id] -= 1
            if not self.taken[workspace_id]:
                del self.taken[workspace_id]


@dataclass(frozen=True, kw_only=True)
class JobDesk:
    jobs: Jobs
    results: JobResults
    accept: AcceptBulk
    start_rollout: StartRollout
    start_redraw: StartRedraw
    steer: SteerJob
    uploads: UploadSlots = field(default_factory=UploadSlots)
