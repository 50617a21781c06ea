"""Links to passes: several of each, as addresses, QR codes and pieces of HTML."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import Field
from starlette.responses import Response

from passferry_contracts.fields import Instant, ShortText
from passferry_contracts.types import Role
from passferry_pass_issuer.application.distribute_links import DistributeLinks
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.link import Link, LinkRequest
from passferry_pass_issuer.domain.link_snippet import (
    DEFAULT_LANGUAGE,
    MAX_BADGE_URL,
    SnippetRequest,
    build_snippet,
)
from passferry_pass_issuer.domain.qr_image import (
    DEFAULT_SIZE_PX,
    MAX_MARGIN_MODULES,
    MAX_SIZE_PX,
    MIN_SIZE_PX,
    QUIET_ZONE_MODULES,
    ErrorCorrection,
    QrRequest,
)
from passferry_pass_issuer.domain.wallet_pass import WalletPass
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
    without,
    working,
)
from passferry_runtime.auth import Scope, require
from passferry_runtime.errors import Conflict

router = APIRouter(prefix="/api/v1/workspaces/{workspace_id}/passes", tags=["links"])

Viewer = Annotated[Scope, Depends(require(Role.VIEWER))]
Member = Annotated[Scope, Depends(require(Role.MEMBER))]
Reference = Annotated[str, Path(min_length=1, max_length=140)]

#: Whoever has the address can take the pass.
_PRIVATE = {"Cache-Control": "no-store, private"}
_MEDIA_TYPES = {"svg": "image/svg+xml", "png": "image/png"}


class QrCodes(Protocol):
    def svg(self, text: str, asked: QrRequest) -> bytes: ...

    def png(self, text: str, asked: QrRequest) -> bytes: ...


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """What these routes use of `IssuerApi`."""

    links: DistributeLinks
    qr_codes: QrCodes


class UtmBody(RequestBody):
    """Where the link is shown. It is kept with the link and never written into its address."""

    source: ShortText | None = None
    medium: ShortText | None = None
    campaign: ShortText | None = None
    term: ShortText | None = None
    content: ShortText | None = None


class NewLinkBody(RequestBody):
    #: What the funnel counts by.
    label: Annotated[ShortText, Field(max_length=100)] = ""
    expires_at: Instant | None = None
    utm: UtmBody = UtmBody()

    def asked(self, *, is_shown_once: bool) -> LinkRequest:
        return LinkRequest(
            label=self.label,
            expires_at=self.expires_at,
            utm=self.utm.model_dump(exclude_none=True),
            is_shown_once=is_shown_once,
        )


def link_body(request: Request, link: Link) -> Body:
    issuer = issuer_of(request)
    status = link.status(issuer.workbench.clock.now())
    return {
        "link_id": str(link.link_id),
        "pass_id": str(link.pass_id),
        "label": link.label,
        "utm": dict(link.utm),
        "first": not link.is_extra,
        "status": status,
        "url": link.url(issuer.public_base_url) if status == "open" else None,
        "expires_at": instant(link.expires_at),
        "created_at": instant(link.created_at),
    }


@router.post("/{reference:path}/links", status_code=201)
async def add_link(
    request: Request, reference: Reference, body: NewLinkBody, scope: Member, once: bool = False
) -> Response:
    """Make another link; with `?once=true` its address is in this answer and nowhere else."""
    asked = body.asked(is_shown_once=once)
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:

        async def produce() -> Body:
            links = issuer_of(request).distribution.links
            return link_body(request, await links.add(work, scope.workspace_id, reference, asked))

        given = {**body.model_dump(mode="json"), "once": once}
        remembered = without("url") if once else dict
        answer = await answer_once(
            request, work, scope.workspace_id, given, produce, remembered=remembered
        )
    answer.headers.update(_PRIVATE)
    return answer


@router.get("/{reference:path}/links")
async def list_links(
    request: Request,
    reference: Reference,
    scope: Viewer,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE,
    cursor: Annotated[str | None, Query(max_length=300)] = None,
) -> Body:
    """Links of a pass, oldest first, with those that are closed."""
    after = id_cursor(cursor)
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        found = await issuer_of(request).distribution.links.page(
            work, scope.workspace_id, reference, after=after, limit=limit
        )
    last = [str(found[-1].link_id)] if found else None
    return page_of([link_body(request, link) for link in found], limit, last)


async def _open_url(
    request: Request, work: Work, workspace_id: UUID, reference: str, link_id: UUID
) -> tuple[str, WalletPass]:
    issuer = issuer_of(request)
    link, wallet_pass = await issuer.distribution.links.find(work, workspace_id, reference, link_id)
    status = link.status(work.now)
    if status != "open":
        raise Conflict(f"link_{status}", f"the link is {status}: make another one")
    url = link.url(issuer.public_base_url)
    if url is None:
        raise Conflict("link_shown_once", "its address is not kept: make another link")
    return url, wallet_pass


@router.delete("/{reference:path}/links/{link_id}")
async def revoke_link(request: Request, reference: Reference, link_id: UUID, scope: Member) -> Body:
    """Close a link for good."""
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        link = await issuer_of(request).distribution.links.revoke(
            work, scope.workspace_id, reference, link_id
        )
    return link_body(request, link)


Size = Annotated[int, Query(ge=MIN_SIZE_PX, le=MAX_SIZE_PX)]
Margin = Annotated[int, Query(ge=0, le=MAX_MARGIN_MODULES)]


@router.get("/{reference:path}/links/{link_id}/qr.{kind}")
async def link_qr_code(
    request: Request,
    reference: Reference,
    link_id: UUID,
    kind: Literal["svg", "png"],
    scope: Viewer,
    size: Size = DEFAULT_SIZE_PX,
    margin: Margin = QUIET_ZONE_MODULES,
    ecc: ErrorCorrection = ErrorCorrection.MEDIUM,
) -> Response:
    """The link's address as a QR code."""
    asked = QrRequest(size_px=size, margin_modules=margin, error_correction=ecc)
    codes = issuer_of(request).distribution.qr_codes
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        url, _ = await _open_url(request, work, scope.workspace_id, reference, link_id)
        image = codes.svg(url, asked) if kind == "svg" else codes.png(url, asked)
    return Response(image, media_type=_MEDIA_TYPES[kind], headers=_PRIVATE)


