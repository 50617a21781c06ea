"""Dead letters: records given up, with where they came from and why."""

from __future__ import annotations

import time

from passferry_contracts.registry import DEAD_LETTERS
from passferry_runtime.kafka.producer import Producer
from passferry_runtime.kafka.records import IncomingRecord, OutgoingRecord
from passferry_runtime.metrics import DEAD_LETTER_RECORDS

MAX_MESSAGE_CHARACTERS = 1_000

ORIGINAL_TOPIC = "kafka_dlt-original-topic"
ORIGINAL_PARTITION = "kafka_dlt-original-partition"
ORIGINAL_OFFSET = "kafka_dlt-original-offset"
REASON = "kafka_dlt-exception-fqcn"
MESSAGE = "kafka_dlt-exception-message"


def dead_letter_of(
    record: IncomingRecord, *, service: str, group: str, code: str, detail: str, attempts: int
) -> OutgoingRecord:
    """Key, value and the event's own headers stay as they were; ours are added, as UTF-8 text."""
    added = {
        ORIGINAL_TOPIC: record.topic,
        ORIGINAL_PARTITION: str(record.partition),
        ORIGINAL_OFFSET: str(record.offset),
        "kafka_dlt-original-timestamp": str(record.timestamp_ms),
        "kafka_dlt-original-timestamp-type": "CreateTime",
        "kafka_dlt-original-consumer-group": group,
        REASON: code,
        MESSAGE: detail[:MAX_MESSAGE_CHARACTERS],
        "retry_topic-attempts": str(attempts),
        "retry_topic-original-timestamp": str(record.timestamp_ms),
        "kafka_dlt-given-up-at": str(int(time.time() * 1000)),
    }
    own = tuple(header for header in record.headers if header[0] not in added)
    headers = own + tuple((name, text.encode()) for name, text in added.items())
    return OutgoingRecord(DEAD_LETTERS[service].name, record.key, record.value, headers)


class DeadLetters:
    def __init__(self, producer: Producer, *, service: str, group: str) -> None:
        self._producer = producer
        self._service = service
        self._group = group

    async def give_up(
        self, record: IncomingRecord, *, code: str, detail: str, attempts: int = 1
    ) -> None:
        """Returns once the dead letter is acknowledged; raises `KafkaUnavailable`."""
        letter = dead_letter_of(
            record,
            service=self._service,
            group=self._group,
            code=code,
            detail=detail,
            attempts=attempts,
        )
        await self._producer.send_all([letter])
        DEAD_LETTER_RECORDS.labels(topic=record.topic, reason=code).inc()
