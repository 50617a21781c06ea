"""The runtime's own metrics. No label ever names a pass, device, token or event."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

OUTBOX_PUBLISHED = Counter("passferry_outbox_published_total", "Events that Kafka acknowledged")
OUTBOX_OLDEST_UNSENT = Gauge(
    "passferry_outbox_oldest_unsent_timestamp_seconds",
    "When the oldest unsent event was written; 0 when all are sent",
)
OUTBOX_SLOTS = Gauge("passferry_outbox_slots", "Outbox slots that this process owns")
EVENTS_CONSUMED = Counter(
    "passferry_events_consumed_total",
    "Records finished: done, parked or dead_letter",
    ["topic", "group", "result"],
)
CONSUMER_BATCH_RECORDS = Histogram(
    "passferry_consumer_batch_records",
    "Records of one topic handled by one call",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
)
CONSUMER_LAG = Gauge(
    "passferry_consumer_lag_records", "Records of the owned partitions not finished yet", ["group"]
)
CONSUMER_LAST_POLL = Gauge(
    "passferry_consumer_last_poll_timestamp_seconds", "When the consumer last asked for records"
)
CONSUMER_REBALANCES = Counter(
    "passferry_consumer_rebalances_total", "Times that partitions were taken away"
)
DEAD_LETTER_RECORDS = Counter(
    "passferry_dlt_records_total",
    "Records given up, by topic of origin and code",
    ["topic", "reason"],
)
PARKED_RECORDS = Gauge(
    "passferry_parked_records", "Parked records of the owned partitions, which wait in the database"
)
AUTHENTICATION_FAILURES = Counter(
    "passferry_authentication_failures_total", "Requests refused with 401", ["reason"]
)
for _reason in ("missing", "invalid"):
    AUTHENTICATION_FAILURES.labels(reason=_reason)
HTTP_REQUEST_SECONDS = Histogram(
    "passferry_http_request_seconds",
    "Time to answer, by route template",
    ["route", "method", "status_class"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)
EVENT_LOOP_LAG = Gauge("passferry_event_loop_lag_seconds", "How late the event loop's heartbeat is")
BUILD_INFO = Gauge("passferry_build_info", "Always 1", ["service", "version"])


class WorkspaceLabel:
    """Bounds the `workspace_id` label: the `limit` busiest workspaces, the rest are `_other`.

    `metrics` are those that carry the label. When a workspace has twice the traffic of the
    quietest one shown, it takes its place, and the other's series are removed from `metrics`; so
    a process never shows more than `limit` + 1 values. Without `metrics` nothing could be
    removed, and the first `limit` workspaces keep their places. A `limit` of 0 names nobody.
    """

    OTHER = "_other"
    #: How many workspaces that are not shown are counted at one time.
    MAX_COUNTED = 1_000
    #: How often a workspace is compared with those shown, in its own observations.
    COMPARE_EVERY = 100
    #: After so many observations all counts are halved, so that yesterday's traffic fades.
    HALVE_EVERY = 100_000

    def __init__(self, limit: int = 50, *, metrics: Sequence[MetricWrapperBase] = ()) -> None:
        self._limit = limit
        self._metrics = tuple(metrics)
        self._shown: dict[str, int] = {}
        self._counted: dict[str, int] = {}
        self._observations = 0

    def __call__(self, workspace_id: object) -> str:
        name = str(workspace_id)
        self._age()
        if name in self._shown or len(self._shown) < self._limit:
            self._shown[name] = self._shown.get(name, 0) + 1
            return name
        return self._count(name) if self._metrics and self._shown else self.OTHER

    def _count(self, name: str) -> str:
        if name not in self._counted and len(self._counted) >= self.MAX_COUNTED:
            # Take one from everybody (Misra and Gries): the frequent ones stay.
            self._counted = {each: count - 1 for each, count in self._counted.items() if count > 1}
            return self.OTHER
        count = self._counted[name] = self._counted.get(name, 0) + 1
        if count % self.COMPARE_EVERY:
            return self.OTHER
        quietest = min(self._shown, key=self._shown.__getitem__)
        if count < 2 * self._shown[quietest]:
            return self.OTHER
        self._counted[quietest] = self._shown.pop(quietest)
        self._shown[name] = self._counted.pop(name)
        for metric in self._metrics:
            metric.remove_by_labels({"workspace_id": quietest})
        return name

    def _age(self) -> None:
        self._observations += 1
        if self._observations % self.HALVE_EVERY == 0:
            self._shown = {name: count // 2 for name, count in self._shown.items()}
            self._counted = {
                name: half for name, count in self._counted.items() if (half := count // 2)
            }
