"""Every metric of this service."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

EVENTS_TAKEN = Counter(
    "passferry_bridge_events_taken_total", "Events taken in, by outcome", ["outcome"]
)
EVENTS_FORWARDED = Counter(
    "passferry_bridge_events_forwarded_total", "Events that a sink accepted", ["topic"]
)
EVENTS_GIVEN_UP = Counter(
    "passferry_bridge_events_given_up_total", "Events that a sink refused alone", ["reason"]
)
SINK_REQUEST_SECONDS = Histogram(
    "passferry_bridge_sink_request_seconds",
    "From a request to a sink to the end of its answer",
    ["profile", "outcome"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
SINKS_STOPPED = Gauge(
    "passferry_bridge_sinks_stopped", "Sinks that a refusal stopped, until somebody resumes them"
)
SINKS_WAITING = Gauge("passferry_bridge_sinks_waiting", "Sinks for which events wait")
