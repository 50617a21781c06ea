"""Programs."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import (
    AfterValidator,
    Field,
    StringConstraints,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from starlette.responses import Response

from passferry_contracts.fields import AmountMinor, Name, Unit
from passferry_contracts.program_rules import (
    MAX_THRESHOLDS,
    ProgramRules,
    Threshold,
    parse_rules,
    parse_thresholds,
)
from passferry_contracts.types import BalanceOwner, Protocol, Role
from passferry_pass_issuer.application.administer_programs import ProgramChange, ProgramRequest
from passferry_pass_issuer.domain.program import Program, ProgramStatus
from passferry_pass_issuer.entrypoints.http_work import (
    DEFAULT_PAGE,
    MAX_PAGE,
    Body,
    RequestBody,
    aged_cursor,
    answer_once,
    instant,
    issuer_of,
    page_of,
    working,
)
from passferry_runtime.auth import Scope, require
from passferry_runtime.errors import FieldError, Invalid, NotFound

router = APIRouter(prefix="/api/v1/workspaces/{workspace_id}/programs", tags=["programs"])

Viewer = Annotated[Scope, Depends(require(Role.VIEWER))]
Manager = Annotated[Scope, Depends(require(Role.MANAGER))]


def _storable(value: Any) -> Any:
    # JSON of the outside may hold what neither Postgres nor an event can: NUL, NaN, Infinity.
    if "\\u0000" in json.dumps(value, allow_nan=False):
        raise ValueError("control characters are not allowed")
    return value


def _lawful_rules(given: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """What was sent stays as it was sent; `ValidationError` names the fault's whole path."""
    rules = handler(given)
    parse_rules(rules)
    return rules


def _lawful_thresholds(given: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    thresholds = handler(given)
    parse_thresholds(thresholds)
    return thresholds


PassKitId = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,64}$")]
PassKitName = Literal["program_id", "tier_id", "campaign_id", "offer_id", "production_id"]
Rules = Annotated[
    dict[str, Any],
    Field(max_length=64),
    AfterValidator(_storable),
    WrapValidator(_lawful_rules, json_schema_input_type=ProgramRules),
]
Thresholds = Annotated[
    list[dict[str, Any]],
    Field(max_length=MAX_THRESHOLDS),
    AfterValidator(_storable),
    WrapValidator(
        _lawful_thresholds,
        json_schema_input_type=Annotated[list[Threshold], Field(max_length=MAX_THRESHOLDS)],
    ),
]
NonNegative = Annotated[AmountMinor, Field(ge=0)]


class LimitsBody(RequestBody):
    max_entry_minor: NonNegative | None = None
    max_balance_minor: NonNegative | None = None
    max_per_day_minor: NonNegative | None = None


class NewProgramBody(RequestBody):
    """Amounts are integers of minor units; `unit_scale` is the unit's decimal places."""

    name: Name
    protocol: Protocol
    template_id: UUID | None = None
    balance_owner: BalanceOwner = BalanceOwner.PASSFERRY
    unit: Unit | None = None
    unit_scale: int = Field(default=0, ge=0, le=6, strict=True)
    floor_minor: AmountMinor = 0
    limits: LimitsBody = LimitsBody()
    rules: Rules = Field(default_factory=dict)
    thresholds: Thresholds = Field(default_factory=list)
    opening_balance_minor: AmountMinor | None = None
    opening_minimum_minor: AmountMinor = 0
    opening_maximum_minor: AmountMinor | None = None
    passkit: dict[PassKitName, PassKitId] = Field(default_factory=dict)


class ProgramChangeBody(RequestBody):
    """What is not given stays as it is."""

    name: Name | None = None
    status: ProgramStatus | None = None
    template_id: UUID | None = None
    floor_minor: AmountMinor | None = None
    limits: LimitsBody | None = None
    rules: Rules | None = None
    thresholds: Thresholds | None = None
    opening_balance_minor: AmountMinor | None = None
    opening_minimum_minor: AmountMinor | None = None
    opening_maximum_minor: AmountMinor | None = None
    passkit: dict[PassKitName, PassKitId] | None = None


#: These may be taken away again by null.
NULLABLE = frozenset({"template_id", "opening_maximum_minor"})


def program_body(program: Program) -> Body:
    return {
        "program_id": str(program.program_id),
        "name": program.name,
        "protocol": program.protocol.value,
        "status": program.status.value,
        "template_id": str(program.template_id) if program.template_id else None,
        "balance_owner": program.balance_owner.value,
        "unit": program.unit,
        "unit_scale": program.unit_scale,
        "floor_minor": program.floor_minor,
        "limits": dict(program.limits),
        "rules": dict(program.rules),
        "thresholds": [dict(threshold) for threshold in program.thresholds],
        "opening_balance_minor": program.opening_balance_minor,
        "opening_minimum_minor": program.opening_minimum_minor,
        "opening_maximum_minor": program.opening_maximum_minor,
        "passkit": dict(program.passkit),
        "revision": program.revision,
        "created_at": instant(program.created_at),
        "updated_at": instant(program.updated_at),
    }


@router.post("", status_code=201)
async def create_program(request: Request, body: NewProgramBody, scope: Manager) -> Response:
    """Make a program; it is effective at once."""
    asked = ProgramRequest(
        name=body.name,
        protocol=body.protocol,
        template_id=body.template_id,
        balance_owner=body.balance_owner,
        unit=body.unit,
        unit_scale=body.unit_scale,
        floor_minor=body.floor_minor,
        limits=body.limits.model_dump(exclude_none=True),
        rules=body.rules,
        thresholds=body.thresholds,
        opening_balance_minor=body.opening_balance_minor,
        opening_minimum_minor=body.opening_minimum_minor,
        opening_maximum_minor=body.opening_maximum_minor,
        passkit={str(name): value for name, value in body.passkit.items()},
    )
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:

        async def produce() -> Body:
            created = await issuer_of(request).create_program(work, scope.workspace_id, asked)
            return program_body(created)

        given = body.model_dump(mode="json")
        return await answer_once(request, work, scope.workspace_id, given, produce)


@router.get("")
async def list_programs(
    request: Request,
    scope: Viewer,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE,
    cursor: Annotated[str | None, Query(max_length=300)] = None,
) -> Body:
    after = aged_cursor(cursor)
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        found = await issuer_of(request).programs.page(
            work.transaction, scope.workspace_id, after=after, limit=limit
        )
    last = [found[-1].created_at.isoformat(), str(found[-1].program_id)] if found else None
    return page_of([program_body(program) for program in found], limit, last)


@router.get("/{program_id}")
async def read_program(request: Request, program_id: UUID, scope: Viewer) -> Body:
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        found = await issuer_of(request).programs.by_ids(
            work.transaction, scope.workspace_id, [program_id]
        )
    if program_id not in found:
        raise NotFound("program_not_found", "there is no such program")
    return program_body(found[program_id])


@router.patch("/{program_id}")
async def change_program(
    request: Request, program_id: UUID, body: ProgramChangeBody, scope: Manager
) -> Body:
    """Change a program; `status` active, suspended (refuses issuing) or retired (for ever)."""
    given = {name: getattr(body, name) for name in body.model_fields_set}
    for name, value in given.items():
        if value is None and name not in NULLABLE:
            raise Invalid(
                "invalid", f"{name} cannot be null", errors=[FieldError(name, "cannot be null")]
            )
    if isinstance(given.get("limits"), LimitsBody):
        given["limits"] = given["limits"].model_dump(exclude_none=True)
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        changed = await issuer_of(request).change_program(
            work, scope.workspace_id, program_id, ProgramChange(given=given)
        )
    return program_body(changed)
