"""Health routes. Proves J65 for the runtime's part: liveness depends on nothing outside."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from passferry_runtime import health as health_module
from passferry_runtime.health import Health
from passferry_runtime.http import create_app
from passferry_runtime.lifecycle import Check, CheckResult


def check(name: str, result: CheckResult | Exception, *, gates: bool = True) -> Check:
    async def probe() -> CheckResult:
        if isinstance(result, Exception):
            raise result
        return result

    return Check(name=name, probe=probe, gates_readiness=gates)


@asynccontextmanager
async def client_of(health: Health) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(title="Test", version="1", routers=[])
    health.install(app)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


OK = check("postgres", CheckResult("ok"))
DEGRADED = check("apns", CheckResult("degraded", "no credential"), gates=False)
DOWN = check("kafka", CheckResult("down", "not joined"))
BROKEN = check("redis", OSError("redis://user:secret@host"))


@pytest.mark.parametrize(
    ("checks", "ready", "state"),
    [
        ([], 200, "ok"),
        ([OK], 200, "ok"),
        ([OK, DEGRADED], 200, "degraded"),
        ([OK, DOWN], 503, "down"),
        ([OK, BROKEN], 503, "down"),
        ([OK, check("google", CheckResult("down"), gates=False)], 200, "down"),
    ],
)
async def test_readiness_follows_what_gates_it_and_health_names_everything(checks, ready, state):
    # proves: J65
    async with client_of(Health("ledger", checks, is_started=True)) as client:
        readiness = await client.get("/healthz/ready")
        health = await client.get("/health")
        live = await client.get("/healthz/live")
    assert readiness.status_code == ready
    assert health.json()["state"] == state
    assert set(health.json()["checks"]) == {each.name for each in checks}
    assert live.status_code == 200
    assert "secret" not in readiness.text + health.text


async def test_health_tells_state_detail_and_latency_of_each_dependency():
    async with client_of(Health("ledger", [OK, DEGRADED], is_started=True)) as client:
        checks = (await client.get("/health")).json()["checks"]
    assert checks["apns"]["state"] == "degraded"
    assert checks["apns"]["detail"] == "no credential"
    assert checks["postgres"]["latency_ms"] >= 0


async def test_before_the_start_and_while_draining_it_is_alive_and_not_ready():
    health = Health("ledger", [OK])
    async with client_of(health) as client:
        starting = [(await client.get(f"/healthz/{name}")).status_code for name in STAGES]
        health.is_started = True
        started = [(await client.get(f"/healthz/{name}")).status_code for name in STAGES]
        health.is_draining = True
        draining = [(await client.get(f"/healthz/{name}")).status_code for name in STAGES]
    assert (starting, started, draining) == ([503, 503, 200], [200, 200, 200], [200, 503, 200])


STAGES = ("startup", "ready", "live")


async def test_a_dependency_that_hangs_is_down_after_a_bounded_time(monkeypatch):
    monkeypatch.setattr(health_module, "PROBE_TIMEOUT_S", 0.05)

    async def hang() -> CheckResult:
        await asyncio.sleep(60)
        return CheckResult("ok")

    async with client_of(
        Health("ledger", [Check(name="slow", probe=hang)], is_started=True)
    ) as client:
        started_at = time.monotonic()
        response = await client.get("/healthz/ready")
    assert response.status_code == 503
    assert response.json()["checks"]["slow"]["detail"].startswith("no answer within")
    assert time.monotonic() - started_at < 2


async def test_a_heartbeat_that_stopped_is_not_alive(monkeypatch):
    health = Health("ledger", [])
    beating = asyncio.create_task(health.beat())
    await asyncio.sleep(0)
    assert health.is_alive
    beating.cancel()
    health._beat_at -= health_module.HEARTBEAT_LIMIT_S + 1
    async with client_of(health) as client:
        assert (await client.get("/healthz/live")).status_code == 503


async def test_metrics_are_served_as_text_for_prometheus():
    async with client_of(Health("ledger", [])) as client:
        response = await client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    assert 'passferry_authentication_failures_total{reason="invalid"}' in response.text
