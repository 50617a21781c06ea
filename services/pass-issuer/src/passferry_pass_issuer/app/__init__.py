"""Builds the pass-issuer: the one place that knows which adapter serves which port."""

from __future__ import annotations

from passferry_pass_issuer.app.api import build_administrator, build_api
from passferry_pass_issuer.app.commands import (
    create_administrator,
    new_lookup_key,
    rewrap_secrets,
)
from passferry_pass_issuer.app.credentials import (
    build_new_lookup_key,
    build_rewrap,
    expiry_rounds,
)
from passferry_pass_issuer.app.jobs import build_job_runner
from passferry_pass_issuer.app.parts import Stores, Surroundings
from passferry_pass_issuer.app.press import CONSUMER_GROUP, Press, open_press
from passferry_pass_issuer.app.service import ROUTERS, service

__all__ = [
    "CONSUMER_GROUP",
    "ROUTERS",
    "Press",
    "Stores",
    "Surroundings",
    "build_administrator",
    "build_api",
    "build_job_runner",
    "build_new_lookup_key",
    "build_rewrap",
    "create_administrator",
    "expiry_rounds",
    "new_lookup_key",
    "open_press",
    "rewrap_secrets",
    "service",
]
