"""What phones saw of a web service: statuses, durations and whatever was not as it should be."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Exchange = Literal["link", "register", "unregister", "list", "fetch", "log"]

_MAX_DURATIONS = 200_000
_MAX_ANOMALIES = 10_000


@dataclass
class PhoneStatistics:
    """Totals over one phone or, shared, over a fleet. Durations in milliseconds."""

    statuses: Counter[tuple[Exchange, int]] = field(default_factory=Counter)
    durations_ms: dict[Exchange, deque[float]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=_MAX_DURATIONS))
    )
    #: Exchanges that ended without an answer: refused, cut or timed out.
    transport_failures: Counter[Exchange] = field(default_factory=Counter)
    anomalies: deque[str] = field(default_factory=lambda: deque(maxlen=_MAX_ANOMALIES))
    anomaly_count: int = 0
    rings: int = 0
    coalesced_rings: int = 0

    def answered(self, exchange: Exchange, status: int, duration_ms: float) -> None:
        self.statuses[exchange, status] += 1
        self.durations_ms[exchange].append(duration_ms)

    def anomaly(self, text: str) -> None:
        self.anomaly_count += 1
        self.anomalies.append(text)

    def summary(self) -> dict[str, Any]:
        """Totals in JSON's terms, with p50, p95 and p99 by kind of exchange."""
        return {
            "statuses": {
                f"{exchange} {status}": count
                for (exchange, status), count in sorted(self.statuses.items())
            },
            "duration_ms": {
                exchange: dict(zip(("p50", "p95", "p99"), percentiles(list(taken)), strict=True))
                for exchange, taken in self.durations_ms.items()
            },
            "transport_failures": dict(self.transport_failures),
            "rings": self.rings,
            "coalesced_rings": self.coalesced_rings,
            "anomaly_count": self.anomaly_count,
            "anomalies": list(self.anomalies),
        }


def percentiles(
    values: Sequence[float], points: Sequence[float] = (0.5, 0.95, 0.99)
) -> list[float]:
    """The nearest-rank percentiles; zeros when there are no values."""
    if not values:
        return [0.0] * len(points)
    ordered = sorted(values)
    return [round(ordered[min(len(ordered) - 1, int(point * len(ordered)))], 3) for point in points]
