"""Tells of background work on `operations.events`: its start, each tenth, and its end."""

from __future__ import annotations

from typing import Any

from passferry_contracts.events.directory import OperationReported
from passferry_contracts.registry import OPERATIONS_EVENTS
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.jobs import Job, JobKind, JobState

_NAMES = {
    JobKind.BULK_ISSUE: "The bulk issue",
    JobKind.BULK_CHANGE: "The bulk change",
    JobKind.ROLLOUT: "The rollout of the template",
    JobKind.REDRAW: "The redraw of the program's passes",
}
_SEVERITIES = {JobState.FAILED: "error", JobState.CANCELLED: "warning"}


def report_progress(work: Work, job: Job) -> None:
    severity: Any = _SEVERITIES.get(job.state, "warning" if job.refused else "info")
    work.transaction.emit(
        OPERATIONS_EVENTS,
        OperationReported(
            workspace_id=job.workspace_id,
            operation_id=job.job_id,
            kind=job.kind.value,
            severity=severity,
            message=_message(job),
            details=_details(job),
            reported_at=work.now,
        ),
    )


def _message(job: Job) -> str:
    name = _NAMES[job.kind]
    if job.state is JobState.DONE:
        return f"{name} is done; {job.refused} refused."
    if job.state is JobState.FAILED:
        return f"{name} has failed: {job.failure_code}."
    if job.state is JobState.CANCELLED:
        return f"{name} was cancelled after {job.percent} %."
    return f"{name} is {job.percent} % done."


def _details(job: Job) -> dict[str, Any]:
    details: dict[str, Any] = {
        "state": job.state.value,
        "percent": job.percent,
        "accepted": job.accepted,
        "done": job.done,
        "changed": job.changed,
        "unchanged": job.unchanged,
        "refused": job.refused,
        "dry_run": job.is_dry_run,
    }
    if job.program_id is not None:
        details["program_id"] = str(job.program_id)
    if job.action is not None:
        details["action"] = job.action.value
    if job.template_id is not None:
        details["template_id"] = str(job.template_id)
        details["template_version"] = job.template_version
    return details
