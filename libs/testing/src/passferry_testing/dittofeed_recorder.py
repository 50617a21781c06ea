"""Dittofeed's public ingestion API on loopback: validates as it does, records, misbehaves.

`async with DittofeedRecorder() as dittofeed: dittofeed.url` in process, or
`python -m passferry_testing.dittofeed_recorder --port 0`, which prints its addresses as JSON.
"""

import argparse
import asyncio
import base64
import binascii
import contextlib
import json
import secrets
import time
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Annotated, Any, Literal, NamedTuple, Self

import uvloop
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from passferry_testing.faults import MAX_RULES, FaultRule, FaultSchedule
from passferry_testing.ingestion_checks import (
    SINGLE_KINDS,
    ItemInvalid,
    checked_batch,
    checked_single,
    stored_timestamp,
)
from passferry_testing.loopback_http import serve_http
from passferry_testing.stop_signals import stop_requested

MAX_BODY_BYTES = 5 * 1024 * 1024
MAX_RECORDS = 1_000_000
MAX_PAGE = 10_000
SILENCE_LIMIT_S = 120.0
_BASE = "/api/public/apps"


class IngestionFault(FaultRule):
    """One rule. `subject_prefix` is a prefix of the workspace, `scope` a call such as `batch`.

    - `delay`: answer normally, later.
    - `answer`: answer with `status` (and `retry_after_s`), store nothing.
    - `answer_lost`: store the items, then never answer.
    - `no_answer`: neither store nor answer.
    """

    action: Literal["delay", "answer", "answer_lost", "no_answer"]
    status: int = Field(default=503, ge=200, le=599)
    retry_after_s: int | None = Field(default=None, ge=0)

    @property
    def is_only_delay(self) -> bool:
        return self.action == "delay"


class WriteKey(NamedTuple):
    """The credential of one workspace; `authorization` is its header value."""

    workspace: str
    secret_id: str
    value: str
    is_eligible: bool = True

    @property
    def authorization(self) -> str:
        encoded = base64.b64encode(f"{self.secret_id}:{self.value}".encode()).decode()
        return f"Basic {encoded}"


@dataclass(frozen=True, slots=True)
class RecordedItem:
    """One stored item: its request's number, arrival time, and the item as validated."""

    number: int
    request: int
    workspace: str
    received_at_ns: int
    stored_timestamp: str
    item: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "request": self.request,
            "workspace": self.workspace,
            "received_at_ns": self.received_at_ns,
            "stored_timestamp": self.stored_timestamp,
            "item": self.item,
        }


@dataclass(slots=True)
class _Workspace:
    items: list[RecordedItem] = field(default_factory=list)


class RecorderFull(Exception):
    """The recorder holds as many items as it may (code `recorder_full`)."""

    code = "recorder_full"


