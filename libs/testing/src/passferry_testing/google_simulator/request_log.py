"""What was asked of the simulator, and how: every request, bounded, with totals that are not."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Any

_MAX_REQUESTS = 200_000
_MAX_VIOLATIONS = 1_000


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request. `at` is seconds since the epoch, `call` such as `loyaltyobject.patch`."""

    number: int
    at: float
    method: str
    path: str
    call: str
    issuer_id: str
    status: int
    reason: str
    duration_ms: float


class RequestLog:
    """Requests in arrival order, and each way in which a client broke the contract."""

    def __init__(self) -> None:
        self._requests: deque[LoggedRequest] = deque(maxlen=_MAX_REQUESTS)
        self._violations: deque[str] = deque(maxlen=_MAX_VIOLATIONS)
        self._by_call: Counter[str] = Counter()
        self.total = 0
        self.violation_count = 0

    def add(self, request: LoggedRequest) -> None:
        self.total += 1
        self._requests.append(request)
        self._by_call[f"{request.call} {request.status}"] += 1

    def violate(self, text: str) -> None:
        """Note a breach that the real platform would refuse, or silently drop."""
        self.violation_count += 1
        self._violations.append(text)

    def clear(self) -> None:
        self._requests.clear()
        self._violations.clear()
        self._by_call.clear()
        self.total = self.violation_count = 0

    def since(self, number: int, limit: int) -> list[dict[str, Any]]:
        chosen = [asdict(one) for one in self._requests if one.number > number]
        return chosen[:limit]

    def summary(self) -> dict[str, Any]:
        return {
            "requests": self.total,
            "by_call": dict(sorted(self._by_call.items())),
            "schema_violations": self.violation_count,
            "violations": list(self._violations),
        }
