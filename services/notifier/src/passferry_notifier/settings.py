"""Settings of the notifier."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from passferry_runtime.settings import ServiceSettings


class NotifierSettings(ServiceSettings):
    """The two key rings open provider credentials and push tokens."""

    credentials_key_ring_file: Path
    push_token_key_ring_file: Path

    apns_base_url: str = "https://api.push.apple.com"
    #: Trusted instead of the usual roots; for tests and the demo.
    apns_ca_file: Path | None = None
    apns_in_flight_per_credential: int = Field(default=200, ge=1, le=1_000)
    apns_in_flight_total: int = Field(default=2_000, ge=1, le=20_000)
    #: A device is not rung for one pass type more often than this.
    ring_interval_s: float = Field(default=0.5, ge=0, le=60)

    google_base_url: str = "https://walletobjects.googleapis.com"
    google_requests_per_second: float = Field(default=20.0, gt=0, le=1_000)

    delivery_lease_s: float = Field(default=15.0, ge=1, le=300)
    delivery_max_attempts: int = Field(default=12, ge=1, le=100)
    delivery_max_age_s: float = Field(default=86_400.0, ge=1)
    delivery_first_retry_s: float = Field(default=0.5, gt=0, le=60)
    delivery_retention_days: int = Field(default=7, ge=1, le=90)
    #: How many workspaces metrics show by name; the rest are `_other`.
    metrics_workspace_limit: int = Field(default=50, ge=0, le=1_000)