@router.get("/{reference:path}/links/{link_id}/snippet")
async def link_snippet(
    request: Request,
    response: Response,
    reference: Reference,
    link_id: UUID,
    scope: Viewer,
    language: Annotated[str, Query(min_length=2, max_length=35)] = DEFAULT_LANGUAGE,
    title: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
    apple_badge_url: Annotated[str | None, Query(max_length=MAX_BADGE_URL)] = None,
    google_badge_url: Annotated[str | None, Query(max_length=MAX_BADGE_URL)] = None,
) -> Body:
    """HTML for a page, HTML for an e-mail, plain text and the QR code, ready to be pasted."""
    issuer = issuer_of(request)
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:
        url, wallet_pass = await _open_url(request, work, scope.workspace_id, reference, link_id)
        programs = await issuer.programs.by_ids(
            work.transaction, scope.workspace_id, [wallet_pass.program_id]
        )
        image = base64.b64encode(issuer.distribution.qr_codes.png(url, QrRequest())).decode()
        qr_data_uri = f"data:image/png;base64,{image}"
        built = build_snippet(
            SnippetRequest(
                url=url,
                title=title or programs[wallet_pass.program_id].name,
                language=language,
                is_for_apple=wallet_pass.pass_json is not None,
                is_for_google=wallet_pass.google_object_id is not None,
                apple_badge_url=apple_badge_url,
                google_badge_url=google_badge_url,
                qr_data_uri=qr_data_uri,
            )
        )
    response.headers.update(_PRIVATE)
    return {
        "url": url,
        "language": built.language,
        "page_html": built.page_html,
        "email_html": built.email_html,
        "text": built.text,
        "qr_data_uri": qr_data_uri,
    }
