"""What redraws and rollouts answer alike: they draw the passes of one program or template again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Query, Request
from starlette.responses import Response

from passferry_pass_issuer.domain.jobs import Job, JobAction, JobKind
from passferry_pass_issuer.entrypoints.http_work import MAX_PAGE, Body
from passferry_pass_issuer.entrypoints.job_answers import (
    FileFormat,
    download,
    job_page,
    read_job,
    steer,
)
from passferry_pass_issuer.entrypoints.result_lines import PASS_REFUSAL_COLUMNS, refusal_line
from passferry_runtime.auth import Scope
from passferry_runtime.errors import NotFound

Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]
Cursor = Annotated[str | None, Query(max_length=300)]


@dataclass(frozen=True, slots=True)
class DrawingJobs:
    """`subject_of` a job: the program or template in its address; below another it is unknown."""

    kind: JobKind
    shown: Callable[[Job], Body]
    subject_of: Callable[[Job], UUID | None]

    async def page(
        self, request: Request, scope: Scope, subject_id: UUID, limit: int, cursor: str | None
    ) -> Body:
        return await job_page(
            request,
            scope,
            self.kind,
            self.shown,
            limit=limit,
            cursor=cursor,
            subject_id=subject_id,
        )

    async def read(self, request: Request, scope: Scope, subject_id: UUID, job_id: UUID) -> Body:
        return self.shown(await self._found(request, scope, subject_id, job_id))

    async def errors(
        self,
        request: Request,
        scope: Scope,
        subject_id: UUID,
        job_id: UUID,
        file_format: FileFormat,
    ) -> Response:
        job = await self._found(request, scope, subject_id, job_id)
        return download(
            request,
            job,
            file_format,
            PASS_REFUSAL_COLUMNS,
            refusal_line,
            name=f"{self.kind.value}-errors",
            only_refused=True,
        )

    async def steer(
        self, request: Request, scope: Scope, subject_id: UUID, job_id: UUID, action: JobAction
    ) -> Body:
        await self._found(request, scope, subject_id, job_id)
        return self.shown(await steer(request, scope, self.kind, job_id, action))

    async def _found(self, request: Request, scope: Scope, subject_id: UUID, job_id: UUID) -> Job:
        job = await read_job(request, scope, self.kind, job_id)
        if self.subject_of(job) != subject_id:
            raise NotFound("job_not_found", "there is no such job")
        return job
