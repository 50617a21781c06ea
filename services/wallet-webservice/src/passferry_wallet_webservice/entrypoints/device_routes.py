"""Apple's web service, as devices speak it.

Answers are bare codes: devices act on these alone. Whatever is wrong with a credential, a pass type
or a serial number looks the same, so that nobody can find out what exists.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import format_datetime, parsedate_to_datetime
from urllib.parse import unquote
from uuid import UUID

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.routing import Route as HttpRoute

from passferry_runtime.crypto import KeyRing
from passferry_wallet.apple.authentication import parse_apple_pass_header, token_matches
from passferry_wallet_webservice.application.assemble_bundle import AssembleBundle, NotSigned
from passferry_wallet_webservice.application.ports import (
    DevicePass,
    NewRegistration,
    PassReader,
    RegistrationStore,
    VisitStore,
)
from passferry_wallet_webservice.domain.device_log import LogAllowance, clean_lines
from passferry_wallet_webservice.domain.update_tags import format_tag, parse_tag
from passferry_wallet_webservice.metrics import DEVICE_LOG_LINES, DEVICE_REQUESTS

MAX_REGISTER_BYTES = 4_096
MAX_LOG_BYTES = 16_384
MAX_IDENTIFIER = 128
PKPASS = "application/vnd.apple.pkpass"
_PUSH_TOKEN = re.compile(r"(?:[0-9a-fA-F]{2}){1,100}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NOBODYS_TOKEN = hashlib.sha256(b"no pass has this token").digest()


@dataclass(frozen=True, slots=True)
class DeviceRoutes:
    """One method for each of the endpoints; `router` mounts them."""

    passes: PassReader
    registrations: RegistrationStore
    visits: VisitStore
    assemble: AssembleBundle
    push_token_ring: KeyRing
    is_known_workspace: Callable[[UUID], bool]
    log_allowance: LogAllowance = field(default_factory=LogAllowance)

    def router(self) -> APIRouter:
        router = APIRouter()
        # The path is taken apart by hand: serial numbers and device ids may hold anything,
        # percent-encoded slashes included, which the framework's patterns would split.
        methods = ["GET", "HEAD", "POST", "DELETE"]
        router.routes.append(
            HttpRoute("/w/{workspace}/{rest:path}", self.dispatch, methods=methods)
        )
        return router

    async def dispatch(self, request: Request) -> Response:
        segments = _segments(request)
        method = request.method
        match segments:
            case [workspace, "v1", "devices", device, "registrations", kind, serial]:
                if method == "POST":
                    answer = self.register(request, workspace, device, kind, serial)
                    return await _counted("register", answer)
                if method == "DELETE":
                    answer = self.unregister(request, workspace, device, kind, serial)
                    return await _counted("unregister", answer)
                return _method_not_allowed("POST, DELETE")
            case [workspace, "v1", "devices", device, "registrations", kind]:
                if method == "GET":
                    return await _counted("list", self.listed(request, workspace, device, kind))
                return _method_not_allowed("GET")
            case [workspace, "v1", "passes", kind, serial]:
                if method in {"GET", "HEAD"}:
                    return await _counted("pass", self.latest(request, workspace, kind, serial))
                return _method_not_allowed("GET, HEAD")
            case [workspace, "v1", "log"]:
                if method == "POST":
                    return await _counted("log", self.log(request, workspace))
                return _method_not_allowed("POST")
        return Response(status_code=404)

    async def register(
        self, request: Request, workspace: str, device: str, kind: str, serial: str
    ) -> Response:
        served = await self._authenticated(request, workspace, kind, serial)
        if served is None:
            return Response(status_code=401)
        if len(device) > MAX_IDENTIFIER or _CONTROL.search(device):
            return Response(status_code=400)
        body = await _bounded_body(request, MAX_REGISTER_BYTES)
        if body is None:
            return Response(status_code=413)
        push_token = _push_token(body)
        if push_token is None:
            return Response(status_code=400)
        context = f"push_token:{served.workspace_id}:{device}"
        is_new = await self.registrations.register(
            served,
            NewRegistration(
                device,
                self.push_token_ring.encrypt(push_token.encode(), context=context),
                hashlib.sha256(push_token.encode()).hexdigest(),
            ),
        )
        return Response(status_code=201 if is_new else 200)

    async def unregister(
        self, request: Request, workspace: str, device: str, kind: str, serial: str
    ) -> Response:
        served = await self._authenticated(request, workspace, kind, serial)
        if served is None:
            return Response(status_code=401)
        await self.registrations.unregister(served, device)
        # 200 also when it was gone already: devices take anything else for a failure.
        return Response(status_code=200)

    async def listed(self, request: Request, workspace: str, device: str, kind: str) -> Response:
        workspace_id = _workspace_id(workspace)
        if workspace_id is None or max(len(device), len(kind)) > MAX_IDENTIFIER:
            return Response(status_code=204)
        since = parse_tag(request.query_params.get("passesUpdatedSince"))
        changed = await self.registrations.listed(workspace_id, kind, device, since)
        if not changed:
            return Response(status_code=204)
        answer = {
            "serialNumbers": [each.serial_number for each in changed],
            # Of the rows in this answer, never of the clock: nothing can slip in between.
            "lastUpdated": format_tag(max(each.update_tag for each in changed)),
        }
        return Response(orjson.dumps(answer), media_type="application/json")

    async def latest(self, request: Request, workspace: str, kind: str, serial: str) -> Response:
        served = await self._authenticated(request, workspace, kind, serial)
        if served is None:
            return Response(status_code=401)
        last_modified = format_datetime(served.last_modified.astimezone(UTC), usegmt=True)
        headers = {"Last-Modified": last_modified, "Cache-Control": "no-store, private"}
        if _is_unchanged(request.headers.get("if-modified-since"), served):
            return Response(status_code=304, headers=headers)
        try:
            bundle = await self.assemble(served)
        except NotSigned:
            # Nobody holds it yet, so nobody was rung for it.
            return Response(status_code=503, headers={"Retry-After": "1"})
        if request.method == "HEAD":
            length = {"Content-Length": str(len(bundle))}
            return Response(headers=headers | length, media_type=PKPASS)
        return Response(bundle, headers=headers, media_type=PKPASS)

    async def log(self, request: Request, workspace: str) -> Response:
        body = await _bounded_body(request, MAX_LOG_BYTES)
        if body is None:
            return Response(status_code=413)
        workspace_id = _workspace_id(workspace)
        lines = clean_lines(_log_lines(body))
        # 200 whatever becomes of the lines: a device could do nothing about it.
        if workspace_id is not None and lines and self.is_known_workspace(workspace_id):
            if self.log_allowance.take(workspace_id, time.monotonic()):
                DEVICE_LOG_LINES.labels(result="kept").inc(len(lines))
                await self.visits.add_log_lines(workspace_id, lines)
            else:
                DEVICE_LOG_LINES.labels(result="dropped").inc(len(lines))
        return Response(status_code=200)

    async def _authenticated(
        self, request: Request, workspace: str, kind: str, serial: str
    ) -> DevicePass | None:
        """The pass, when the request holds its token; the same work is done when not."""
        presented = parse_apple_pass_header(request.headers.get("authorization"))
        workspace_id = _workspace_id(workspace)
        served = None
        if workspace_id is not None and max(len(kind), len(serial)) <= MAX_IDENTIFIER:
            served = await self.passes.by_serial(workspace_id, kind, serial)
        expected = served.token_sha256 if served is not None else _NOBODYS_TOKEN
        is_owner = token_matches(presented or "", expected)
        return served if is_owner and presented is not None else None


async def _counted(route: str, answering: Awaitable[Response]) -> Response:
    response = await answering
    DEVICE_REQUESTS.labels(route=route, status=response.status_code).inc()
    return response


def _method_not_allowed(allowed: str) -> Response:
    return Response(status_code=405, headers={"Allow": allowed})


def _segments(request: Request) -> list[str]:
    raw: bytes = request.scope.get("raw_path") or request.url.path.encode()
    path = raw.split(b"?", 1)[0].decode("ascii", "replace")
    # A webServiceURL that ends with a slash makes two in a row.
    parts = [part for part in path.split("/") if part]
    return [unquote(part, errors="replace").replace("\x00", "\ufffd") for part in parts[1:]]


def _workspace_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


async def _bounded_body(request: Request, limit: int) -> bytes | None:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            return None
    return bytes(body)


def _push_token(body: bytes) -> str | None:
    try:
        token = orjson.loads(body)["pushToken"]
    except (ValueError, KeyError, TypeError):
        return None
    # Hexadecimal only: it becomes a part of the path at APNs.
    return token.lower() if isinstance(token, str) and _PUSH_TOKEN.fullmatch(token) else None


def _log_lines(body: bytes) -> list[object]:
    try:
        lines = orjson.loads(body)["logs"]
    except (ValueError, KeyError, TypeError):
        return []
    return lines if isinstance(lines, list) else []


def _is_unchanged(header: str | None, served: DevicePass) -> bool:
    if header is None:
        return False
    try:
        since = parsedate_to_datetime(header)
        # A date without a zone is one of HTTP's; one beyond the calendar is none.
        since = since.replace(tzinfo=since.tzinfo or UTC).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return False
    return since >= served.last_modified or served.recent_contents.is_current(since)
