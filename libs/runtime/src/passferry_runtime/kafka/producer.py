"""An idempotent producer with one way to send: a batch, in order, awaited whole."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from passferry_runtime.causes import cause_of
from passferry_runtime.kafka.records import OutgoingRecord
from passferry_runtime.kafka.settings import KafkaSettings

MAX_REQUEST_BYTES = 1_100_000
BATCH_BYTES = 262_144
SEND_TIMEOUT_S = 60.0


class KafkaUnavailable(Exception):
    """Records were not acknowledged. This producer may not be used any more."""


class RecordTooLarge(Exception):
    """Neither this producer nor the broker takes it, now or later."""


class Producer:
    def __init__(self, client: AIOKafkaProducer, topic_prefix: str) -> None:
        self._client = client
        self._topic_prefix = topic_prefix

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: KafkaSettings, *, client_id: str) -> AsyncIterator[Producer]:
        client = AIOKafkaProducer(
            bootstrap_servers=settings.brokers,
            client_id=client_id,
            enable_idempotence=True,
            acks="all",
            # Waiting to fill batches would add to every hop; load fills them.
            linger_ms=0,
            max_batch_size=BATCH_BYTES,
            max_request_size=MAX_REQUEST_BYTES,
        )
        await client.start()
        try:
            yield cls(client, settings.topic_prefix)
        finally:
            # What was not acknowledged is still in the outbox.
            with contextlib.suppress(TimeoutError, KafkaError):
                await asyncio.wait_for(client.stop(), 10)

    async def send_all(self, records: Sequence[OutgoingRecord]) -> None:
        """Send in order and wait until all are acknowledged.

        Raises `KafkaUnavailable`, and `RecordTooLarge`, after which some may have been sent.
        """
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                pending = [
                    await self._client.send(
                        self._topic_prefix + record.topic,
                        record.value,
                        key=record.key,
                        headers=list(record.headers),
                    )
                    for record in records
                ]
                await asyncio.gather(*pending)
        except MessageSizeTooLargeError as error:
            raise RecordTooLarge(str(error)) from error
        except (KafkaError, TimeoutError, OSError) as error:
            raise KafkaUnavailable(cause_of(error)) from error
