"""What the framework cannot see of an API: who may call a route, and how refusals look."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from passferry_contracts.types import Role
from passferry_runtime.problems import MEDIA_TYPE
from passferry_runtime.route_access import Access

#: Either will do.
SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"apiKey": []}]
SECURITY_SCHEMES: dict[str, Any] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key: `Authorization: Bearer pf_live_…`",
    },
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
}
PROBLEM_SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457. Programs decide by `code`; `detail` is for people.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "instance"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "instance": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
        "trace_id": {"type": "string"},
    },
}
_REFUSED = {
    "description": "Refused: the problem says why and what to do",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
#: `{pass_ref:path}` is described as `{pass_ref}`.
_CONVERTER = re.compile(r":[a-z]+(?=})")
_METHODS = ("get", "put", "post", "patch", "delete")


def describe_access(app: FastAPI, table: Mapping[tuple[str, str], Access]) -> None:
    """Make `app.openapi()` tell of each route's role and of problems. `table`: see access_table."""
    framework_document = app.openapi
    by_described_path = {
        (method, _CONVERTER.sub("", path)): access for (method, path), access in table.items()
    }

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(framework_document(), by_described_path)
        return framework_document()

    app.openapi = document  # type: ignore[method-assign]  # the way that the framework documents


def _complete(document: dict[str, Any], table: Mapping[tuple[str, str], Access]) -> None:
    components = document.setdefault("components", {})
    components["securitySchemes"] = SECURITY_SCHEMES
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = PROBLEM_SCHEMA
    for path, methods in document.get("paths", {}).items():
        for method in _METHODS:
            if method in methods:
                _complete_operation(methods[method], table.get((method.upper(), path), "public"))


def _complete_operation(operation: dict[str, Any], access: Access) -> None:
    responses = operation.setdefault("responses", {})
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]
    responses.setdefault("4XX", _REFUSED)
    if isinstance(access, Role):
        operation["security"] = SECURITY
        text = operation.get("description", "")
        operation["description"] = f"{text}\n\nNeeds the role `{access.value}`.".strip()
    else:
        operation["security"] = []
