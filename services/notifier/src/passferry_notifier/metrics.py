"""Every metric of this service. No label ever names a pass, device or token."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

NOTIFICATIONS_SENT = Counter(
    "pass_notifications_sent_total",
    "Deliveries that the provider accepted",
    ["workspace_id", "channel", "notification_type"],
)
DELIVERY_DURATION = Histogram(
    "pass_notification_delivery_duration_seconds",
    "From the delivery's making to the provider's answer",
    ["workspace_id", "channel"],
    buckets=(0.1, 0.5, 1, 2, 5, 10),
)
DEVICE_REGISTRATIONS = Counter(
    "pass_device_registrations_total",
    "Registrations heard from the web service",
    ["workspace_id", "device_type"],
)
EVENT_TO_PUSH = Histogram(
    "passferry_event_to_push_seconds",
    "From the commit of what changed the pass to the provider's answer",
    ["channel", "event_type"],
    buckets=(0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2.5, 5, 10, 30, 60, 300),
)
CLOCK_SKEW = Counter(
    "passferry_clock_skew_total", "Deliveries whose cause lies in the future; counted as 0 s"
)
DELIVERIES = Counter(
    "passferry_deliveries_total", "Deliveries by outcome of the attempt", ["channel", "outcome"]
)
DELIVERIES_COALESCED = Counter(
    "passferry_deliveries_coalesced_total", "Deliveries that a newer one stood for", ["channel"]
)
DELIVERIES_HELD = Gauge(
    "passferry_deliveries_held",
    "Deliveries held in memory, as of the last health probe",
    ["channel"],
)
CREDENTIALS_PAUSED = Gauge(
    "passferry_credentials_paused",
    "Credentials that the provider refuses, as of the last health probe",
    ["channel"],
)
CREDENTIALS_MISSING = Gauge(
    "passferry_credentials_missing",
    "Credentials that deliveries wait for, as of the last health probe",
    ["channel"],
)
GOOGLE_CLASSES_WAITING = Gauge(
    "passferry_google_classes_waiting",
    "Classes that Google lacks for want of a credential that works, as of the last health probe",
)
APNS_RESPONSES = Counter(
    "passferry_apns_responses_total",
    "Answers of APNs; an unknown reason is other",
    ["status", "reason"],
)
APNS_REQUEST_SECONDS = Histogram(
    "passferry_apns_request_seconds",
    "From a push to its answer, over an open connection or a new one",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
APNS_TOKENS_RETIRED = Counter(
    "passferry_apns_tokens_retired_total", "Push tokens that APNs says are gone"
)
GOOGLE_REQUESTS = Counter(
    "passferry_google_requests_total",
    "Requests to Google Wallet; status none: no answer",
    ["method", "status"],
)
GOOGLE_QUOTA_WAIT = Histogram(
    "passferry_google_quota_wait_seconds",
    "Wait for the quota of a credential",
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 30),
)
GOOGLE_TOKEN_REFRESHES = Counter(
    "passferry_google_token_refresh_total", "Access tokens asked for, by status", ["result"]
)
DEVICE_CACHE_REQUESTS = Counter(
    "passferry_device_cache_requests_total",
    "Lookups of push tokens in Redis: hit, miss or error",
    ["result"],
)

for _result in ("hit", "miss", "error"):
    DEVICE_CACHE_REQUESTS.labels(result=_result)
for _channel in ("apple_wallet", "google_wallet"):
    DELIVERIES_COALESCED.labels(channel=_channel)
    CREDENTIALS_PAUSED.labels(channel=_channel)
    CREDENTIALS_MISSING.labels(channel=_channel)
