"""Commands by HTTP: one route for each action, all alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import JSONResponse

from passferry_contracts.types import Role
from passferry_ledger.application.batch_commands import BatchCommands
from passferry_ledger.application.direct_commands import DirectCommands
from passferry_ledger.application.ports import Submission
from passferry_ledger.domain.accounts import PassAddress
from passferry_ledger.domain.commands import Command, EntryKind
from passferry_ledger.domain.outcomes import Outcome
from passferry_ledger.entrypoints.command_answers import CommandAnswer, applied_answer
from passferry_ledger.entrypoints.command_bodies import ACTIONS, Action, CommandBody, command_of
from passferry_ledger.entrypoints.http_refusals import (
    STATUSES,
    RefusalAnswer,
    refusal_answer,
    refusal_headers,
)
from passferry_ledger.entrypoints.pass_addresses import PassReference, address_of
from passferry_ledger.entrypoints.read_parameters import parameter_invalid
from passferry_runtime.auth import Scope, require
from passferry_runtime.idempotency import parse_idempotency_key
from passferry_runtime.problems import MEDIA_TYPE
from passferry_runtime.tracing import current_traceparent

REPLAYED_HEADER = "Idempotency-Replayed"

RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": CommandAnswer},
    404: {
        "model": RefusalAnswer,
        "description": "Not known; `pass_unknown` means not yet: ask again with the same key",
    },
    409: {"model": RefusalAnswer, "description": "Refused; remembered under the key"},
    422: {"model": RefusalAnswer, "description": "Refused, or the body is not valid"},
}

router = APIRouter(
    prefix="/api/v1/workspaces/{workspace_id}/passes/{pass_ref:path}",
    tags=["commands"],
    responses=RESPONSES,
)

KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="One key, one outcome; quoted or bare. Only a dry run may go without.",
    ),
]


def wants_dry_run(
    request: Request,
    in_query: Annotated[
        bool,
        Query(alias="dry_run", description="Tell what would become of it, and change nothing."),
    ] = False,
    in_header: Annotated[
        bool, Header(alias="Dry-Run", description="The same, as a header.")
    ] = False,
) -> bool:
    if len(request.query_params.getlist("dry_run")) > 1:
        # One of them would be believed, and whoever meant the other would have spent.
        raise parameter_invalid("dry_run", "is given more than once")
    return in_query or in_header


DryRun = Annotated[bool, Depends(wants_dry_run)]
Endpoint = Callable[..., Awaitable[JSONResponse]]


def _endpoint(action: Action) -> Endpoint:
    async def endpoint(
        request: Request,
        pass_ref: PassReference,
        body: CommandBody,
        scope: Scope,
        dry_run: DryRun,
        idempotency_key: KeyHeader = None,
    ) -> JSONResponse:
        address = address_of(scope.workspace_id, pass_ref)
        return await submit(
            request, scope, action.kind, body, address, key=idempotency_key, dry_run=dry_run
        )

    # What differs between the actions; the framework reads it from here.
    endpoint.__annotations__ |= {
        "body": action.body,
        "scope": Annotated[Scope, Depends(require(action.role))],
    }
    return endpoint


for _action in ACTIONS.values():
    router.add_api_route(
        f"/{_action.name}",
        _endpoint(_action),
        methods=["POST"],
        name=_action.name,
        description=_action.summary,
    )


async def submit(
    request: Request,
    scope: Scope,
    kind: EntryKind,
    body: CommandBody,
    address: PassAddress,
    *,
    key: str | None,
    dry_run: bool,
) -> JSONResponse:
    command = command_of(
        kind,
        body,
        address,
        key=parse_idempotency_key(key, required=not dry_run),
        recorded_by=scope.principal.actor,
        by_manager=scope.principal.may(Role.MANAGER),
    )
    submission = Submission(command=command, traceparent=current_traceparent())
    if dry_run:
        direct: DirectCommands = request.state.direct_commands
        (outcome,) = await direct.try_out([submission])
    else:
        lanes: BatchCommands = request.state.submit_command
        outcome = await lanes(submission)
    return answer(command, outcome, dry_run=dry_run)


def answer(command: Command, outcome: Outcome, *, dry_run: bool = False) -> JSONResponse:
    headers = {REPLAYED_HEADER: "true"} if outcome.is_replayed else {}
    if outcome.is_applied:
        return JSONResponse(applied_answer(command, outcome, dry_run=dry_run), headers=headers)
    return JSONResponse(
        refusal_answer(outcome, dry_run=dry_run),
        status_code=STATUSES[outcome.code],
        headers=headers | refusal_headers(outcome),
        media_type=MEDIA_TYPE,
    )
