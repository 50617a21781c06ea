"""Compacted topics as tables: every replica reads the whole topic and keeps it current."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from passferry_contracts.envelope import InvalidEvent, decode
from passferry_contracts.registry import Topic
from passferry_runtime.kafka.records import Incoming, incoming_record
from passferry_runtime.kafka.settings import KafkaSettings
from passferry_runtime.lifecycle import Check, CheckResult, Worker
from passferry_runtime.logging import get_logger

log = get_logger(__name__)

POLL_TIMEOUT_MS = 200
RESTART_PAUSE_S = 1.0

Apply = Callable[[Incoming], None]
Forget = Callable[[str, bytes], None]


class TableReader:
    """Reads `topics` from their beginning, without a group; `apply` must bear repetitions."""

    def __init__(
        self,
        *,
        settings: KafkaSettings,
        topics: Sequence[Topic],
        apply: Apply,
        forget: Forget | None = None,
    ) -> None:
        self._settings = settings
        self._topics = {topic.name: topic for topic in topics}
        self._apply = apply
        self._forget = forget
        self._caught_up = asyncio.Event()
        self._stopping = False
        name = "-".join(self._topics)
        self.worker = Worker(name=f"table-{name}", run=self.run, stop=self.stop)
        self.check = Check(name=f"table-{name}", probe=self._probe)

    def stop(self) -> None:
        self._stopping = True

    async def caught_up(self, timeout_s: float) -> None:
        """Wait until everything that was there at the start has been read."""
        async with asyncio.timeout(timeout_s):
            await self._caught_up.wait()

    async def run(self) -> None:
        while not self._stopping:
            try:
                await self._read_until_stopped()
            except (KafkaError, OSError) as error:
                log.warning("table_reader_interrupted", error=type(error).__name__)
                await asyncio.sleep(RESTART_PAUSE_S)

    async def _read_until_stopped(self) -> None:
        client = AIOKafkaConsumer(
            bootstrap_servers=self._settings.brokers,
            client_id=f"{self._settings.client_id}-tables",
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            # Changes are rare and come at once; what waits is only an empty answer.
            fetch_max_wait_ms=500,
        )
        await client.start()
        try:
            partitions = [
                TopicPartition(self._settings.topic_prefix + topic.name, number)
                for topic in self._topics.values()
                for number in range(topic.partitions)
            ]
            client.assign(partitions)
            await client.seek_to_beginning(*partitions)
            ends = await client.end_offsets(partitions)
            await self._follow(client, ends)
        finally:
            await client.stop()

    async def _follow(self, client: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> None:
        behind = {partition for partition, end in ends.items() if end > 0}
        started_at = time.monotonic()
        while not self._stopping:
            batches = await client.getmany(timeout_ms=POLL_TIMEOUT_MS, max_records=2_000)
            for records in batches.values():
                for raw in records:
                    self._take(raw)
            for partition in list(behind):
                if await client.position(partition) >= ends[partition]:
                    behind.discard(partition)
            if not behind and not self._caught_up.is_set():
                self._caught_up.set()
                seconds = round(time.monotonic() - started_at, 3)
                log.info("table_caught_up", topics=list(self._topics), seconds=seconds)

    def _take(self, raw: object) -> None:
        record = incoming_record(raw, self._settings.topic_prefix)
        if record.value is None:
            if self._forget is not None:
                self._forget(record.topic, record.key)
            return
        try:
            envelope = decode(self._topics[record.topic], record.headers, record.value)
        except InvalidEvent as error:
            log.error(
                "table_record_invalid", topic=record.topic, offset=record.offset, code=error.code
            )
            return
        self._apply(Incoming(record, envelope))

    async def _probe(self) -> CheckResult:
        if self._caught_up.is_set():
            return CheckResult("ok")
        return CheckResult("down", "still reading")