class DittofeedRecorder:
    """Records every accepted item per workspace in order of arrival, duplicates included."""

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        seed: int = 0,
        faults: Iterable[IngestionFault] = (),
        max_records: int = MAX_RECORDS,
    ) -> None:
        self.host = host
        self.port = port
        self.faults: FaultSchedule[IngestionFault] = FaultSchedule(seed, faults)
        self.answers: Counter[int] = Counter()
        self._max_records = max_records
        self._stored = 0
        self._requests = 0
        self._keys: dict[tuple[str, str], WriteKey] = {}
        self._workspaces: dict[str, _Workspace] = {}
        self._arrived = asyncio.Condition()
        self._stack = contextlib.AsyncExitStack()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def add_write_key(
        self,
        workspace: str,
        *,
        secret_id: str | None = None,
        value: str | None = None,
        is_eligible: bool = True,
    ) -> WriteKey:
        """Make a write key known; an ineligible one belongs to a Parent or inactive workspace."""
        key = WriteKey(
            workspace, secret_id or str(uuid.uuid4()), value or secrets.token_hex(8), is_eligible
        )
        self._keys[key.secret_id, key.value] = key
        return key

    def remove_write_keys(self, workspace: str) -> None:
        self._keys = {pair: key for pair, key in self._keys.items() if key.workspace != workspace}

    def recorded(
        self, workspace: str, since: int = 0, limit: int | None = None
    ) -> list[RecordedItem]:
        """Items of a workspace in order of arrival, from its item number `since` on."""
        found = self._workspaces.get(workspace, _Workspace()).items
        return found[since : None if limit is None else since + limit]

    async def wait_for(
        self, workspace: str, count: int, timeout_s: float = 10.0
    ) -> list[RecordedItem]:
        """Wait until `count` items were stored for the workspace; raises TimeoutError."""
        async with asyncio.timeout(timeout_s), self._arrived:
            await self._arrived.wait_for(lambda: len(self.recorded(workspace)) >= count)
        return self.recorded(workspace)

    def summary(self) -> dict[str, Any]:
        """Stored and unique items by workspace, answers by status, and which faults fired."""
        return {
            "requests": self._requests,
            "answers": {str(status): count for status, count in sorted(self.answers.items())},
            "workspaces": {
                name: _workspace_summary(workspace.items)
                for name, workspace in self._workspaces.items()
            },
            "faults_fired": [
                {"rule": rule.model_dump(exclude_defaults=True), "fired": fired}
                for rule, fired in self.faults.fired
            ],
            "seed": self.faults.seed,
        }

    def reset(self) -> None:
        """Forget items and faults; write keys stay."""
        self._workspaces.clear()
        self._stored = self._requests = 0
        self.answers.clear()
        self.faults.clear()

    async def __aenter__(self) -> Self:
        app = _application(self)
        serving = serve_http(app, host=self.host, port=self.port)
        self.port = await self._stack.enter_async_context(serving)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    def key_for(self, authorization: str) -> WriteKey | None:
        """Find the write key that a header carries; the scheme word is not looked at."""
        _, _, encoded = authorization.partition(" ")
        try:
            pair = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, ValueError):
            return None
        secret_id, _, value = pair.partition(":")
        return self._keys.get((secret_id, value))

    def next_request(self) -> int:
        self._requests += 1
        return self._requests

    async def store(self, workspace: str, request: int, items: list[dict[str, Any]]) -> None:
        if self._stored + len(items) > self._max_records:
            raise RecorderFull(f"{self._stored} items recorded")
        now = datetime.now(UTC)
        kept = self._workspaces.setdefault(workspace, _Workspace()).items
        self._stored += len(items)
        for item in items:
            timestamp = stored_timestamp(item, now)
            kept.append(
                RecordedItem(len(kept), request, workspace, time.time_ns(), timestamp, item)
            )
        async with self._arrived:
            self._arrived.notify_all()


class _Api:
    """The public ingestion API."""

    def __init__(self, recorder: DittofeedRecorder) -> None:
        self._recorder = recorder

    async def ingest(self, request: Request) -> Response:
        try:
            answer = await self._ingest(request, request.path_params["call"])
        except ItemInvalid as invalid:
            answer = _failure(400, invalid.code, "Bad Request", str(invalid))
        except ClientDisconnect:
            answer = Response(status_code=400)
        self._recorder.answers[answer.status_code] += 1
        return answer

    async def _ingest(self, request: Request, call: str) -> Response:
        number = self._recorder.next_request()
        body = await _bounded_body(request)
        if body is None:
            return _failure(
                413, "FST_ERR_CTP_BODY_TOO_LARGE", "Payload Too Large", "Request body is too large"
            )
        refusal, items = _parse(request, call, body)
        if refusal is not None:
            return refusal
        key = self._recorder.key_for(request.headers["authorization"])
        if key is None:
            text = "Invalid write key." if call == "track" else "InvalidWriteKey"
            return JSONResponse({"message": text}, 401)
        if not key.is_eligible:
            return JSONResponse({"message": "WorkspaceIneligible"}, 401)
        return await self._take(request, call, number, key.workspace, items)

    async def _take(
        self, request: Request, call: str, number: int, workspace: str, items: list[dict[str, Any]]
    ) -> Response:
        fault, delay_s = self._recorder.faults.decide(workspace, call)
        if delay_s:
            await asyncio.sleep(delay_s)
        if fault is not None and fault.action == "answer":
            wait = fault.retry_after_s
            headers = {} if wait is None else {"retry-after": str(wait)}
            return JSONResponse({"message": "injected"}, fault.status, headers)
        if fault is None or fault.action == "answer_lost":
            await self._recorder.store(workspace, number, items)
        if fault is not None:
            await _until_gone(request)
        return Response(status_code=204)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FaultsBody(_Body):
    """New rules are added; with `replace` the old ones go first."""

    rules: Annotated[list[IngestionFault], Field(max_length=MAX_RULES)] = []
    replace: bool = False


class WriteKeyBody(_Body):
    """Adds a key; without `secret_id` and `value` both are made up. `revoke` drops all keys."""

    workspace: str
    secret_id: str | None = None
    value: str | None = None
    is_eligible: bool = True
    revoke: bool = False


