"""Public links: an iPhone gets the .pkpass, everything else a page with the Google save link."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from passferry_contracts.types import PassStatus, Platform
from passferry_runtime.auth import public
from passferry_runtime.clock import Clock
from passferry_wallet.barcode import qr_png, qr_svg
from passferry_wallet_webservice.application.assemble_bundle import AssembleBundle
from passferry_wallet_webservice.application.ports import (
    FoundLink,
    PassReader,
    RevisionStore,
    ServedPass,
    VisitStore,
)
from passferry_wallet_webservice.domain.visitors import platform_of
from passferry_wallet_webservice.entrypoints.device_routes import PKPASS
from passferry_wallet_webservice.entrypoints.pages import add_page, message_page
from passferry_wallet_webservice.metrics import LINK_VISITS

MAX_TOKEN = 128
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class LinkRoutes:
    passes: PassReader
    revisions: RevisionStore
    visits: VisitStore
    assemble: AssembleBundle
    clock: Clock
    public_base_url: str
    signature_wait_s: float
    save_link_max_age_s: float

    def router(self) -> APIRouter:
        router = APIRouter(include_in_schema=False)

        @router.get("/w/{workspace_id}/p/{token}")
        @public
        async def open_link(
            request: Request,
            workspace_id: str,
            token: str,
            format: str = "",  # noqa: A002  # the name in the address
        ) -> Response:
            return await self.open(request, workspace_id, token, format)

        @router.get("/robots.txt")
        @public
        async def robots() -> Response:
            # Google calls back only where its crawler would be let in.
            text = "User-agent: Googlebot\nAllow: /\n\nUser-agent: *\nDisallow: /w/\n"
            return Response(text, media_type="text/plain")

        return router

    async def open(
        self, request: Request, workspace: str, token: str, image_format: str
    ) -> Response:
        workspace_id, link = await self._find(workspace, token)
        if workspace_id is None or link is None or link.pass_id is None:
            return _not_found()
        address = f"{self.public_base_url}/w/{workspace_id}/p/{token}"
        if image_format:
            return _qr(address, image_format)
        if link.revoked or (link.expires_at is not None and link.expires_at <= self.clock.now()):
            return _gone("This link has ended", "Ask whoever gave it to you for a new one.")
        served = await self.passes.by_id(workspace_id, link.pass_id)
        if served is None:
            return await self._first_rendering(workspace_id, link, request, address)
        if served.status != PassStatus.ACTIVE:
            return _gone("This pass is no longer valid", "It was used up, ended or withdrawn.")
        platform = platform_of(request.headers.get("user-agent", ""))
        return await self._serve(served, link, platform, address)

    async def _find(self, workspace: str, token: str) -> tuple[UUID | None, FoundLink | None]:
        try:
            workspace_id = UUID(workspace)
        except ValueError:
            return None, None
        if len(token) > MAX_TOKEN:
            return None, None
        digest = hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
        return workspace_id, await self.passes.link(workspace_id, digest)

    async def _first_rendering(
        self, workspace_id: UUID, link: FoundLink, request: Request, address: str
    ) -> Response:
        """The link is known before its pass: both are on their way, by different topics."""
        deadline = time.monotonic() + self.signature_wait_s
        while link.pass_id is not None and time.monotonic() < deadline:
            await self.revisions.changed(workspace_id, link.pass_id, POLL_S)
            served = await self.passes.by_id(workspace_id, link.pass_id)
            if served is not None:
                platform = platform_of(request.headers.get("user-agent", ""))
                return await self._serve(served, link, platform, address)
        return _not_yet()

    async def _serve(
        self, served: ServedPass, link: FoundLink, platform: Platform, address: str
    ) -> Response:
        is_apple = platform is Platform.APPLE
        is_ready = served.signature is not None if is_apple else self._has_fresh_save_link(served)
        await self.visits.link_opened(
            served.workspace_id,
            served.pass_id,
            link.link_id,
            platform,
            needs_rendering=not is_ready,
        )
        if not is_ready:
            served = await self._wait(served, is_apple=is_apple)
        if not is_apple:
            LINK_VISITS.labels(platform=platform.value, result="page").inc()
            return add_page(
                name=_name(served),
                save_link=served.save_link,
                qr_address=f"{address}?format=qr.svg",
            )
        if served.signature is None:
            LINK_VISITS.labels(platform=platform.value, result="not_yet").inc()
            return _not_yet()
        bundle = await self.assemble(served)
        await self.visits.downloaded(served.workspace_id, served.pass_id, served.revision)
        LINK_VISITS.labels(platform=platform.value, result="pass").inc()
        headers = {
            "Cache-Control": "no-store, private",
            "Content-Disposition": f'attachment; filename="{served.pass_id}.pkpass"',
        }
        return Response(bundle, headers=headers, media_type=PKPASS)

    async def _wait(self, served: ServedPass, *, is_apple: bool) -> ServedPass:
        """The signature or save link is being made; woken when this process stores it."""
        # A page is still good without the button, so it waits less.
        deadline = time.monotonic() + (self.signature_wait_s if is_apple else 2.0)
        while time.monotonic() < deadline:
            await self.revisions.changed(served.workspace_id, served.pass_id, POLL_S)
            newer = await self.passes.by_id(served.workspace_id, served.pass_id)
            served = newer or served
            if served.signature is not None if is_apple else self._has_fresh_save_link(served):
                break
        return served

    def _has_fresh_save_link(self, served: ServedPass) -> bool:
        if served.save_link is None or served.save_link_signed_at is None:
            return False
        age = self.clock.now() - served.save_link_signed_at
        return age < timedelta(seconds=self.save_link_max_age_s)


def _name(served: ServedPass) -> str:
    """What the pass itself says it is; it is our own rendering, so it is JSON."""
    body = json.loads(served.pass_json)
    return str(body.get("logoText") or body.get("organizationName") or "Your pass")


def _qr(address: str, image_format: str) -> Response:
    headers = {"Cache-Control": "no-store, private"}
    if image_format == "qr.svg":
        return Response(qr_svg(address), headers=headers, media_type="image/svg+xml")
    if image_format == "qr.png":
        return Response(qr_png(address), headers=headers, media_type="image/png")
    return _not_found()


def _not_found() -> Response:
    return message_page("No pass here", "Check the address, or ask for a new link.", 404)


def _gone(title: str, text: str) -> Response:
    return message_page(title, text, 410)


def _not_yet() -> Response:
    return message_page(
        "Almost there", "Your pass is being made. Open the link again.", 503, retry_after_s=2
    )
