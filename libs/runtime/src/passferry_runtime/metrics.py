"""The runtime's own metrics. No label ever names a pass, device, token or event."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

OUTBOX_PUBLISHED = Counter("passferry_outbox_published_total", "Events sent from the outbox")
OUTBOX_OLDEST_UNSENT = Gauge(
    "passferry_outbox_oldest_unsent_timestamp_seconds",
    "When the oldest unsent event was written; 0 when all are sent",
)
OUTBOX_SLOTS = Gauge("passferry_outbox_slots", "Outbox slots that this process owns")
EVENTS_CONSUMED = Counter(
    "passferry_events_consumed_total", "Records finished", ["topic", "group", "result"]
)
CONSUMER_BATCH_RECORDS = Histogram(
    "passferry_consumer_batch_records",
    "Records handled together",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
)
CONSUMER_LAG = Gauge("passferry_consumer_lag_records", "Records not finished yet", ["group"])
CONSUMER_LAST_POLL = Gauge(
    "passferry_consumer_last_poll_timestamp_seconds", "When the consumer last asked for records"
)
CONSUMER_REBALANCES = Counter(
    "passferry_consumer_rebalances_total", "Times that partitions were taken away"
)
DEAD_LETTER_RECORDS = Counter(
    "passferry_dlt_records_total", "Records given up", ["topic", "reason"]
)
PARKED_RECORDS = Gauge("passferry_parked_records", "Records that wait in the database")
AUTHENTICATION_FAILURES = Counter(
    "passferry_authentication_failures_total", "Requests without a valid credential", ["reason"]
)
HTTP_REQUEST_SECONDS = Histogram(
    "passferry_http_request_seconds",
    "Time to answer, by route template",
    ["route", "method", "status_class"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)
EVENT_LOOP_LAG = Gauge("passferry_event_loop_lag_seconds", "How late the event loop's heartbeat is")
BUILD_INFO = Gauge("passferry_build_info", "Always 1", ["service", "version"])


class WorkspaceLabel:
    """Bounds the `workspace_id` label: the first `limit` busy workspaces, the rest `_other`.

    A workspace earns its place by traffic: once full, nobody is thrown out, so that a process
    never shows more than `limit` + 1 values.
    """

    OTHER = "_other"

    def __init__(self, limit: int = 50) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def __call__(self, workspace_id: object) -> str:
        name = str(workspace_id)
        if name in self._known:
            return name
        if len(self._known) < self._limit:
            self._known.add(name)
            return name
        return self.OTHER
