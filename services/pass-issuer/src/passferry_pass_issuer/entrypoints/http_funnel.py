"""How far the passes of a program come."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request

from passferry_contracts.types import Role
from passferry_pass_issuer.domain.funnel import ANY, STEPS, Count, FunnelLine, Step
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.entrypoints.http_work import Body, issuer_of, working
from passferry_runtime.auth import Scope, require
from passferry_runtime.errors import NotFound

router = APIRouter(prefix="/api/v1/workspaces/{workspace_id}/programs", tags=["funnel"])

Viewer = Annotated[Scope, Depends(require(Role.VIEWER))]

MAX_DAYS = 366
DEFAULT_DAYS = 30


@router.get("/{program_id}/funnel")
async def read_funnel(
    request: Request,
    program_id: UUID,
    scope: Viewer,
    first: Annotated[date | None, Query(alias="from")] = None,
    last: Annotated[date | None, Query(alias="to")] = None,
) -> Body:
    """Issued, opened, downloaded, installed, removed and still installed, for the days `from` to
    `to` (UTC, both of them included; the last 30 days when they are not given)."""
    issuer = issuer_of(request)
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        last = last or work.now.date()
        first = first or max(last, date.min + timedelta(days=DEFAULT_DAYS)) - timedelta(
            days=DEFAULT_DAYS - 1
        )
        if not 0 <= (last - first).days < MAX_DAYS or last.year >= date.max.year:
            raise ContentRejected("invalid", "from", f"to `to` is 1 to {MAX_DAYS} days")
        known = await issuer.programs.by_ids(work.transaction, scope.workspace_id, [program_id])
        if program_id not in known:
            raise NotFound("program_not_found", "there is no such program")
        lines = await issuer.funnel.lines(
            work.transaction, scope.workspace_id, program_id, first, last
        )
    total = next((line for line in lines if line.kind == "total"), None)
    return {
        "program_id": str(program_id),
        "from": first.isoformat(),
        "to": last.isoformat(),
        "totals": _shown(total or FunnelLine(kind="total", key=None)),
        "days": [
            {"day": line.key, **_shown(line, has_present=False)}
            for line in lines
            # Before the period, days only add to what is installed now.
            if line.kind == "day" and str(line.key) >= first.isoformat()
        ],
        "templates": [
            {"template_id": line.key, **_shown(line)} for line in lines if line.kind == "template"
        ],
        "links": [
            # Passes are issued before a link of theirs is opened.
            {"label": line.key, **_without(_shown(line), "issued")}
            for line in lines
            if line.kind == "link"
        ],
    }


def _shown(line: FunnelLine, *, has_present: bool = True) -> dict[str, Any]:
    shown: dict[str, Any] = {"issued": line.issued}
    for step in STEPS:
        shown[step.value] = _step(each for each in line.counts if each.step is step)
    if has_present:
        present = [each for each in line.counts if each.step is Step.PRESENT]
        shown["still_installed"] = {
            "passes": sum(each.passes for each in present if each.platform == ANY),
            **{each.platform: each.passes for each in present if each.platform != ANY},
        }
    return shown


def _step(counts: Iterable[Count]) -> dict[str, Any]:
    found = {each.platform: each for each in counts}
    whole = found.pop(ANY, None)
    return {
        "passes": whole.passes if whole else 0,
        "events": whole.events if whole else 0,
        **{
            platform: {"passes": each.passes, "events": each.events}
            for platform, each in sorted(found.items())
        },
    }


def _without(shown: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in shown.items() if key != name}
