"""Every error of our own API as `application/problem+json`."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from passferry_runtime.errors import FieldError, Problem
from passferry_runtime.tracing import current_traceparent

MEDIA_TYPE = "application/problem+json"
TYPE_BASE = "urn:passferry:problem:"
MAX_FIELD_ERRORS = 50
MAX_TEXT_CHARACTERS = 500

_CODES = {400: "bad_request", 401: "unauthorized", 403: "forbidden", 404: "not_found"}
_CODES |= {405: "method_not_allowed", 413: "body_too_large", 415: "media_type_unsupported"}


def _text(text: str) -> str:
    """Within its bound, and without half surrogates, which JSON in UTF-8 cannot hold."""
    return text[:MAX_TEXT_CHARACTERS].encode("utf-8", "backslashreplace").decode()


def problem_body(problem: Problem, *, instance: str) -> dict[str, Any]:
    body: dict[str, Any] = {
        "type": TYPE_BASE + problem.code.replace("_", "-"),
        "title": problem.title or HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": _text(problem.detail),
        "code": problem.code,
        "instance": _text(instance),
    }
    if problem.errors:
        body["errors"] = [
            {"field": _text(error.field), "message": _text(error.message)}
            for error in problem.errors[:MAX_FIELD_ERRORS]
        ]
    traceparent = current_traceparent()
    if traceparent:
        body["trace_id"] = traceparent[3:35]
    return body


def problem_response(problem: Problem, *, instance: str) -> Response:
    headers = {"Cache-Control": "no-store"}
    if problem.retry_after_s is not None:
        headers["Retry-After"] = str(problem.retry_after_s)
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    content = orjson.dumps(problem_body(problem, instance=instance), default=str)
    return Response(content, problem.status, headers, MEDIA_TYPE)


async def answer_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101  # registered for this class only
    return problem_response(error, instance=request.url.path)


async def answer_http_exception(request: Request, error: Exception) -> Response:
    """What the framework itself refuses: 404, 405, an unreadable body."""
    assert isinstance(error, HTTPException)  # noqa: S101  # registered for this class only
    code = _CODES.get(error.status_code, "request_refused")
    is_body = error.status_code == HTTPStatus.BAD_REQUEST
    errors = [FieldError("body", "cannot be read as JSON")] if is_body else []
    problem = Problem(error.status_code, code, str(error.detail), errors=errors)
    response = problem_response(problem, instance=request.url.path)
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    return response


async def answer_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # registered for this class only
    errors = [
        # The place of a syntax error is a number of characters, not a field.
        FieldError("body", "not valid JSON")
        if each["type"] == "json_invalid"
        else FieldError(_field(each["loc"]), str(each["msg"]))
        for each in error.errors()
    ]
    named = ", ".join(dict.fromkeys(each.field for each in errors[:5]))
    problem = Problem(422, "validation_failed", f"not valid: {named}", errors=errors)
    return problem_response(problem, instance=request.url.path)


def _field(location: tuple[int | str, ...]) -> str:
    """`("body", "amount")` is `amount`; a fault of the whole body is `body`."""
    return ".".join(str(part) for part in location[1:]) or str(location[0])
