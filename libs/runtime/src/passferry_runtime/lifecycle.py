"""What a service is made of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from fastapi import FastAPI


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """`run` works until `stop` asks it to drain and return."""

    name: str
    run: Callable[[], Awaitable[None]]
    stop: Callable[[], None]


@dataclass(frozen=True, slots=True)
class CheckResult:
    state: Literal["ok", "degraded", "down"]
    detail: str = ""
    latency_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    name: str
    probe: Callable[[], Awaitable[CheckResult]]
    gates_readiness: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    name: str
    http: FastAPI
    workers: Sequence[Worker]
    checks: Sequence[Check]
