"""Programs; each change is told on `program.changed`, whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from passferry_contracts.events.directory import ProgramChanged, ProgramLimits
from passferry_contracts.registry import PROGRAM_CHANGED
from passferry_contracts.types import BalanceOwner
from passferry_contracts.types import Protocol as PassProtocol
from passferry_pass_issuer.application.administer_workspaces import Workspaces
from passferry_pass_issuer.application.edit_templates import Templates
from passferry_pass_issuer.application.ports import Programs
from passferry_pass_issuer.application.redraw_passes import StartRedraw
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.program import (
    DEFAULT_UNITS,
    LEAST_OPENING_MINOR,
    Program,
    ProgramStatus,
    check_program,
    check_rules,
)
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_runtime.errors import Conflict, NotFound
from passferry_runtime.ids import uuid7


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramRequest:
    """What is None takes the protocol's default."""

    name: str
    protocol: PassProtocol
    template_id: UUID | None = None
    balance_owner: BalanceOwner = BalanceOwner.PASSFERRY
    unit: str | None = None
    unit_scale: int = 0
    floor_minor: int = 0
    limits: Mapping[str, int]
    rules: Mapping[str, Any]
    thresholds: Sequence[Mapping[str, Any]]
    opening_balance_minor: int | None = None
    opening_minimum_minor: int = 0
    opening_maximum_minor: int | None = None
    passkit: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class CreateProgram:
    programs: Programs
    templates: Templates
    workspaces: Workspaces

    async def __call__(self, work: Work, workspace_id: UUID, request: ProgramRequest) -> Program:
        workspace = await self.workspaces.find(work.transaction, workspace_id)
        if workspace is None:
            raise NotFound("workspace_not_found", "there is no such workspace")
        if not workspace.may_hold_passes:
            raise Conflict("parent_holds_no_passes", "programs belong to roots and children")
        program = _new_program(work, workspace_id, request)
        check_program(program)
        check_rules(program)
        await _check_template(self.templates, work, program)
        await self.programs.insert(work.transaction, program)
        _announce(work, program)
        await work.audit(
            workspace_id, "program.created", program.program_id, after=_summary(program)
        )
        return program


def _new_program(work: Work, workspace_id: UUID, request: ProgramRequest) -> Program:
    unit = request.unit or DEFAULT_UNITS.get(request.protocol)
    if unit is None:
        raise ContentRejected("required", "unit", f"is required of a {request.protocol}")
    opening = request.opening_balance_minor
    if opening is None:
        opening = LEAST_OPENING_MINOR.get(request.protocol, 0)
    return Program(
        workspace_id=workspace_id,
        program_id=uuid7(),
        name=request.name,
        protocol=request.protocol,
        status=ProgramStatus.ACTIVE,
        template_id=request.template_id,
        balance_owner=request.balance_owner,
        unit=unit,
        unit_scale=request.unit_scale,
        floor_minor=request.floor_minor,
        limits=request.limits,
        rules=request.rules,
        thresholds=request.thresholds,
        opening_balance_minor=opening,
        opening_minimum_minor=request.opening_minimum_minor,
        opening_maximum_minor=request.opening_maximum_minor,
        passkit=request.passkit,
        revision=1,
        created_at=work.now,
        updated_at=work.now,
    )


async def _check_template(templates: Templates, work: Work, program: Program) -> None:
    if program.template_id is None:
        return
    protocols = await templates.protocols(
        work.transaction, program.workspace_id, program.template_id
    )
    if not protocols:
        raise ContentRejected("template_unknown", "template_id", "is no template here")
    if program.protocol not in protocols:
        raise ContentRejected("protocol_mismatch", "template_id", "is of another protocol")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramChange:
    """Only the members named in `given` are changed; unit and protocol never are."""

    given: Mapping[str, Any]


CHANGEABLE = frozenset(
    {
        "name",
        "status",
        "template_id",
        "floor_minor",
        "limits",
        "rules",
        "thresholds",
        "opening_balance_minor",
        "opening_minimum_minor",
        "opening_maximum_minor",
        "passkit",
    }
)


@dataclass(frozen=True, kw_only=True)
class ChangeProgram:
    programs: Programs
    templates: Templates
    start_redraw: StartRedraw

    async def __call__(
        self, work: Work, workspace_id: UUID, program_id: UUID, change: ProgramChange
    ) -> Program:
        before = await self.programs.lock(work.transaction, workspace_id, program_id)
        if before is None:
            raise NotFound("program_not_found", "there is no such program")
        if before.status is ProgramStatus.RETIRED:
            raise Conflict("program_retired", "a retired program cannot change any more")
        given = {name: value for name, value in change.given.items() if name in CHANGEABLE}
        after = replace(before, **given, revision=before.revision + 1, updated_at=work.now)
        check_program(after)
        if "rules" in given:
            check_rules(after)
        if after.template_id != before.template_id:
            await _check_template(self.templates, work, after)
        await self.programs.update(work.transaction, after)
        _announce(work, after)
        await work.audit(
            workspace_id,
            "program.changed",
            program_id,
            before=_summary(before),
            after=_summary(after),
        )
        if _shown(after) != _shown(before):
            await self.start_redraw(work, workspace_id, program_id)
        return after


def _shown(program: Program) -> tuple[Any, ...]:
    """What passes may show of their program: its name, and days of its time zone."""
    return program.name, program.rules.get("time_zone")


def _summary(program: Program) -> dict[str, Any]:
    return {
        "name": program.name,
        "status": program.status.value,
        "template_id": program.template_id,
        "revision": program.revision,
    }


def _announce(work: Work, program: Program) -> None:
    work.transaction.emit(
        PROGRAM_CHANGED,
        ProgramChanged(
            workspace_id=program.workspace_id,
            program_id=program.program_id,
            name=program.name,
            protocol=program.protocol,
            unit=program.unit,
            unit_scale=program.unit_scale,
            floor_minor=program.floor_minor,
            limits=ProgramLimits.model_validate(dict(program.limits)),
            rules=dict(program.rules),
            thresholds=[dict(threshold) for threshold in program.thresholds],
            status=program.status.value,
            revision=program.revision,
            changed_at=work.now,
        ),
    )
