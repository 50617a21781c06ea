"""Imports of .pkpass files and of exports of other tools."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import JSONResponse, Response

from passferry_contracts.types import Protocol, Role
from passferry_pass_issuer.application.import_passes import (
    ImportedPass,
    ImportedTemplate,
    ImportPasses,
    ImportReport,
    ImportRequest,
)
from passferry_pass_issuer.application.read_imports import ReadImport, ReadImports
from passferry_pass_issuer.domain.pass_import import Unmapped
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.entrypoints.http_work import (
    Body,
    answer_once,
    instant,
    issuer_of,
    problem_of,
    working,
)
from passferry_pass_issuer.metrics import PASSES_ISSUED
from passferry_runtime.auth import Scope, require
from passferry_runtime.errors import Problem
from passferry_runtime.http import long_body

router = APIRouter(prefix="/api/v1/workspaces/{workspace_id}/imports", tags=["imports"])

Manager = Annotated[Scope, Depends(require(Role.MANAGER))]

MAX_IMPORT_BYTES = 20 * 1024 * 1024
#: Each holds its upload, and what that unpacks to, in memory.
MAX_AT_ONCE = 2
#: A turn is not given to who never ends.
UPLOAD_TIMEOUT_S = 120
#: Of one pass or template; more tell nothing that these do not.
MAX_UNMAPPED = 200
#: Members of a pass that are told once: they may name a person.
_NAMES = ("file", "external_id", "serial_number", "signature_detail")


@dataclass(frozen=True, kw_only=True)
class Imports:
    """What these routes use of `IssuerApi`."""

    read: ReadImports
    run: ImportPasses
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_AT_ONCE))


class _DryRunDone(Exception):
    """Undoes the transaction of a dry run; holds what it would have done."""

    def __init__(self, report: ImportReport) -> None:
        super().__init__()
        self.report = report


@router.post("")
@long_body(MAX_IMPORT_BYTES)
async def import_passes(
    request: Request,
    scope: Manager,
    program_id: UUID | None = None,
    dry_run: bool = False,
    without_identity: bool = False,
    protocol: Protocol | None = None,
    balance_field: Annotated[str | None, Query(min_length=1, max_length=64)] = None,
) -> Response:
    """Take over a .pkpass, a .pkpasses, a zip of them, or a Pass2U export (JSON or CSV).

    Layouts become draft templates. With `program_id`, passes are issued with the serial number,
    authentication token, code and values that they had. Twice is once.
    """
    imports = issuer_of(request).imports
    asked = ImportRequest(
        program_id=program_id, without_identity=without_identity, protocol=protocol
    )
    async with imports.turns:
        data = await _uploaded(request)
        if not data:
            raise problem_of(ContentRejected("required", "body", "is the file to be imported"))
        try:
            read = await asyncio.to_thread(imports.read, data, balance_field=balance_field)
        except ContentRejected as refusal:
            raise problem_of(refusal) from refusal
        if dry_run:
            return JSONResponse(await _try(request, scope, read, asked))
        async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:

            async def produce() -> Body:
                report = await imports.run(work, scope.workspace_id, read, asked)
                for each in report.passes:
                    if program_id is not None:
                        PASSES_ISSUED.labels(outcome=each.outcome).inc()
                return _report(report, is_dry=False)

            given = {
                "sha256": hashlib.sha256(data).hexdigest(),
                "query": request.url.query,
            }
            return await answer_once(
                request,
                work,
                scope.workspace_id,
                given,
                produce,
                status=200,
                remembered=_remembered,
            )


async def _uploaded(request: Request) -> bytes:
    try:
        async with asyncio.timeout(UPLOAD_TIMEOUT_S):
            return await request.body()
    except TimeoutError as error:
        raise Problem(408, "upload_too_slow", f"took over {UPLOAD_TIMEOUT_S} seconds") from error


async def _try(request: Request, scope: Scope, read: ReadImport, asked: ImportRequest) -> Body:
    """Everything is done and then undone, so that the answer is what would happen."""
    try:
        async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
            report = await issuer_of(request).imports.run(work, scope.workspace_id, read, asked)
            raise _DryRunDone(report)
    except _DryRunDone as done:
        return _report(done.report, is_dry=True)


def _report(report: ImportReport, *, is_dry: bool) -> Body:
    outcomes = [each.outcome for each in report.passes]
    return {
        "dry_run": is_dry,
        "counts": {
            name: outcomes.count(name) for name in ("created", "existed", "refused", "read")
        },
        "templates": [_template(each, is_dry=is_dry) for each in report.templates],
        "passes": [_pass(each, is_dry=is_dry) for each in report.passes],
        "ignored_files": list(report.ignored)[:MAX_UNMAPPED],
    }


def _remembered(report: Body) -> Body:
    """What may be kept of thousands of passes: counts, ids and outcomes. Names of passes name
    people, and there is no telling whose are forgotten first."""
    templates = [each | {"name": None, "files": []} for each in report["templates"]]
    passes = [each | dict.fromkeys(_NAMES) for each in report["passes"]]
    kept = [each | {"unmapped": []} for each in (*templates, *passes)]
    count = len(templates)
    return report | {"templates": kept[:count], "passes": kept[count:], "ignored_files": []}


def _template(each: ImportedTemplate, *, is_dry: bool) -> Body:
    source = each.source
    is_shown = each.template_id is not None and not (is_dry and each.outcome == "created")
    return {
        "outcome": each.outcome,
        "template_id": str(each.template_id) if is_shown else None,
        "name": source.name,
        "protocol": source.protocol,
        "style": source.apple["style"],
        "pass_type_identifier": source.pass_type_identifier,
        "source_sha256": source.key,
        "files": sorted(source.files),
        "error": _error(each.refusal),
        "unmapped": _unmapped(source.unmapped),
    }


def _pass(each: ImportedPass, *, is_dry: bool) -> Body:
    source = each.source
    is_shown = each.pass_id is not None and not (is_dry and each.outcome == "created")
    return {
        "file": each.name,
        "outcome": each.outcome,
        "pass_id": str(each.pass_id) if is_shown else None,
        "external_id": source.external_id if source else None,
        "serial_number": source.serial_number if source else None,
        "source_sha256": source.template_key if source else None,
        "signature": source.signature if source else None,
        "signature_detail": source.signature_detail if source else None,
        "keeps_token": bool(source and source.authentication_token),
        "expires_at": instant(source.expires_at) if source else None,
        "error": _error(each.refusal),
        "unmapped": _unmapped(each.unmapped),
    }


def _error(refusal: ContentRejected | None) -> Body | None:
    if refusal is None:
        return None
    return {"code": refusal.code, "field": refusal.field, "detail": refusal.detail}


def _unmapped(found: Sequence[Unmapped]) -> list[Body]:
    return [{"path": each.path[:300], "message": each.message} for each in found[:MAX_UNMAPPED]]
