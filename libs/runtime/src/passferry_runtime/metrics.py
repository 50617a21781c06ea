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
