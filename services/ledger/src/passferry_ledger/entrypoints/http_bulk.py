"""Many commands in one request, each with its own result."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel

from passferry_contracts.types import Role
from passferry_ledger.application.direct_commands import Decision, DirectCommands
from passferry_ledger.application.ports import Submission
from passferry_ledger.domain.commands import Command
from passferry_ledger.domain.outcomes import ABORTED, Outcome
from passferry_ledger.entrypoints.bulk_bodies import BODY_SCHEMA, Bulk, read_bulk
from passferry_ledger.entrypoints.command_answers import CommandAnswer, applied_answer
from passferry_ledger.entrypoints.http_commands import DryRun
from passferry_ledger.entrypoints.http_refusals import (
    STATUSES,
    RefusalAnswer,
    problem_answer,
    refusal_answer,
)
from passferry_runtime.auth import Scope, require
from passferry_runtime.errors import Problem
from passferry_runtime.logging import get_logger

log = get_logger(__name__)

router = APIRouter(prefix="/api/v1/workspaces/{workspace_id}/commands", tags=["commands"])


class BulkResult(BaseModel):
    """Status, code (`applied` or a refusal) and body as of the command by itself."""

    status: int
    code: str
    replayed: bool
    body: CommandAnswer | RefusalAnswer


class BulkAnswer(BaseModel):
    """One result per command, in their order."""

    applied: int
    refused: int
    dry_run: bool
    results: list[BulkResult]


@router.post(
    "/bulk",
    responses={200: {"model": BulkAnswer}},
    openapi_extra={"requestBody": BODY_SCHEMA},
)
async def apply_bulk(
    request: Request,
    scope: Annotated[Scope, Depends(require(Role.MEMBER))],
    dry_run: DryRun,
    atomic: Annotated[
        bool, Query(description="All or none; for bodies that cannot say it themselves.")
    ] = False,
) -> Response:
    """Up to 1,000 commands, in order; each is refused for itself unless `atomic`."""
    direct: DirectCommands = request.state.direct_commands
    with direct.bulk():
        bulk = await read_bulk(request, scope, atomic=atomic, dry_run=dry_run)
        decisions = await _decide(direct, bulk, dry_run=dry_run)
    results = [
        _result(item, decision, dry_run=dry_run)
        for item, decision in zip(bulk.items, decisions, strict=True)
    ]
    applied = sum(result["code"] == "applied" for result in results)
    answer = {
        "applied": applied,
        "refused": len(results) - applied,
        "dry_run": dry_run,
        "results": results,
    }
    return Response(orjson.dumps(answer), media_type="application/json")


async def _decide(direct: DirectCommands, bulk: Bulk, *, dry_run: bool) -> list[Decision]:
    """One decision per item; of an item that is not valid, its own problem."""
    submissions = [item for item in bulk.items if isinstance(item, Submission)]
    is_whole = len(submissions) == len(bulk.items)
    decided: list[Decision]
    if bulk.is_atomic and not is_whole:
        decided = [Outcome(code=ABORTED) for _ in submissions]
    elif dry_run:
        decided = list(await direct.try_out(submissions, all_or_none=bulk.is_atomic))
    elif bulk.is_atomic:
        decided = await direct.all_or_none(submissions)
    else:
        decided = await direct.each(submissions)
    following = iter(decided)
    return [item if isinstance(item, Problem) else next(following) for item in bulk.items]


def _result(item: Submission | Problem, decision: Decision, *, dry_run: bool) -> dict[str, Any]:
    if isinstance(decision, Outcome) and isinstance(item, Submission):
        return _decided(item.command, decision, dry_run=dry_run)
    if isinstance(decision, Problem):
        problem = decision
    else:
        log.error("bulk_command_failed", exc_info=decision)
        problem = Problem(500, "internal_error", "something went wrong on our side")
    return {
        "status": problem.status,
        "code": problem.code,
        "replayed": False,
        "body": problem_answer(problem, dry_run=dry_run),
    }


def _decided(command: Command, outcome: Outcome, *, dry_run: bool) -> dict[str, Any]:
    is_applied = outcome.is_applied
    return {
        "status": 200 if is_applied else STATUSES[outcome.code],
        "code": outcome.code,
        "replayed": outcome.is_replayed,
        "body": applied_answer(command, outcome, dry_run=dry_run)
        if is_applied
        else refusal_answer(outcome, dry_run=dry_run),
    }
