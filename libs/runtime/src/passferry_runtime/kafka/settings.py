"""What a Kafka client of a service needs to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSettings:
    brokers: str
    client_id: str
    group_prefix: str = ""
    #: Before every topic's name, so that installations can share a cluster.
    topic_prefix: str = ""
    group_instance_id: str | None = None
    session_timeout_ms: int = 30_000
    heartbeat_interval_ms: int = 3_000
    rebalance_timeout_ms: int = 60_000
    #: A parked record is dead-lettered after this many attempts or this long.
    parking_max_attempts: int = 100
    parking_max_age_s: float = 3_600.0
    parking_first_retry_s: float = 1.0
    parking_max_records: int = 200_000


class HasKafkaSettings(Protocol):
    """The part of every service's settings that is about Kafka."""

    @property
    def kafka_brokers(self) -> str: ...

    @property
    def kafka_group_prefix(self) -> str: ...

    @property
    def kafka_topic_prefix(self) -> str: ...

    @property
    def kafka_group_instance_id(self) -> str | None: ...

    @property
    def kafka_session_timeout_ms(self) -> int: ...

    @property
    def kafka_heartbeat_interval_ms(self) -> int: ...

    @property
    def kafka_rebalance_timeout_ms(self) -> int: ...

    @property
    def parking_max_attempts(self) -> int: ...

    @property
    def parking_max_age_s(self) -> float: ...

    @property
    def parking_first_retry_s(self) -> float: ...


def kafka_settings(settings: HasKafkaSettings, service: str) -> KafkaSettings:
    return KafkaSettings(
        brokers=settings.kafka_brokers,
        client_id=f"passferry-{service}",
        group_prefix=settings.kafka_group_prefix,
        topic_prefix=settings.kafka_topic_prefix,
        group_instance_id=settings.kafka_group_instance_id,
        session_timeout_ms=settings.kafka_session_timeout_ms,
        heartbeat_interval_ms=settings.kafka_heartbeat_interval_ms,
        rebalance_timeout_ms=settings.kafka_rebalance_timeout_ms,
        parking_max_attempts=settings.parking_max_attempts,
        parking_max_age_s=settings.parking_max_age_s,
        parking_first_retry_s=settings.parking_first_retry_s,
    )
