"""Builds background work: both who orders it and who does it."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from passferry_pass_issuer.adapters.postgres_load import (
    OutboxBacklog,
    PassStatistics,
    StepErrors,
)
from passferry_pass_issuer.adapters.postgres_outdated import PostgresOutdatedPasses
from passferry_pass_issuer.adapters.postgres_program_passes import PostgresProgramPasses
from passferry_pass_issuer.app.parts import Stores, Surroundings
from passferry_pass_issuer.app.press import Press
from passferry_pass_issuer.application.accept_bulk import AcceptBulk
from passferry_pass_issuer.application.change_in_bulk import ChangeInBulk
from passferry_pass_issuer.application.chunk_steps import ChunkSteps, RowWork
from passferry_pass_issuer.application.issue_in_bulk import IssueInBulk
from passferry_pass_issuer.application.redraw_passes import RedrawPasses, StartRedraw
from passferry_pass_issuer.application.roll_out import RollOut, StartRollout
from passferry_pass_issuer.application.run_jobs import RunJobs
from passferry_pass_issuer.application.steer_jobs import SteerJob
from passferry_pass_issuer.domain.jobs import JobKind
from passferry_pass_issuer.entrypoints.http_work import IssuerApi
from passferry_pass_issuer.entrypoints.job_desk import JobDesk
from passferry_runtime.auth import AccessDirectory
from passferry_runtime.postgres import Database


def build_job_desk(around: Surroundings, stores: Stores) -> JobDesk:
    return JobDesk(
        jobs=stores.jobs,
        results=stores.job_results,
        accept=AcceptBulk(
            jobs=stores.jobs,
            rows=stores.staged_rows,
            results=stores.job_results,
            programs=stores.programs,
            wake=around.wake_jobs,
        ),
        start_rollout=StartRollout(
            jobs=stores.jobs,
            catalogue=stores.catalogue,
            wake=around.wake_jobs,
            default_per_second=around.rollout_max_per_second,
        ),
        start_redraw=StartRedraw(
            jobs=stores.jobs,
            wake=around.wake_jobs,
            per_second=around.rollout_max_per_second,
        ),
        steer=SteerJob(jobs=stores.jobs, wake=around.wake_jobs),
    )


def build_job_runner(
    database: Database,
    stores: Stores,
    *,
    issuer: IssuerApi,
    press: Press,
    directory: AccessDirectory,
    results_kept_days: int,
) -> RunJobs:
    """The side of background work that does it."""

    def chunks(apply: RowWork) -> ChunkSteps:
        return ChunkSteps(
            workbench=issuer.workbench,
            rows=stores.staged_rows,
            results=stores.job_results,
            apply=apply,
        )

    return RunJobs(
        workbench=issuer.workbench,
        jobs=stores.jobs,
        rows=stores.staged_rows,
        results=stores.job_results,
        steps={
            JobKind.BULK_ISSUE: chunks(
                IssueInBulk(programs=stores.programs, issue=issuer.issue_passes)
            ),
            JobKind.BULK_CHANGE: chunks(
                ChangeInBulk(
                    named=press.store,
                    programs=stores.programs,
                    change_fields=issuer.change_fields,
                    end_pass=issuer.end_pass,
                    send_message=issuer.life.send_message,
                    erased_names=stores.erased_names,
                )
            ),
            JobKind.ROLLOUT: RollOut(
                results=stores.job_results,
                outdated=PostgresOutdatedPasses(),
                locked=press.store,
                revisions=press.revisions,
                passes=stores.passes,
                catalogue=stores.catalogue,
            ),
            JobKind.REDRAW: RedrawPasses(
                programs=stores.programs,
                results=stores.job_results,
                of_program=PostgresProgramPasses(),
                locked=press.store,
                revisions=press.revisions,
                passes=stores.passes,
            ),
        },
        is_suspended=directory.is_suspended,
        backlog=OutboxBacklog(database),
        statistics=PassStatistics(database),
        errors=StepErrors(),
        replica_id=uuid4(),
        results_kept=timedelta(days=results_kept_days),
    )
