"""Every metric of the pass-issuer. No label ever names a pass, serial number, device or token."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

PASSES_ISSUED = Counter(
    "passferry_passes_issued_total", "Passes asked for, by what came of it", ["outcome"]
)
CREDENTIAL_FINDINGS = Gauge(
    "passferry_credential_findings",
    "Missing, expired or soon expiring credentials that published templates need",
)
SIGNING_IDENTITY_DAYS_LEFT = Gauge(
    "passferry_signing_identity_days_left", "Days until the first needed certificate expires"
)
REVISIONS = Counter("passferry_issuer_revisions_total", "Changes drawn, by outcome", ["outcome"])
UNSIGNED_REVISIONS = Counter(
    "passferry_unsigned_revisions_total", "Revisions that lack a signing identity"
)
PASS_EVENTS = Counter(
    "passferry_issuer_pass_events_total", "Events about passes", ["event_type", "result"]
)
INBOUND_EVENTS = Counter(
    "passferry_inbound_events_total", "Upstream events", ["event_type", "result"]
)
