"""The HTTP application that every service has: problems, limits, request ids, guarded routes."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from passferry_runtime.auth import Authenticator
from passferry_runtime.errors import Problem
from passferry_runtime.ids import uuid7
from passferry_runtime.logging import get_logger
from passferry_runtime.metrics import HTTP_REQUEST_SECONDS
from passferry_runtime.problems import (
    answer_http_exception,
    answer_problem,
    answer_validation_error,
    problem_response,
)
from passferry_runtime.tracing import span

log = get_logger(__name__)

MAX_BODY_BYTES = 1_048_576
_REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}$")
_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}


class UnguardedRoute(Exception):
    """A route that says neither who may call it nor that anyone may."""


def create_app(
    *,
    title: str,
    version: str,
    routers: Sequence[APIRouter],
    auth: Authenticator | None = None,
    state: Mapping[str, object] | None = None,
    max_body_bytes: int = MAX_BODY_BYTES,
    docs: bool = True,
) -> FastAPI:
    """Build the application; raises `UnguardedRoute` at start rather than serve an open route.

    `state` is at hand in each request as `request.state.<name>`.
    """
    app = FastAPI(
        title=title,
        version=version,
        docs_url="/docs" if docs else None,
        redoc_url=None,
        openapi_url="/openapi.json" if docs else None,
    )
    for router in routers:
        _refuse_unguarded(router)
        app.include_router(router)
    app.add_exception_handler(Problem, answer_problem)
    app.add_exception_handler(HTTPException, answer_http_exception)
    app.add_exception_handler(RequestValidationError, answer_validation_error)
    app.add_middleware(
        Edge, state={"authenticator": auth, **(state or {})}, max_body_bytes=max_body_bytes
    )
    return app


def _refuse_unguarded(router: APIRouter) -> None:
    for route in router.routes:
        if not isinstance(route, APIRoute):
            continue
        is_public = getattr(route.endpoint, "is_public", False)
        if not is_public and required_role(route.dependant) is None:
            raise UnguardedRoute(
                f"{sorted(route.methods or ())} {route.path}: use require(role) or @public"
            )


def required_role(dependant: Dependant) -> object | None:
    """The role that a route's guard asks for, wherever the guard is among its dependencies."""
    for dependency in dependant.dependencies:
        role = getattr(dependency.call, "required_role", None) or required_role(dependency)
        if role is not None:
            return role
    return None


class Edge:
    """Around every request: ids, trace, body limit, headers, metrics, and the last word on errors."""

    def __init__(self, app: ASGIApp, *, state: Mapping[str, object], max_body_bytes: int) -> None:
        self._app = app
        self._state = state
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = headers.get("x-request-id", "")
        if not _REQUEST_ID.match(request_id):
            request_id = str(uuid7())
        scope.setdefault("state", {}).update(self._state, request_id=request_id)
        exchange = _Exchange(scope, send, request_id)
        started_at = time.perf_counter()
        with span("http request", parent=headers.get("traceparent")):
            try:
                limited = self._limited(receive, headers)
                await self._app(scope, limited, exchange.send)
            except _TooLarge:
                await self._answer(exchange, receive, Problem(413, "body_too_large", self._limit))
            except Exception:
                log.exception("request_failed", request_id=request_id, method=scope["method"])
                problem = Problem(500, "internal_error", "something went wrong on our side")
                await self._answer(exchange, receive, problem)
            finally:
                _observe(scope, exchange.status, time.perf_counter() - started_at)

    @property
    def _limit(self) -> str:
        return f"the body is larger than {self._max_body_bytes} bytes"

    def _limited(self, receive: Receive, headers: Headers) -> Receive:
        declared = headers.get("content-length", "")
        if declared.isdigit() and int(declared) > self._max_body_bytes:
            raise _TooLarge
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_body_bytes:
                # The framework lets its own exceptions through and no others.
                raise HTTPException(413, self._limit)
            return message

        return limited

    async def _answer(self, exchange: _Exchange, receive: Receive, problem: Problem) -> None:
        if exchange.is_started:
            return
        response = problem_response(problem, instance=exchange.scope["path"])
        await response(exchange.scope, receive, exchange.send)


class _TooLarge(Exception):
    pass


class _Exchange:
    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self.scope = scope
        self.status = 500
        self.is_started = False
        self._send = send
        self._request_id = request_id

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.is_started = True
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = self._request_id
            for name, value in _SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)


def _observe(scope: Scope, status: int, seconds: float) -> None:
    route: Any = scope.get("route")
    template = getattr(route, "path", "unmatched")
    HTTP_REQUEST_SECONDS.labels(
        route=template, method=scope["method"], status_class=f"{status // 100}xx"
    ).observe(seconds)


def state_of(request: Request, name: str) -> Any:
    """What `create_app` was given under `name`."""
    return getattr(request.state, name)
