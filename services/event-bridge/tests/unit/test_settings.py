"""What the consumer is by default. proves: J39"""

from __future__ import annotations

from pathlib import Path

from passferry_event_bridge.settings import BridgeSettings
from passferry_runtime.kafka.settings import kafka_settings


def test_the_group_and_its_times_are_as_agreed() -> None:
    settings = BridgeSettings.model_validate(
        {"key_ring_file": Path("ring"), "kafka_brokers": "k:9092", "database_url": "postgres://"}
    )
    kafka = kafka_settings(settings, "event-bridge")
    assert settings.consumer_group == "dittofeed-pass-bridge"
    assert (kafka.session_timeout_ms, kafka.heartbeat_interval_ms) == (30_000, 3_000)
    assert settings.sink_allowed_hosts == []
