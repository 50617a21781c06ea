"""Every metric of the pass-issuer. No label ever names a pass, serial number, device or token."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

PASSES_ISSUED = Counter(
    "passferry_passes_issued_total", "Passes asked for, by what came of it", ["outcome"]
)
CREDENTIAL_FINDINGS = Gauge(
    "passferry_credential_findings",
    "Missing, expired or soon expiring credentials of published templates, as of the last probe",
)
SIGNING_IDENTITY_DAYS_LEFT = Gauge(
    "passferry_signing_identity_days_left",
    "Days until the first needed certificate expires; 0 too when there is none yet",
)
CERTIFICATE_DAYS_LEFT = Gauge(
    "passferry_certificate_days_to_expiry",
    "Days until an active certificate expires: the 100 that end first, of those within 90 days;"
    " told by the replica whose turn it is",
    ["workspace_id", "signing_identity_id"],
)
REVISIONS = Counter(
    "passferry_issuer_revisions_total",
    "Changes drawn: raised a revision, or unchanged",
    ["outcome"],
)
UNSIGNED_REVISIONS = Counter(
    "passferry_unsigned_revisions_total",
    "Revisions made without a signature, because no identity can sign them",
)
SIGNING_PROCESSES_ENDED = Counter(
    "passferry_issuer_signing_processes_ended_total",
    "Signing processes that ended although nobody asked them to; each is started again when needed",
)
PASS_EVENTS = Counter(
    "passferry_issuer_pass_events_total",
    "Events about passes: new, or old because a newer version was applied",
    ["event_type", "result"],
)
TIME_DUTIES = Counter(
    "passferry_issuer_time_duties_total",
    "What was done without an order: passes expired, ended by rules or taken back, pages of holders",
    ["duty"],
)
TIME_DUTY_FAILURES = Gauge(
    "passferry_issuer_time_duty_failures",
    "Passes and holders that the last round of the upkeep left for the next, because they failed",
    ["duty"],
)
OLDEST_MOVING_REISSUE = Gauge(
    "passferry_issuer_oldest_moving_reissue_timestamp_seconds",
    "When the reissue that waits the longest for the ledger's answer was ordered; 0 when none waits",
)
MESSAGES = Counter(
    "passferry_issuer_messages_total", "Messages asked for, by what came of them", ["outcome"]
)
ENROLMENTS = Counter(
    "passferry_issuer_enrolments_total", "Claim codes answered, by outcome", ["outcome"]
)
INBOUND_EVENTS = Counter(
    "passferry_inbound_events_total", "Upstream events", ["event_type", "result"]
)
INBOUND_SIGNATURES = Counter(
    "passferry_inbound_signatures_total",
    "Signatures of upstream events of workspaces that have a secret; a missing one is invalid",
    ["result"],
)
COALESCED_CHANGES = Counter(
    "passferry_issuer_coalesced_changes_total",
    "Changes that share a revision with an earlier change of their pass",
)
REVISION_BATCH_PASSES = Histogram(
    "passferry_issuer_revision_batch_passes",
    "Passes rendered and stored by one statement",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128),
)
RENDER_SECONDS = Histogram(
    "passferry_issuer_render_seconds",
    "Drawing the passes of one batch, without signatures",
    buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25),
)
SIGN_SECONDS = Histogram(
    "passferry_issuer_sign_seconds",
    "Signing the manifests of one batch, with the wait for a signing process",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0),
)
JOB_ROWS = Counter(
    "passferry_issuer_job_rows_total",
    "Rows of files and passes of rollouts, by what came of them",
    ["kind", "outcome"],
)
JOB_STEP_FAILURES = Counter(
    "passferry_issuer_job_step_failures_total",
    "Steps of background work that were undone, and are tried again",
)
