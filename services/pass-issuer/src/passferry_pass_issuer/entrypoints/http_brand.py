"""The brand of a workspace: what its templates take where they say nothing of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.responses import Response

from passferry_contracts.types import Role
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.template_parsing.brand import parse_brand
from passferry_pass_issuer.entrypoints.http_template_checks import (
    MAX_PICTURE_BYTES,
    scaled_picture,
)
from passferry_pass_issuer.entrypoints.http_templates import file_body
from passferry_pass_issuer.entrypoints.http_work import (
    Body,
    RequestBody,
    answer_once,
    issuer_of,
    working,
)
from passferry_runtime.auth import Scope, require
from passferry_runtime.http import long_body

router = APIRouter(prefix="/api/v1/workspaces/{workspace_id}/brand", tags=["brand"])

Viewer = Annotated[Scope, Depends(require(Role.VIEWER))]
Manager = Annotated[Scope, Depends(require(Role.MANAGER))]
Text = Annotated[str | None, Field(default=None, max_length=2_000)]


class BrandBody(RequestBody):
    """What is left out, the brand no longer says. Colours and addresses as in templates."""

    organization_name: Text = None
    logo_text: Text = None
    background_color: Text = None
    foreground_color: Text = None
    label_color: Text = None
    hex_background_color: Text = None
    logo_url: Text = None


@router.get("")
async def read_brand(request: Request, scope: Viewer) -> Body:
    """What the brand says, with its images."""
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        return await _shown(request, work, scope.workspace_id)


@router.put("")
async def change_brand(request: Request, body: BrandBody, scope: Manager) -> Body:
    """Replace what the brand says, but its images. `templates` were published with what changed:
    their passes show the new brand once they are published again."""
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        brand = parse_brand(body.model_dump())
        takers = await issuer_of(request).keep_brand.change(work, scope.workspace_id, brand)
        return {**await _shown(request, work, scope.workspace_id), **_told(takers)}


@router.post("/images/{role}")
@long_body(MAX_PICTURE_BYTES)
async def store_brand_image(request: Request, role: str, scope: Manager) -> Response:
    """Scale one PNG, JPEG or WebP to every density of a role; the body is the picture."""
    asked: Body = {}
    scaled = await scaled_picture(request, scope, role, asked)
    if isinstance(scaled, Response):
        return scaled
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:

        async def produce() -> Body:
            files, takers = await issuer_of(request).keep_brand.store_image(
                work, scope.workspace_id, role, scaled
            )
            return {"files": [file_body(file) for file in files], **_told(takers)}

        return await answer_once(request, work, scope.workspace_id, asked, produce, status=200)


@router.delete("/images/{role}")
async def remove_brand_image(request: Request, role: str, scope: Manager) -> Body:
    """Templates that were published with it keep it until they are published again."""
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        takers = await issuer_of(request).keep_brand.remove_image(work, scope.workspace_id, role)
        return {**await _shown(request, work, scope.workspace_id), **_told(takers)}


def _told(takers: Sequence[UUID]) -> Body:
    return {"templates": [str(template_id) for template_id in takers]}


async def _shown(request: Request, work: Work, workspace_id: UUID) -> Body:
    brands = issuer_of(request).keep_brand.brands
    brand = await brands.read(work.transaction, workspace_id)
    images = await brands.images(work.transaction, workspace_id)
    return {**asdict(brand), "images": [file_body(image) for image in images]}
