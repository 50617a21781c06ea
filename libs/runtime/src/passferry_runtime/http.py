"""The HTTP application that every service has: problems, limits, request ids, guarded routes."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from passferry_runtime.auth import Authenticator
from passferry_runtime.errors import Problem
from passferry_runtime.ids import uuid7
from passferry_runtime.logging import get_logger
from passferry_runtime.metrics import HTTP_REQUEST_SECONDS
from passferry_runtime.openapi import describe_access
from passferry_runtime.problems import (
    answer_http_exception,
    answer_problem,
    answer_validation_error,
    problem_response,
)
from passferry_runtime.route_access import Access, access_table, route_contexts
from passferry_runtime.tracing import span

log = get_logger(__name__)

MAX_BODY_BYTES = 1_048_576
#: Of the path and the query together, as they were sent.
MAX_TARGET_BYTES = 4_096
#: Of all headers together.
MAX_HEADER_BYTES = 16_384
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)


Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def long_body(max_bytes: int) -> Callable[[Endpoint], Endpoint]:
    """Mark a route that takes bodies of up to so many bytes: it reads them as a stream, and
    never keeps one whole."""

    def mark(endpoint: Endpoint) -> Endpoint:
        endpoint.max_body_bytes = max_bytes  # type: ignore[attr-defined]  # read by create_app
        return endpoint

    return mark


@dataclass(frozen=True, slots=True, kw_only=True)
class _LongBody:
    methods: frozenset[str]
    path: re.Pattern[str]
    max_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortcut:
    """A way past the framework for the well-formed requests of a route that must be fast.

    `answer` gets the request, the match of its path and its whole body. What it answers None to
    goes the ordinary way, which therefore must exist and decides everything that is out of the
    ordinary; a shortcut checks the API key itself. It may raise `Problem`.
    """

    method: str
    path: re.Pattern[str]
    #: The route that it is a shortcut of, for metrics.
    template: str
    answer: Callable[[Request, re.Match[str], bytes], Awaitable[Response | None]]


def create_app(
    *,
    title: str,
    version: str,
    routers: Sequence[APIRouter],
    auth: Authenticator | None = None,
    state: Mapping[str, object] | None = None,
    max_body_bytes: int = MAX_BODY_BYTES,
    docs: bool = True,
    shortcuts: Sequence[Shortcut] = (),
) -> FastAPI:
    """Build the application; raises `UnguardedRoute` at start rather than serve an open route.

    `state` is at hand in each request as `request.state.<name>`.
    """
    app = _Application(
        title=title,
        version=version,
        docs_url="/docs" if docs else None,
        redoc_url=None,
        openapi_url="/openapi.json" if docs else None,
        # A redirect would repeat the Host header of whoever asks.
        redirect_slashes=False,
    )
    templates: dict[object, str] = {}
    table: dict[tuple[str, str], Access] = {}
    long_bodies: list[_LongBody] = []
    for router in routers:
        table |= access_table(router.routes)
        long_bodies.extend(_long_bodies(router))
        templates.update((each.endpoint, each.path or "") for each in route_contexts(router.routes))
        app.router.routes.append(_inclusion(router))
    describe_access(app, table)
    app.add_exception_handler(Problem, answer_problem)
    app.add_exception_handler(HTTPException, answer_http_exception)
    app.add_exception_handler(RequestValidationError, answer_validation_error)
    app.add_exception_handler(Exception, _answer_unexpected)
    app.around = lambda framework: Edge(
        framework,
        state={"authenticator": auth, **(state or {})},
        max_body_bytes=max_body_bytes,
        templates=templates,
        shortcuts=shortcuts,
        long_bodies=long_bodies,
    )
    return app


def _inclusion(router: APIRouter) -> BaseRoute:
    """What including a router adds to an application.

    The framework derives the routes from it at the first request, in tenths of a second: the
    applications of one process, which tests build by the hundred, share what was derived.
    """
    known: BaseRoute | None = getattr(router, "inclusion", None)
    if known is None:
        including = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        including.include_router(router)
        known = including.routes[-1]
        router.inclusion = known  # type: ignore[attr-defined]  # it lives as long as the router
    return known


class _Application(FastAPI):
    """The framework inside the edge: what passes it by passes all of it by."""

    around: Callable[[ASGIApp], ASGIApp]

    def build_middleware_stack(self) -> ASGIApp:
        return self.around(super().build_middleware_stack())


async def _answer_unexpected(request: Request, error: Exception) -> Response:
    # The edge logs it: the framework raises it once more when it has been answered.
    return problem_response(_internal_error(), instance=request.scope["path"])


def _long_bodies(router: APIRouter) -> list[_LongBody]:
    return [
        _LongBody(
            methods=frozenset(each.methods or ()),
            path=compile_path(each.path or "")[0],
            max_bytes=most,
        )
        for each in route_contexts(router.routes)
        if (most := getattr(each.endpoint, "max_body_bytes", None)) is not None
    ]


class Edge:
    """Around every request: ids, trace, body limit, headers, metrics, and the last word on errors."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        state: Mapping[str, object],
        max_body_bytes: int,
        templates: Mapping[object, str],
        shortcuts: Sequence[Shortcut] = (),
        long_bodies: Sequence[_LongBody] = (),
    ) -> None:
        self._app = app
        self._shortcuts = shortcuts
        self._long_bodies = long_bodies
        self._templates = templates
        self._state = state
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # The first of each name, as the framework reads them.
        headers = dict(reversed(scope["headers"]))
        request_id = headers.get(b"x-request-id", b"").decode("latin-1")
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = str(uuid7())
        scope.setdefault("state", {}).update(self._state, request_id=request_id)
        exchange = _Exchange(scope, send, request_id)
        started_at = time.perf_counter()
        parent = headers.get(b"traceparent", b"").decode("latin-1")
        with span("http request", parent=parent or None):
            try:
                _check_size(scope)
                limited = self._limited(receive, headers, self._most_bytes(scope))
                await self._through(scope, limited, exchange)
            except Problem as problem:
                await self._answer(exchange, receive, problem)
            except Exception:
                log.exception("request_failed", request_id=request_id, method=scope["method"])
                await self._answer(exchange, receive, _internal_error())
            finally:
                self._observe(scope, exchange, time.perf_counter() - started_at)

    async def _through(self, scope: Scope, receive: Receive, exchange: _Exchange) -> None:
        for shortcut in self._shortcuts:
            matched = shortcut.path.fullmatch(scope["path"])
            if matched is None or scope["method"] != shortcut.method:
                continue
            try:
                body, messages = await _whole_body(receive)
            except HTTPException as error:
                raise Problem(413, "body_too_large", _over(self._most_bytes(scope))) from error
            receive = _again(messages, receive)
            if body is None:
                break
            exchange.template = shortcut.template
            response = await shortcut.answer(Request(scope, receive), matched, body)
            if response is not None:
                await response(scope, receive, exchange.send)
                return
            break
        exchange.template = None
        await self._app(scope, receive, exchange.send)

    def _most_bytes(self, scope: Scope) -> int:
        for each in self._long_bodies:
            if scope["method"] in each.methods and each.path.match(scope["path"]):
                return each.max_bytes
        return self._max_body_bytes

    def _limited(self, receive: Receive, headers: Mapping[bytes, bytes], most: int) -> Receive:
        declared = headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared[:20]) > most:
            raise Problem(413, "body_too_large", _over(most))
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:
                # The framework lets its own exceptions through and no others.
                raise HTTPException(413, _over(most))
            return message

        return limited

    async def _answer(self, exchange: _Exchange, receive: Receive, problem: Problem) -> None:
        if exchange.is_started:
            return
        response = problem_response(problem, instance=exchange.scope["path"])
        await response(exchange.scope, receive, exchange.send)

    def _observe(self, scope: Scope, exchange: _Exchange, seconds: float) -> None:
        route: Any = scope.get("route")
        path = exchange.template or getattr(route, "path", "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        HTTP_REQUEST_SECONDS.labels(
            route=self._templates.get(scope.get("endpoint"), path),
            method=method,
            status_class=f"{exchange.status // 100}xx",
        ).observe(seconds)