class _Control:
    def __init__(self, recorder: DittofeedRecorder) -> None:
        self._recorder = recorder

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def recorded(self, request: Request) -> Response:
        parameters = request.query_params
        try:
            since = max(0, int(parameters.get("since", "0")))
            limit = min(max(0, int(parameters.get("limit", str(MAX_PAGE)))), MAX_PAGE)
        except ValueError:
            return JSONResponse({"error": "since and limit are numbers"}, 400)
        page = self._recorder.recorded(parameters.get("workspace", ""), since, limit)
        items = [item.as_json() for item in page]
        return JSONResponse({"items": items, "next": since + len(page)})

    async def summary(self, request: Request) -> Response:
        return JSONResponse(self._recorder.summary())

    async def faults(self, request: Request) -> Response:
        body = FaultsBody.model_validate_json(await request.body())
        if body.replace:
            self._recorder.faults.clear()
        self._recorder.faults.add(body.rules)
        return JSONResponse({"rules": len(self._recorder.faults.fired)})

    async def write_keys(self, request: Request) -> Response:
        body = WriteKeyBody.model_validate_json(await request.body())
        if body.revoke:
            self._recorder.remove_write_keys(body.workspace)
            return JSONResponse({"workspace": body.workspace})
        key = self._recorder.add_write_key(
            body.workspace,
            secret_id=body.secret_id,
            value=body.value,
            is_eligible=body.is_eligible,
        )
        return JSONResponse({**key._asdict(), "authorization": key.authorization})

    async def reset(self, request: Request) -> Response:
        self._recorder.reset()
        return JSONResponse({"status": "ok"})


def _application(recorder: DittofeedRecorder) -> Starlette:
    api, control = _Api(recorder), _Control(recorder)
    return Starlette(
        routes=[
            Route(_BASE + "/{call}", api.ingest, methods=["POST"]),
            Route("/health", control.health),
            Route("/recorded", control.recorded),
            Route("/summary", control.summary),
            Route("/faults", control.faults, methods=["POST"]),
            Route("/write-keys", control.write_keys, methods=["POST"]),
            Route("/reset", control.reset, methods=["POST"]),
        ],
        exception_handlers={ValidationError: _invalid},
    )


def _parse(
    request: Request, call: str, body: bytes
) -> tuple[Response | None, list[dict[str, Any]]]:
    """Turn a request into items, or into the refusal that comes before the write key is read."""
    if call not in (*SINGLE_KINDS, "batch", "alias"):
        return _failure(404, "", "Not Found", f"Route POST:{_BASE}/{call} not found"), []
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        code = "FST_ERR_CTP_INVALID_MEDIA_TYPE"
        text = f"Unsupported Media Type: {content_type}"
        return _failure(415, code, "Unsupported Media Type", text), []
    try:
        content = json.loads(body)
    except ValueError:
        code = "FST_ERR_CTP_INVALID_JSON_BODY"
        return _failure(400, code, "Bad Request", "Body is not valid JSON"), []
    if call == "alias":
        raise ItemInvalid("alias is not supported")
    items = checked_batch(content) if call == "batch" else checked_single(call, content)
    if "authorization" not in request.headers:
        raise ItemInvalid("headers must have required property 'authorization'")
    return None, items


async def _bounded_body(request: Request) -> bytes | None:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > MAX_BODY_BYTES:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return None
    return bytes(body)


async def _until_gone(request: Request) -> None:
    """Stay silent until the client gives up, within a bound."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SILENCE_LIMIT_S):
            while (await request.receive())["type"] != "http.disconnect":
                pass


def _workspace_summary(items: list[RecordedItem]) -> dict[str, Any]:
    unique = {item.item["messageId"] for item in items}
    names = Counter(str(item.item.get("event", item.item["type"])) for item in items)
    return {
        "stored": len(items),
        "unique": len(unique),
        "duplicates": len(items) - len(unique),
        "by_name": dict(names),
    }


def _failure(status: int, code: str, error: str, message: str) -> Response:
    content = {"statusCode": status, "code": code, "error": error, "message": message}
    return JSONResponse(content, status)


def _invalid(request: Request, error: Exception) -> Response:
    details: Any = str(error)
    if isinstance(error, ValidationError):
        details = error.errors(include_url=False, include_context=False, include_input=False)
    return JSONResponse({"errors": details}, 400)


async def _run(arguments: argparse.Namespace) -> None:
    stop = stop_requested()
    async with DittofeedRecorder(port=arguments.port, seed=arguments.seed) as recorder:
        addresses = {"name": "dittofeed-recorder", "url": recorder.url, "control": recorder.url}
        print(json.dumps(addresses), flush=True)
        await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m passferry_testing.dittofeed_recorder")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    uvloop.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
