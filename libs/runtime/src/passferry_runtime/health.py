"""Health routes and `/metrics`. Liveness depends on nothing but this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from passferry_runtime.lifecycle import Check, CheckResult
from passferry_runtime.metrics import EVENT_LOOP_LAG

HEARTBEAT_INTERVAL_S = 0.5
HEARTBEAT_LIMIT_S = 10.0
PROBE_TIMEOUT_S = 5.0


@dataclass(slots=True)
class Health:
    """The state that the health routes show."""

    service: str
    checks: Sequence[Check]
    is_started: bool = False
    is_draining: bool = False
    _beat_at: float = field(default_factory=time.monotonic)

    async def beat(self) -> None:
        """Keep the heartbeat of the event loop until cancelled."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(HEARTBEAT_INTERVAL_S)
            self._beat_at = time.monotonic()
            EVENT_LOOP_LAG.set(max(0.0, self._beat_at - before - HEARTBEAT_INTERVAL_S))

    @property
    def is_alive(self) -> bool:
        return time.monotonic() - self._beat_at < HEARTBEAT_LIMIT_S

    async def probe(self) -> dict[str, CheckResult]:
        results = await asyncio.gather(*(_probe(check) for check in self.checks))
        return {check.name: result for check, result in zip(self.checks, results, strict=True)}

    def install(self, app: FastAPI) -> None:
        app.add_route("/healthz/startup", self._startup)
        app.add_route("/healthz/live", self._live)
        app.add_route("/healthz/ready", self._ready)
        app.add_route("/health", self._health)
        app.add_route("/metrics", _metrics)

    async def _startup(self, request: Request) -> Response:
        return _answer({"service": self.service, "started": self.is_started}, self.is_started)

    async def _live(self, request: Request) -> Response:
        return _answer({"service": self.service, "alive": self.is_alive}, self.is_alive)

    async def _ready(self, request: Request) -> Response:
        results = await self.probe()
        gating = {check.name for check in self.checks if check.gates_readiness}
        is_ready = self.is_started and not self.is_draining
        is_ready = is_ready and all(results[name].state != "down" for name in gating)
        return _answer(self._body(results) | {"ready": is_ready}, is_ready)

    async def _health(self, request: Request) -> Response:
        results = await self.probe()
        states = {result.state for result in results.values()}
        overall = "down" if "down" in states else "degraded" if "degraded" in states else "ok"
        return _answer(self._body(results) | {"state": overall}, overall != "down")

    def _body(self, results: dict[str, CheckResult]) -> dict[str, Any]:
        return {
            "service": self.service,
            "draining": self.is_draining,
            "checks": {
                name: {
                    "state": result.state,
                    "detail": result.detail,
                    "latency_ms": result.latency_ms,
                }
                for name, result in results.items()
            },
        }


async def _probe(check: Check) -> CheckResult:
    started_at = time.monotonic()
    try:
        result = await asyncio.wait_for(check.probe(), PROBE_TIMEOUT_S)
    except TimeoutError:
        return CheckResult("down", f"no answer within {PROBE_TIMEOUT_S:.0f} s")
    except Exception as error:
        return CheckResult("down", type(error).__name__)
    latency_ms = round((time.monotonic() - started_at) * 1000, 2)
    return CheckResult(result.state, result.detail, latency_ms)


def _answer(body: dict[str, Any], is_good: bool) -> Response:
    headers = {"Cache-Control": "no-store"}
    return JSONResponse(body, status_code=200 if is_good else 503, headers=headers)


async def _metrics(request: Request) -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