def _over(most: int) -> str:
    return f"the body is larger than {most} bytes"


def _internal_error() -> Problem:
    return Problem(500, "internal_error", "something went wrong on our side")


def _check_size(scope: Scope) -> None:
    target = len(scope.get("raw_path") or scope["path"].encode()) + len(scope["query_string"])
    if target > MAX_TARGET_BYTES:
        raise Problem(414, "address_too_long", f"the address has over {MAX_TARGET_BYTES} bytes")
    if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADER_BYTES:
        raise Problem(431, "headers_too_large", f"the headers have over {MAX_HEADER_BYTES} bytes")


async def _whole_body(receive: Receive) -> tuple[bytes | None, list[Message]]:
    """The body, or None when the client left; and the messages that it came in."""
    messages: list[Message] = []
    while True:
        message = await receive()
        messages.append(message)
        if message["type"] != "http.request":
            return None, messages
        if not message.get("more_body", False):
            return b"".join(each.get("body", b"") for each in messages), messages


def _again(messages: list[Message], receive: Receive) -> Receive:
    left = iter(messages)

    async def replay() -> Message:
        message = next(left, None)
        return await receive() if message is None else message

    return replay


class _Exchange:
    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self.scope = scope
        self.template: str | None = None
        self.status = 500
        self.is_started = False
        self._send = send
        self._request_id = request_id

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.is_started = True
            self.status = message["status"]
            given = [each for each in message["headers"] if each[0] != b"x-request-id"]
            names = {name for name, _ in given}
            given.append((b"x-request-id", self._request_id.encode()))
            given.extend(each for each in _SECURITY_HEADERS if each[0] not in names)
            message["headers"] = given
        await self._send(message)


def state_of(request: Request, name: str) -> Any:
    """What `create_app` was given under `name`."""
    return getattr(request.state, name)
