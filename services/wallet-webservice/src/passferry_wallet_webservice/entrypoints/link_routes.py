"""Public links: an iPhone gets the .pkpass, everything else a page with the Google save link."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
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
    DevicePass,
    FoundLink,
    LinkedPass,
    PassReader,
    RevisionStore,
    VisitStore,
)
from passferry_wallet_webservice.domain.openings import OpeningsTold
from passferry_wallet_webservice.domain.visitors import platform_of
from passferry_wallet_webservice.entrypoints.device_routes import PKPASS
from passferry_wallet_webservice.entrypoints.pages import add_page, message_page
from passferry_wallet_webservice.metrics import LINK_VISITS

MAX_TOKEN = 128
MAX_WAITING_VISITORS = 100
#: A page is still good without its button, so it waits less than a download does.
SAVE_LINK_WAIT_S = 2.0
POLL_S = 0.2
_PRIVATE = {"Cache-Control": "no-store, private"}


@dataclass(frozen=True, slots=True)
class _Visit:
    """One opening of a link that is known and not over. `deadline` is of the monotonic clock."""

    workspace_id: UUID
    link_id: UUID
    pass_id: UUID
    platform: Platform
    deadline: float
    is_head: bool

    def has_ended(self, result: str) -> None:
        LINK_VISITS.labels(platform=self.platform.value, result=result).inc()


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
    _told: OpeningsTold = field(default_factory=OpeningsTold)
    _waiting: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(MAX_WAITING_VISITORS)
    )

    def router(self) -> APIRouter:
        router = APIRouter(include_in_schema=False)

        @router.api_route("/w/{workspace_id}/p/{token}", methods=["GET", "HEAD"])
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
        if link.revoked or (link.expires_at is not None and link.expires_at <= self.clock.now()):
            return _gone("This link has ended", "Ask whoever gave it to you for a new one.")
        if image_format:
            return _qr(f"{self.public_base_url}/w/{workspace_id}/p/{token}", image_format)
        visit = _Visit(
            workspace_id,
            link.link_id,
            link.pass_id,
            platform_of(request.headers.get("user-agent", "")),
            time.monotonic() + self.signature_wait_s,
            request.method == "HEAD",
        )
        # The link may be known before its pass: they are told of on different topics.
        linked = await self._when(visit, visit.deadline, lambda _: True)
        if linked is None:
            visit.has_ended("not_yet")
            return _not_yet()
        if linked.status != PassStatus.ACTIVE:
            visit.has_ended("ended")
            return _gone("This pass is no longer valid", "It was used up, ended or withdrawn.")
        return await self._answer(visit, linked)

    async def _find(self, workspace: str, token: str) -> tuple[UUID | None, FoundLink | None]:
        try:
            workspace_id = UUID(workspace)
        except ValueError:
            return None, None
        if len(token) > MAX_TOKEN:
            return None, None
        digest = hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
        return workspace_id, await self.passes.link(workspace_id, digest)

    async def _answer(self, visit: _Visit, linked: LinkedPass) -> Response:
        if visit.platform is not Platform.APPLE or linked.apple is None:
            return await self._page(visit, linked)
        is_signed = linked.apple.signature is not None
        if not visit.is_head:
            await self._tell_opened(visit, needs_rendering=not is_signed)
            if not is_signed:
                linked = await self._when(visit, visit.deadline, _is_signed) or linked
        if linked.apple is None or linked.apple.signature is None:
            visit.has_ended("not_yet")
            return _not_yet()
        return await self._download(visit, linked.apple)

    async def _download(self, visit: _Visit, apple: DevicePass) -> Response:
        bundle = await self.assemble(apple)
        headers = {
            **_PRIVATE,
            "Content-Disposition": f'attachment; filename="{apple.pass_id}.pkpass"',
        }
        if visit.is_head:
            length = {"Content-Length": str(len(bundle))}
            return Response(headers=headers | length, media_type=PKPASS)
        await self.visits.downloaded(apple.workspace_id, apple.pass_id, apple.revision)
        visit.has_ended("pass")
        return Response(bundle, headers=headers, media_type=PKPASS)

    async def _page(self, visit: _Visit, linked: LinkedPass) -> Response:
        is_on_google = linked.google_object_id is not None
        if not visit.is_head:
            is_ready = not is_on_google or self._has_fresh_save_link(linked)
            await self._tell_opened(visit, needs_rendering=not is_ready)
            if not is_ready:
                deadline = min(visit.deadline, time.monotonic() + SAVE_LINK_WAIT_S)
                linked = await self._when(visit, deadline, self._has_fresh_save_link) or linked
            visit.has_ended("page")
        return add_page(
            pass_json=linked.apple.pass_json if linked.apple is not None else None,
            is_on_google=is_on_google,
            save_link=linked.save_link,
            platform=visit.platform,
        )

    async def _tell_opened(self, visit: _Visit, *, needs_rendering: bool) -> None:
        visitor = (visit.link_id, visit.platform)
        if not self._told.take(visitor, time.monotonic(), needs_rendering=needs_rendering):
            return
        await self.visits.link_opened(
            visit.workspace_id,
            visit.pass_id,
            visit.link_id,
            visit.platform,
            needs_rendering=needs_rendering,
        )

    async def _when(
        self, visit: _Visit, deadline: float, is_ready: Callable[[LinkedPass], bool]
    ) -> LinkedPass | None:
        """The pass as soon as it `is_ready`; as it is when the time is over or too many wait."""
        linked = await self.passes.by_id(visit.workspace_id, visit.pass_id)
        if (linked is not None and is_ready(linked)) or self._waiting.locked() or visit.is_head:
            return linked
        async with self._waiting:
            while time.monotonic() < deadline:
                # Woken when this process stores it; another replica may be the one that does.
                await self.revisions.changed(visit.workspace_id, visit.pass_id, POLL_S)
                linked = await self.passes.by_id(visit.workspace_id, visit.pass_id)
                if linked is not None and is_ready(linked):
                    break
        return linked

    def _has_fresh_save_link(self, linked: LinkedPass) -> bool:
        if linked.save_link is None or linked.save_link_signed_at is None:
            return False
        age = self.clock.now() - linked.save_link_signed_at
        return age < timedelta(seconds=self.save_link_max_age_s)


def _is_signed(linked: LinkedPass) -> bool:
    return linked.apple is not None and linked.apple.signature is not None


def _qr(address: str, image_format: str) -> Response:
    if image_format == "qr.svg":
        return Response(qr_svg(address), headers=_PRIVATE, media_type="image/svg+xml")
    if image_format == "qr.png":
        return Response(qr_png(address), headers=_PRIVATE, media_type="image/png")
    return _not_found()


def _not_found() -> Response:
    return message_page("No pass here", "Check the address, or ask for a new link.", 404)


def _gone(title: str, text: str) -> Response:
    return message_page(title, text, 410)


def _not_yet() -> Response:
    return message_page(
        "Almost there", "Your pass is being made. Open the link again.", 503, retry_after_s=2
    )
