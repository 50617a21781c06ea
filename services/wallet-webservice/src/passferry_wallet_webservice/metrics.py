"""Every metric of this service."""

from __future__ import annotations

from prometheus_client import Counter

REVISIONS = Counter(
    "passferry_revisions_total",
    "Revisions received: published, enriched, waiting or ignored",
    ["outcome"],
)
DEVICE_REQUESTS = Counter(
    "passferry_device_requests_total", "Answers on the device routes", ["route", "status"]
)
LINK_VISITS = Counter("passferry_link_visits_total", "Public links opened", ["platform", "result"])
GOOGLE_CALLBACKS = Counter(
    "passferry_google_callbacks_total",
    "Google's callbacks: refused, or what became of them",
    ["result"],
)
DEVICE_LOG_LINES = Counter(
    "passferry_device_log_lines_total",
    "Lines that devices reported to /v1/log: kept, or dropped in a flood",
    ["result"],
)
