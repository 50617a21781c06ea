"""Templates and their images."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field, StringConstraints
from starlette.responses import Response

from passferry_contracts.fields import Name, PassTypeIdentifier
from passferry_contracts.types import Protocol, Role
from passferry_pass_issuer.application.edit_templates import TemplateFile, TemplateRequest
from passferry_pass_issuer.domain.brand import as_given
from passferry_pass_issuer.domain.linting import LintFinding
from passferry_pass_issuer.domain.template_checks import TemplateVersion
from passferry_pass_issuer.entrypoints.http_work import (
    DEFAULT_PAGE,
    MAX_PAGE,
    Body,
    RequestBody,
    answer_once,
    id_cursor,
    instant,
    issuer_of,
    page_of,
    working,
)
from passferry_runtime.auth import Scope, require
from passferry_runtime.errors import NotFound

router = APIRouter(prefix="/api/v1/workspaces/{workspace_id}/templates", tags=["templates"])

Viewer = Annotated[Scope, Depends(require(Role.VIEWER))]
Manager = Annotated[Scope, Depends(require(Role.MANAGER))]

TeamIdentifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]{1,32}$")]
GoogleIssuerId = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,32}$")]


class TemplateBody(RequestBody):
    """`apple` and `google` hold the layout, `ends_when` the rules by which passes end by themselves;
    docs/templates.md shows all members."""

    name: Name
    platform: Literal["apple", "google", "both"] = "both"
    protocol: Protocol
    pass_type_identifier: PassTypeIdentifier | None = None
    team_identifier: TeamIdentifier | None = None
    google_issuer_id: GoogleIssuerId | None = None
    apple: dict[str, Any] | None = Field(default=None, max_length=64)
    google: dict[str, Any] | None = Field(default=None, max_length=64)
    ends_when: list[dict[str, Any]] | None = Field(default=None, max_length=8)

    def asked(self) -> TemplateRequest:
        parts = {"apple": self.apple, "google": self.google, "ends_when": self.ends_when}
        return TemplateRequest(
            name=self.name,
            platform=self.platform,
            protocol=self.protocol,
            pass_type_identifier=self.pass_type_identifier,
            team_identifier=self.team_identifier,
            google_issuer_id=self.google_issuer_id,
            content={name: part for name, part in parts.items() if part is not None},
        )


def file_body(file: TemplateFile) -> Body:
    return {"name": file.name, "sha256": file.sha256, "size": file.size}


def finding_body(finding: LintFinding) -> Body:
    return {
        "severity": finding.severity,
        "path": finding.path,
        "code": finding.code,
        "message": finding.message,
    }


def template_body(version: TemplateVersion) -> Body:
    given, _ = as_given(version.raw_content, version.from_brand)
    return {
        "template_id": str(version.template_id),
        "template_version": version.template_version,
        "status": version.status,
        "name": version.name,
        "platform": version.platform,
        "protocol": version.protocol.value,
        "pass_type_identifier": version.pass_type_identifier,
        "team_identifier": version.team_identifier,
        "google_issuer_id": version.google_issuer_id,
        "google_class_id": version.google_class_id,
        "apple": given.get("apple"),
        "google": given.get("google"),
        "ends_when": given.get("ends_when") or [],
        "field_names": sorted(version.content.field_names()),
        "created_at": instant(version.created_at),
        "updated_at": instant(version.updated_at),
        "published_at": instant(version.published_at),
        "from_brand": brand_body(version),
    }


def brand_body(version: TemplateVersion) -> list[Body]:
    """What the version took of the brand of its workspace; the next draft takes it again. `value`
    is null for images."""
    _, values = as_given(version.raw_content, version.from_brand)
    message = "the template says none, so this is the brand's"
    return [
        {"path": path, "message": message, "value": values.get(path)} for path in version.from_brand
    ]


@router.post("", status_code=201)
async def create_template(request: Request, body: TemplateBody, scope: Manager) -> Response:
    """Begin a template as a draft."""
    asked = body.asked()
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:

        async def produce() -> Body:
            made = await issuer_of(request).create_template(work, scope.workspace_id, asked)
            return template_body(made)

        given = body.model_dump(mode="json")
        return await answer_once(request, work, scope.workspace_id, given, produce)


@router.get("")
async def list_templates(
    request: Request,
    scope: Viewer,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE,
    cursor: Annotated[str | None, Query(max_length=300)] = None,
) -> Body:
    """The newest version of each template."""
    after = id_cursor(cursor)
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        found = await issuer_of(request).templates.page(
            work.transaction, scope.workspace_id, after=after, limit=limit
        )
    last = [str(found[-1].template_id)] if found else None
    return page_of([template_body(version) for version in found], limit, last)


@router.get("/{template_id}")
async def read_template(request: Request, template_id: UUID, scope: Viewer) -> Body:
    """The newest version with its files, and the numbers of the older ones."""
    templates = issuer_of(request).templates
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        versions = await templates.versions(work.transaction, scope.workspace_id, template_id)
        if not versions:
            raise NotFound("template_not_found", "there is no such template")
        files = await templates.files(work.transaction, versions[0])
    return {
        **template_body(versions[0]),
        "files": [file_body(file) for file in files],
        "versions": [
            {"template_version": each.template_version, "status": each.status} for each in versions
        ],
    }


@router.put("/{template_id}")
async def change_template(
    request: Request, template_id: UUID, body: TemplateBody, scope: Manager
) -> Body:
    """Replace the draft, or begin one after the published version, with the same files."""
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        changed = await issuer_of(request).change_template(
            work, scope.workspace_id, template_id, body.asked()
        )
    return template_body(changed)


@router.put("/{template_id}/files/{name:path}")
async def store_template_file(
    request: Request, template_id: UUID, name: str, scope: Manager
) -> Body:
    """Store one PNG of the draft; the body is the file."""
    content = await request.body()
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        file = await issuer_of(request).store_template_file(
            work, scope.workspace_id, template_id, name, content
        )
    return file_body(file)


@router.post("/{template_id}/publish")
async def publish_template(request: Request, template_id: UUID, scope: Manager) -> Body:
    """Check the draft and publish it: from now on new passes are issued with it.

    `warnings` is what `lint` says of it.
    """
    issuer = issuer_of(request)
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        published = await issuer.publish_template(work, scope.workspace_id, template_id)
        report = await issuer.lint_template(work, scope.workspace_id, template_id)
    return {
        **template_body(published),
        "warnings": [finding_body(finding) for finding in report.findings],
    }
