"""What the routes about background work use."""

from __future__ import annotations

from dataclasses import dataclass, field

from passferry_pass_issuer.application.accept_bulk import AcceptBulk
from passferry_pass_issuer.application.job_ports import JobResults, Jobs
from passferry_pass_issuer.application.roll_out import StartRollout
from passferry_pass_issuer.application.steer_jobs import SteerJob
from passferry_runtime.errors import TooMany

MAX_UPLOADS = 4


@dataclass(slots=True)
class UploadSlots:
    """So many files come in at once in one process, so that its memory is bounded."""

    free: int = MAX_UPLOADS

    def __enter__(self) -> None:
        if self.free == 0:
            raise TooMany("too_many_uploads", "other files are coming in", retry_after_s=10)
        self.free -= 1

    def __exit__(self, *_: object) -> None:
        self.free += 1


@dataclass(frozen=True, kw_only=True)
class JobDesk:
    jobs: Jobs
    results: JobResults
    accept: AcceptBulk
    start_rollout: StartRollout
    steer: SteerJob
    uploads: UploadSlots = field(default_factory=UploadSlots)
