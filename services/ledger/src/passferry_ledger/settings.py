"""Settings of the ledger, beside those that all services have."""

from __future__ import annotations

from pydantic import Field

from passferry_runtime.settings import ServiceSettings


class LedgerSettings(ServiceSettings):
    #: Commands by HTTP share transactions: this many transactions at once, of at most so many.
    command_lanes: int = Field(default=4, ge=1, le=32)
    command_batch: int = Field(default=128, ge=1, le=256)
    #: Beyond this many waiting per lane, callers get 503.
    command_queue: int = Field(default=2_048, ge=1, le=100_000)
    #: How often lapsed points, holds and tiers are looked for.
    time_interval_s: float = Field(default=30.0, ge=1.0, le=3_600.0)
    #: How often entries are sealed, and how long they rest before.
    sealing_interval_s: float = Field(default=5.0, ge=1.0, le=3_600.0)
    sealing_delay_s: float = Field(default=30.0, ge=0.0, le=3_600.0)
