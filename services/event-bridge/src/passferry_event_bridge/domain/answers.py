"""What a sink's answer means for the events that it was sent."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

RETRY_FIRST_S = 0.5
RETRY_LONGEST_S = 60.0
RETRY_AFTER_LONGEST_S = 300.0
_PASSING = frozenset({408, 410, 429, 460})
#: Of the 5xx, what no later attempt would change.
_LASTING = frozenset({501, 505})


class Verdict(Enum):
    ACCEPTED = "accepted"
    #: At least one event is not to its liking: find it, the others must not suffer.
    BAD_EVENT = "bad_event"
    TOO_LARGE = "too_large"
    RETRY = "retry"
    #: The sink itself is at fault: keep its events until somebody has seen to it.
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Answer:
    """Of one request. `reason` is a code such as `credential_refused` or `status_503`."""

    verdict: Verdict
    reason: str = ""
    #: What the sink asked for, in seconds, bounded.
    retry_after_s: float | None = None


def answer_of(status: int, retry_after: str | None = None) -> Answer:
    """From an HTTP status and its `Retry-After` header."""
    if 200 <= status <= 299:
        return Answer(Verdict.ACCEPTED)
    if status == 400:
        return Answer(Verdict.BAD_EVENT, "sink_refused")
    if status in {401, 403}:
        return Answer(Verdict.STOP, "credential_refused")
    if status == 413:
        return Answer(Verdict.TOO_LARGE, "sink_says_too_large")
    if status in _PASSING or (500 <= status <= 599 and status not in _LASTING):
        return Answer(Verdict.RETRY, f"status_{status}", _seconds(retry_after))
    # Redirects too: they are not followed. Neither retrying nor giving events up would be right.
    return Answer(Verdict.STOP, f"status_{status}")


def retry_delay_s(failures: int, *, answer: Answer, jitter: float) -> float:
    """Before the next attempt, after `failures` >= 1; the first comes at once.

    `jitter` is of 0..1. What the sink asked for counts, unless our own wait is longer.
    """
    own_s = 0.0
    if failures > 1:
        longest = min(RETRY_FIRST_S * 2.0 ** min(failures - 2, 20), RETRY_LONGEST_S)
        own_s = longest * (0.5 + jitter / 2)
    return max(own_s, answer.retry_after_s or 0.0)


def _seconds(retry_after: str | None) -> float | None:
    # Only seconds: a date would trust the sink's clock.
    text = (retry_after or "").strip()
    if not (text.isascii() and text.isdigit()):
        return None
    return min(float(text[:6]), RETRY_AFTER_LONGEST_S)
