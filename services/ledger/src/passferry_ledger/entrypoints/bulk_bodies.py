"""Many commands in one body: a JSON document, or a line of JSON for each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError

from passferry_contracts.fields import one_of_fields
from passferry_contracts.types import Role
from passferry_ledger.application.ports import MAX_BATCH_COMMANDS, Submission
from passferry_ledger.entrypoints.command_bodies import (
    ACTIONS,
    BULK_ITEMS,
    PASS_NAMES,
    BulkItem,
    command_of,
)
from passferry_runtime.auth import Scope
from passferry_runtime.errors import FieldError, Forbidden, Invalid, Problem
from passferry_runtime.tracing import current_traceparent

JSON = "application/json"
NDJSON = "application/x-ndjson"
MAX_COMMANDS = MAX_BATCH_COMMANDS
#: Of a body of the ledger.
MAX_BODY_BYTES = 2_097_152
#: Bulks wait for each other's end: none may take its time.
BODY_TIMEOUT_S = 30.0


class BulkBody(BaseModel):
    """Read one by one, so that a command that is not valid does not hurt the others."""

    model_config = ConfigDict(extra="forbid")

    commands: Annotated[list[Any], Field(min_length=1, max_length=MAX_COMMANDS)]
    #: All of them or none.
    atomic: StrictBool = False


def _body_schema() -> dict[str, Any]:
    items = [_item_schema(model) for model in BULK_ITEMS.values()]
    document = BulkBody.model_json_schema()
    document["properties"]["commands"]["items"] = {"oneOf": items}
    return {
        "required": True,
        "content": {
            JSON: {"schema": document},
            NDJSON: {
                "schema": {
                    "type": "string",
                    "description": f"One command per line, at most {MAX_COMMANDS}.",
                }
            },
        },
    }


def _item_schema(model: type[BulkItem]) -> dict[str, Any]:
    schema = model.model_json_schema()
    schema.setdefault("allOf", []).extend(one_of_fields(exactly=(PASS_NAMES,))["allOf"])
    return schema


BODY_SCHEMA = _body_schema()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """In order: what goes before the ledger, and why something does not."""

    items: Sequence[Submission | Problem]
    is_atomic: bool


async def read_bulk(request: Request, scope: Scope, *, atomic: bool, dry_run: bool) -> Bulk:
    """Raises `Problem` when there is no list of commands in the body."""
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            raw, atomic = await _read(request, atomic=atomic)
    except TimeoutError as error:
        detail = f"the body did not arrive within {BODY_TIMEOUT_S:.0f} seconds"
        raise Problem(408, "body_too_slow", detail) from error
    items = [_item(each, scope, dry_run=dry_run) for each in raw]
    return Bulk(items=items, is_atomic=atomic)


async def _read(request: Request, *, atomic: bool) -> tuple[list[Any], bool]:
    media_type = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if media_type == NDJSON:
        return await _read_lines(request), atomic
    if media_type == JSON:
        body = _read_document(await request.body())
        return body.commands, atomic or body.atomic
    raise Problem(415, "media_type_unsupported", f"send {JSON} or {NDJSON}")


def _read_document(content: bytes) -> BulkBody:
    try:
        return BulkBody.model_validate(orjson.loads(content))
    except orjson.JSONDecodeError as error:
        raise _invalid("body", "not valid JSON") from error
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError(
            [{**fault, "loc": ("body", *fault["loc"])} for fault in faults]
        ) from error


async def _read_lines(request: Request) -> list[Any]:
    commands: list[Any] = []
    rest = b""
    async for chunk in request.stream():
        *lines, rest = (rest + chunk).split(b"\n")
        _read_into(commands, lines)
    _read_into(commands, [rest])
    if not commands:
        raise _invalid("commands", "give at least one command")
    return commands


def _read_into(commands: list[Any], lines: Sequence[bytes]) -> None:
    """A line that cannot be read is a command that is not valid."""
    for line in lines:
        if not line.strip():
            continue
        if len(commands) >= MAX_COMMANDS:
            raise _invalid("commands", f"give at most {MAX_COMMANDS} commands")
        try:
            commands.append(orjson.loads(line))
        except orjson.JSONDecodeError:
            commands.append(_invalid("body", "not valid JSON"))


def _item(raw: object, scope: Scope, *, dry_run: bool) -> Submission | Problem:
    try:
        return _submission(raw, scope, dry_run=dry_run)
    except Problem as problem:
        return problem


def _submission(raw: object, scope: Scope, *, dry_run: bool) -> Submission:
    if isinstance(raw, Problem):
        raise raw
    if not isinstance(raw, dict):
        raise _invalid("body", "a command is an object")
    action = ACTIONS.get(str(raw.get("action")))
    if action is None:
        raise _invalid("action", f"must be one of {', '.join(ACTIONS)}")
    if not scope.principal.may(action.role):
        raise Forbidden("forbidden", f"this needs the role {action.role.value}")
    item = _validated(BULK_ITEMS[action.name], raw)
    if item.key is None and not dry_run:
        raise Problem(
            400,
            "idempotency_key_missing",
            "give idempotency_key, or a reference, which is then the key",
        )
    command = command_of(
        action.kind,
        item,
        item.address(scope.workspace_id),
        key=item.key,
        recorded_by=scope.principal.actor,
        by_manager=scope.principal.may(Role.MANAGER),
    )
    return Submission(command=command, traceparent=current_traceparent())


def _validated(model: type[BulkItem], raw: dict[str, Any]) -> BulkItem:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        errors = [
            FieldError(".".join(str(part) for part in fault["loc"]) or "body", fault["msg"])
            for fault in faults
        ]
    named = ", ".join(dict.fromkeys(each.field for each in errors[:5]))
    raise Invalid("validation_failed", f"not valid: {named}", errors=errors)


def _invalid(field: str, message: str) -> Invalid:
    return Invalid("validation_failed", f"not valid: {field}", errors=[FieldError(field, message)])
