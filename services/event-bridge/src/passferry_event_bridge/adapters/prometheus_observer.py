"""Tells the metrics what happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from passferry_event_bridge import metrics
from passferry_event_bridge.application.ports import PendingEvent


class PrometheusObserver:
    def taken(self, outcome: str, number: int) -> None:
        metrics.EVENTS_TAKEN.labels(outcome=outcome).inc(number)

    def answered(self, profile: str, outcome: str, seconds: float) -> None:
        metrics.SINK_REQUEST_SECONDS.labels(profile=profile, outcome=outcome).observe(seconds)

    def forwarded(self, events: Sequence[PendingEvent]) -> None:
        for topic, number in Counter(event.record.topic for event in events).items():
            metrics.EVENTS_FORWARDED.labels(topic=topic).inc(number)

    def gave_up(self, code: str) -> None:
        metrics.EVENTS_GIVEN_UP.labels(reason=code).inc()

    def stopped_sinks(self, number: int) -> None:
        metrics.SINKS_STOPPED.set(number)

    def waiting(self, number: int) -> None:
        metrics.SINKS_WAITING.set(number)
