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
