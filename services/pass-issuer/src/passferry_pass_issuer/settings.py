"""What the pass-issuer reads from its environment; `docs/configuration.md` explains each."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from passferry_runtime.settings import ServiceSettings


class PassIssuerSettings(ServiceSettings):
    #: Encrypts signing keys, tokens and what is personal at rest; of this service alone.
    key_ring_file: Path
    #: Encrypts provider credentials on their way to the notifier, which has the same ring.
    credentials_key_ring_file: Path
    #: Where devices and browsers reach the web service, without a trailing slash.
    public_base_url: str = Field(pattern=r"^https?://[^\s]+$", max_length=300)
    #: PEM files of Apple's WWDR intermediates that upload checks accept.
    wwdr_directory: Path
    google_save_base_url: str = Field(
        default="https://pay.google.com/gp/v/save", pattern=r"^https?://[^\s]+$"
    )
    #: Domains that may show Google's button with our links.
    google_save_origins: list[str] = Field(default_factory=list, max_length=20)
    #: Phones have so long to fetch the last revision of a deleted or erased pass; then its records
    #: are taken back everywhere.
    forget_after_s: int = Field(default=86_400, ge=1, le=2_592_000)
    #: Erased people are known for so long by keyed hashes of their ids, so that nothing older brings
    #: them back: an event waits up to 7 days in its topic, 7 as a dead letter and 7 again when it is
    #: replayed. Files that were sent before an erasure are known for as long as they wait.
    erasures_remembered_days: int = Field(default=30, ge=22, le=365)
    #: Passes that expire, and whatever else the clock decides, are looked for so often.
    time_interval_s: float = Field(default=15.0, gt=0, le=3_600)
    #: Each signs some 4,000 passes a second (RSA-2048) on a core of its own, more than one event
    #: loop asks for; it takes 27 MB.
    signing_processes: int = Field(default=1, ge=1, le=64)
    #: Passes that a new version of a template reaches each second, unless a rollout says otherwise.
    rollout_max_per_second: int = Field(default=200, ge=1, le=10_000)
    #: Of files of passes and of rollouts: how they ended, and what came of each row.
    job_results_kept_days: int = Field(default=30, ge=1, le=365)
    #: Tests need equal serial numbers in two workspaces; nobody else chooses them.
    allow_serial_number_choice: bool = False

    @field_validator("public_base_url", "google_save_base_url")
    @classmethod
    def _without_trailing_slash(cls, value: str) -> str:
        return value.rstrip("/")

    @model_validator(mode="after")
    def _is_fit_for_production(self) -> Self:
        if self.environment != "production":
            return self
        if not self.public_base_url.startswith("https://"):
            raise ValueError("PASSFERRY_PUBLIC_BASE_URL must be https in production")
        if self.allow_serial_number_choice:
            raise ValueError("PASSFERRY_ALLOW_SERIAL_NUMBER_CHOICE is for tests only")
        return self
