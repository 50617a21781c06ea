"""Jobs and their queue in Postgres."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from passferry_pass_issuer.application.ports import Transaction
from passferry_pass_issuer.domain.bulk_changes import ChangeAction
from passferry_pass_issuer.domain.jobs import Job, JobKind, JobState

_COLUMNS = """j.workspace_id, j.job_id, j.kind, j.state, j.job_key, j.request_sha256, j.program_id,
    j.action, j.template_id, j.template_version, j.is_dry_run, j.includes_ended, j.max_per_second,
    j.place, j.page_rows, j.accepted, j.changed, j.unchanged, j.refused, j.reported_percent, j.waits_for,
    j.failure_code, j.created_by, j.created_at, j.started_at, j.finished_at, j.updated_at"""

INSERT = """
INSERT INTO job (workspace_id, job_id, kind, state, job_key, request_sha256, program_id, action,
    template_id, template_version, is_dry_run, includes_ended, max_per_second, created_by,
    created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
ON CONFLICT DO NOTHING
RETURNING job_id
"""

ENQUEUE = "INSERT INTO job_queue (job_id, workspace_id, due_at) VALUES ($1, $2, $3)"

FIND = f"""
SELECT {_COLUMNS} FROM job j WHERE j.workspace_id = $1 AND j.job_id = $2
"""  # noqa: S608  # the columns are a constant of this module

BY_KEY = f"""
SELECT {_COLUMNS} FROM job j WHERE j.workspace_id = $1 AND j.kind = $2 AND j.job_key = $3
"""  # noqa: S608  # the columns are a constant of this module

COUNT_OPEN_FILES = """
SELECT count(*) FROM job
WHERE workspace_id = $1 AND kind IN ('bulk_issue', 'bulk_change')
    AND state IN ('receiving', 'waiting', 'running', 'paused')
"""

OPEN_ROLLOUT = """
SELECT job_id FROM job
WHERE workspace_id = $1 AND template_id = $2 AND kind = 'rollout'
    AND state IN ('waiting', 'running', 'paused')
"""

OPEN_REDRAW = """
SELECT job_id FROM job
WHERE workspace_id = $1 AND program_id = $2 AND kind = 'redraw'
    AND state IN ('waiting', 'running', 'paused')
"""

PAGE = f"""
SELECT {_COLUMNS} FROM job j
WHERE j.workspace_id = $1 AND j.kind = $2 AND ($3::uuid IS NULL
        OR $3 = CASE j.kind WHEN 'redraw' THEN j.program_id ELSE j.template_id END)
    AND ($4::timestamptz IS NULL OR (j.created_at, j.job_id) < ($4, $5::uuid))
ORDER BY j.created_at DESC, j.job_id DESC LIMIT $6
"""  # noqa: S608  # the columns are a constant of this module

UPDATE = """
UPDATE job
SET state = $3, job_key = $4, request_sha256 = $5, place = $6, page_rows = $7, accepted = $8,
    changed = $9, unchanged = $10, refused = $11, reported_percent = $12, waits_for = $13,
    failure_code = $14, started_at = $15, finished_at = $16, updated_at = $17
WHERE workspace_id = $1 AND job_id = $2
"""

CLAIM = """
UPDATE job_queue SET leased_by = $1, leased_until = $3
WHERE job_id = (
    SELECT job_id FROM job_queue
    WHERE due_at <= $2 AND (leased_until IS NULL OR leased_until <= $2)
    ORDER BY due_at, job_id LIMIT 1
    FOR UPDATE SKIP LOCKED)
RETURNING workspace_id, job_id
"""

#: The queue first, by everybody who locks both.
LOCK_PLACE = """
SELECT job_id FROM job_queue WHERE workspace_id = $1 AND job_id = $2 FOR UPDATE
"""

#: Whoever takes the lease over waits here for the step that is under way.
LOCK_LEASE = """
SELECT job_id FROM job_queue
WHERE workspace_id = $1 AND job_id = $2 AND leased_by = $3
FOR UPDATE
"""

PUT_DUE = """
UPDATE job_queue SET due_at = $3, leased_by = NULL, leased_until = NULL
WHERE workspace_id = $1 AND job_id = $2
"""

#: Its place in the queue goes with it.
REMOVE = "DELETE FROM job WHERE workspace_id = $1 AND job_id = $2"


class PostgresJobs:
    async def insert(self, transaction: Transaction, job: Job, *, due_at: datetime) -> bool:
        inserted = await transaction.fetchval(
            INSERT,
            job.workspace_id,
            job.job_id,
            job.kind.value,
            job.state.value,
            job.job_key,
            job.request_sha256,
            job.program_id,
            job.action.value if job.action is not None else None,
            job.template_id,
            job.template_version,
            job.is_dry_run,
            job.includes_ended,
            job.max_per_second,
            job.created_by,
            job.created_at,
            job.updated_at,
        )
        if inserted is not None:
            await transaction.execute(ENQUEUE, job.job_id, job.workspace_id, due_at)
        return inserted is not None

    async def find(
        self, transaction: Transaction, workspace_id: UUID, job_id: UUID, *, for_update: bool
    ) -> Job | None:
        if for_update:
            await transaction.execute(LOCK_PLACE, workspace_id, job_id)
        lock = " FOR NO KEY UPDATE" if for_update else ""
        row = await transaction.fetchrow(FIND + lock, workspace_id, job_id)
        return None if row is None else _job(row)

    async def by_key(
        self, transaction: Transaction, workspace_id: UUID, kind: JobKind, job_key: str
    ) -> Job | None:
        row = await transaction.fetchrow(BY_KEY, workspace_id, kind.value, job_key)
        return None if row is None else _job(row)

    async def count_open_files(self, transaction: Transaction, workspace_id: UUID) -> int:
        return int(await transaction.fetchval(COUNT_OPEN_FILES, workspace_id))

    async def open_rollout(
        self, transaction: Transaction, workspace_id: UUID, template_id: UUID
    ) -> Job | None:
        job_id = await transaction.fetchval(OPEN_ROLLOUT, workspace_id, template_id)
        return await self._still_open(transaction, workspace_id, job_id)

    async def open_redraw(
        self, transaction: Transaction, workspace_id: UUID, program_id: UUID
    ) -> Job | None:
        job_id = await transaction.fetchval(OPEN_REDRAW, workspace_id, program_id)
        return await self._still_open(transaction, workspace_id, job_id)

    async def _still_open(
        self, transaction: Transaction, workspace_id: UUID, job_id: UUID | None
    ) -> Job | None:
        if job_id is None:
            return None
        found = await self.find(transaction, workspace_id, job_id, for_update=True)
        # It may have ended while we waited for its step.
        return found if found is not None and not found.is_ended else None

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
        created_at, job_id = before or (None, None)
        rows = await transaction.fetch(
            PAGE, workspace_id, kind.value, subject_id, created_at, job_id, limit
        )
        return [_job(row) for row in rows]

    async def update(self, transaction: Transaction, job: Job) -> None:
        await transaction.execute(
            UPDATE,
            job.workspace_id,
            job.job_id,
            job.state.value,
            job.job_key,
            job.request_sha256,
            job.place,
            job.page_rows,
            job.accepted,
            job.changed,
            job.unchanged,
            job.refused,
            job.reported_percent,
            job.waits_for,
            job.failure_code,
            job.started_at,
            job.finished_at,
            job.updated_at,
        )

    async def claim(
        self, transaction: Transaction, *, leased_by: UUID, now: datetime, until: datetime
    ) -> tuple[UUID, UUID] | None:
        row = await transaction.fetchrow(CLAIM, leased_by, now, until)
        return None if row is None else (row["workspace_id"], row["job_id"])

    async def lock_leased(
        self, transaction: Transaction, workspace_id: UUID, job_id: UUID, *, leased_by: UUID
    ) -> Job | None:
        leased = await transaction.fetchval(LOCK_LEASE, workspace_id, job_id, leased_by)
        if leased is None:
            return None
        return await self.find(transaction, workspace_id, job_id, for_update=True)

    async def put_due(
        self, transaction: Transaction, workspace_id: UUID, job_id: UUID, at: datetime
    ) -> None:
        await transaction.execute(PUT_DUE, workspace_id, job_id, at)

    async def remove(self, transaction: Transaction, workspace_id: UUID, job_id: UUID) -> None:
        await transaction.execute(REMOVE, workspace_id, job_id)


def _job(row: Mapping[str, Any]) -> Job:
    return Job(
        workspace_id=row["workspace_id"],
        job_id=row["job_id"],
        kind=JobKind(row["kind"]),
        state=JobState(row["state"]),
        job_key=row["job_key"],
        request_sha256=row["request_sha256"],
        program_id=row["program_id"],
        action=ChangeAction(row["action"]) if row["action"] is not None else None,
        template_id=row["template_id"],
        template_version=row["template_version"],
        is_dry_run=row["is_dry_run"],
        includes_ended=row["includes_ended"],
        max_per_second=row["max_per_second"],
        place=row["place"],
        page_rows=row["page_rows"],
        accepted=row["accepted"],
        changed=row["changed"],
        unchanged=row["unchanged"],
        refused=row["refused"],
        reported_percent=row["reported_percent"],
        waits_for=row["waits_for"],
        failure_code=row["failure_code"],
        created_by=row["created_by"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        updated_at=row["updated_at"],
    )
