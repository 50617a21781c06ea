"""The simulator's control port: what it has seen, and how it is steered, as JSON."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from passferry_testing.apns_simulator.apns_faults import ApnsFault
from passferry_testing.faults import MAX_RULES

if TYPE_CHECKING:
    from passferry_testing.apns_simulator.simulator import ApnsSimulator

MAX_PAGE = 10_000
HEARTBEAT_S = 5.0
Body = TypeVar("Body", bound=BaseModel)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FaultsBody(_Body):
    """New rules are added; with `replace` the old ones go first."""

    rules: Annotated[list[ApnsFault], Field(max_length=MAX_RULES)] = []
    replace: bool = False
    goaway_every_s: Annotated[float, Field(gt=0)] | None = None


class ProviderKeyBody(_Body):
    team_identifier: str
    key_id: str
    public_key_pem: str
    topics: list[str]
    environment: str = "production"


class DeviceBody(_Body):
    """A state of one token; `topic` registers it, `gone` makes it answer 410."""

    token: str
    topic: str | None = None
    online: bool | None = None
    gone: bool = False
    timestamp_ms: int | None = None
    reason: str = "Unregistered"


class DevicesBody(_Body):
    devices: Annotated[list[DeviceBody], Field(max_length=MAX_PAGE)] = []
    strict: bool | None = None


class ConnectionsBody(_Body):
    goaway: bool = False
    cut: bool = False
    reason: str | None = None
    max_concurrent_streams: Annotated[int, Field(ge=0)] | None = None
    revoke_certificate: str | None = None


class DumpBody(_Body):
    path: Path


def control_app(apns: "ApnsSimulator") -> Starlette:
    control = _Control(apns)
    return Starlette(
        routes=[
            Route("/health", control.health),
            Route("/pushes", control.pushes),
            Route("/summary", control.summary),
            Route("/deliveries/stream", control.deliveries),
            Route("/faults", control.faults, methods=["POST"]),
            Route("/provider-keys", control.provider_keys, methods=["POST"]),
            Route("/devices", control.devices, methods=["POST"]),
            Route("/connections", control.connections, methods=["POST"]),
            Route("/dump", control.dump, methods=["POST"]),
            Route("/reset", control.reset, methods=["POST"]),
        ],
        exception_handlers={ValidationError: _invalid},
    )


class _Control:
    def __init__(self, apns: "ApnsSimulator") -> None:
        self._apns = apns

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def summary(self, request: Request) -> Response:
        return JSONResponse(self._apns.summary())

    async def pushes(self, request: Request) -> Response:
        """Accepted pushes from number `since` on, at most `limit`; go on from `next`."""
        try:
            since = int(request.query_params.get("since", "0"))
            limit = int(request.query_params.get("limit", str(MAX_PAGE)))
        except ValueError:
            return JSONResponse({"error": "since and limit are numbers"}, 400)
        page = self._apns.journal.since(since, min(max(limit, 0), MAX_PAGE))
        following = page[-1].number + 1 if page else since
        return JSONResponse({"pushes": [push._asdict() for push in page], "next": following})

    async def deliveries(self, request: Request) -> Response:
        """Every ring as a line of JSON, for as long as the reader stays; blank lines keep alive."""
        return StreamingResponse(self._ring_lines(), media_type="application/x-ndjson")

    async def _ring_lines(self) -> AsyncIterator[str]:
        with self._apns.devices.subscribe() as subscription:
            yield "\n"
            while (batch := await subscription.next_batch(HEARTBEAT_S)) is not None:
                yield "".join(json.dumps(ring._asdict()) + "\n" for ring in batch) or "\n"

    async def faults(self, request: Request) -> Response:
        body = await _read(request, FaultsBody)
        if body.replace:
            self._apns.faults.clear()
        self._apns.faults.add(body.rules)
        if body.replace or body.goaway_every_s is not None:
            self._apns.go_away_every(body.goaway_every_s)
        return JSONResponse({"rules": len(self._apns.faults.fired)})

    async def provider_keys(self, request: Request) -> Response:
        body = await _read(request, ProviderKeyBody)
        try:
            self._apns.register_provider_key(
                body.team_identifier,
                body.key_id,
                body.public_key_pem.encode(),
                body.topics,
                environment=body.environment,
            )
        except (ValueError, TypeError) as error:
            return JSONResponse({"error": str(error)}, 400)
        return JSONResponse({"key_id": body.key_id})

    async def devices(self, request: Request) -> Response:
        body = await _read(request, DevicesBody)
        directory = self._apns.devices
        if body.strict is not None:
            directory.strict = body.strict
        for device in body.devices:
            if device.topic is not None:
                directory.register(device.token, device.topic)
            if device.gone:
                directory.unregister(
                    device.token, timestamp_ms=device.timestamp_ms, reason=device.reason
                )
            if device.online is not None:
                directory.set_online(device.token, device.online)
        return JSONResponse({"devices": len(body.devices)})

    async def connections(self, request: Request) -> Response:
        body = await _read(request, ConnectionsBody)
        touched = 0
        if body.max_concurrent_streams is not None:
            self._apns.change_max_concurrent_streams(body.max_concurrent_streams)
        if body.revoke_certificate is not None:
            self._apns.revoke_certificate(body.revoke_certificate)
        if body.goaway:
            touched = self._apns.go_away(body.reason)
        if body.cut:
            touched = self._apns.cut_connections()
        return JSONResponse({"connections": touched})

    async def dump(self, request: Request) -> Response:
        body = await _read(request, DumpBody)
        return JSONResponse({"written": self._apns.journal.dump(body.path)})

    async def reset(self, request: Request) -> Response:
        self._apns.reset()
        return JSONResponse({"status": "ok"})


async def _read(request: Request, model: type[Body]) -> Body:
    return model.model_validate_json(await request.body() or b"{}")


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, ValidationError)
    details: list[Any] = error.errors(include_url=False, include_context=False, include_input=False)
    return JSONResponse({"errors": details}, 400)
