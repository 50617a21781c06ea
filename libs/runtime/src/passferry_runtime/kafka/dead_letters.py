"""Dead letters: records given up, with where they came from and why."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

from aiokafka.errors import KafkaError

from passferry_contracts.registry import DEAD_LETTERS
from passferry_runtime.kafka.producer import KafkaUnavailable, Producer
from passferry_runtime.kafka.records import IncomingRecord, OutgoingRecord
from passferry_runtime.kafka.settings import KafkaSettings
from passferry_runtime.metrics import DEAD_LETTER_RECORDS

MAX_MESSAGE_CHARACTERS = 1_000

#: With our own headers it fits into the dead letters' topics.
MAX_LETTER_BYTES = 1_000_000

#: The code of a record that could not even be fetched.
UNREADABLE = "unreadable"
#: How many bytes the record had, of which the letter keeps nothing.
CUT = "kafka_dlt-cut-bytes"
ORIGINAL_TOPIC = "kafka_dlt-original-topic"
ORIGINAL_PARTITION = "kafka_dlt-original-partition"
ORIGINAL_OFFSET = "kafka_dlt-original-offset"
REASON = "kafka_dlt-exception-fqcn"
MESSAGE = "kafka_dlt-exception-message"


def dead_letter_of(
    record: IncomingRecord, *, service: str, group: str, code: str, detail: str, attempts: int
) -> OutgoingRecord:
    """Key, value and the event's own headers stay as they were; ours are added, as UTF-8 text.

    Of what does not fit (a compressed record unfolds beyond any limit) only the place is kept: as
    long as its topic keeps it, it can be read there.
    """
    is_whole = _size(record) <= MAX_LETTER_BYTES and code != UNREADABLE
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
    if not is_whole:
        added[CUT] = str(_size(record))
    own = tuple(each for each in record.headers if each[0] not in added) if is_whole else ()
    headers = own + tuple((name, text.encode()) for name, text in added.items())
    key, value = (record.key, record.value) if is_whole else (record.key[:1_000], b"")
    return OutgoingRecord(DEAD_LETTERS[service].name, key, value, headers)


def _size(record: IncomingRecord) -> int:
    headers = sum(len(name) + len(raw) for name, raw in record.headers)
    return len(record.key) + len(record.value or b"") + headers


class DeadLetters:
    """Opens its producer when the first letter comes, and again after one that failed."""

    def __init__(self, settings: KafkaSettings, *, service: str, group: str) -> None:
        self._settings = settings
        self._service = service
        self._group = group
        self._producer: Producer | None = None
        self._resources = AsyncExitStack()
        self._turn = asyncio.Lock()

    async def close(self) -> None:
        self._producer = None
        await self._resources.aclose()

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
        async with self._turn:
            await self._send(letter)
        DEAD_LETTER_RECORDS.labels(topic=record.topic, reason=code).inc()

    async def _send(self, letter: OutgoingRecord) -> None:
        try:
            if self._producer is None:
                client_id = f"{self._settings.client_id}-dead-letters"
                self._producer = await self._resources.enter_async_context(
                    Producer.open(self._settings, client_id=client_id)
                )
            await self._producer.send_all([letter])
        except (KafkaUnavailable, KafkaError, OSError) as error:
            # One that failed may not be used any more.
            await self.close()
            raise KafkaUnavailable(type(error).__name__) from error
