"""When a delivery that failed for a passing reason is tried again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

MAX_RETRY_AFTER_S = 3_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential back-off with full jitter on its upper half, bounded by attempts and age."""

    first_s: float = 0.5
    longest_s: float = 300.0
    max_attempts: int = 12
    max_age_s: float = 86_400.0

    def is_exhausted(self, attempts: int, created_at: datetime, now: datetime) -> bool:
        age_s = (now - created_at).total_seconds()
        return attempts >= self.max_attempts or age_s >= self.max_age_s

    def delay_s(self, attempts: int, chance: float, retry_after_s: float | None = None) -> float:
        """Seconds until the next attempt after `attempts` (>= 1); `chance` is in [0, 1)."""
        backoff: float = min(self.longest_s, self.first_s * 2 ** min(attempts - 1, 30))
        jittered = backoff * (0.5 + chance / 2)
        if retry_after_s is None:
            return jittered
        # Those who were told the same moment should not all come back at it.
        return min(MAX_RETRY_AFTER_S, retry_after_s) + jittered * 0.1
