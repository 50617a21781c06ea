"""Sends dead letters back to the topic that they came from, with their event ids unchanged."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition

from passferry_contracts.registry import DEAD_LETTERS, TOPICS
from passferry_runtime.kafka.dead_letters import CUT, MESSAGE, ORIGINAL_TOPIC, REASON
from passferry_runtime.kafka.producer import Producer
from passferry_runtime.kafka.records import IncomingRecord, OutgoingRecord, incoming_record
from passferry_runtime.kafka.settings import HasKafkaSettings, KafkaSettings, kafka_settings

READ_TIMEOUT_S = 60.0
MAX_LETTERS = 1_000_000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    record: IncomingRecord
    topic: str
    code: str
    message: str

    @property
    def is_whole(self) -> bool:
        """Of one that was too large only the place is kept: there is nothing to send again."""
        return all(name != CUT for name, _ in self.record.headers)

    def revived(self) -> OutgoingRecord:
        headers = tuple(
            header
            for header in self.record.headers
            if not header[0].startswith(("kafka_dlt-", "retry_topic-"))
        )
        return OutgoingRecord(self.topic, self.record.key, self.record.value, headers)


async def read_dead_letters(settings: KafkaSettings, service: str) -> list[DeadLetter]:
    """All dead letters of a service, oldest first."""
    topic = DEAD_LETTERS[service]
    client = AIOKafkaConsumer(
        bootstrap_servers=settings.brokers,
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
    )
    await client.start()
    try:
        partitions = [
            TopicPartition(settings.topic_prefix + topic.name, number)
            for number in range(topic.partitions)
        ]
        client.assign(partitions)
        await client.seek_to_beginning(*partitions)
        ends = await client.end_offsets(partitions)
        begins = await client.beginning_offsets(partitions)
        behind = {each for each in partitions if ends[each] > begins[each]}
        letters: list[DeadLetter] = []
        deadline = time.monotonic() + READ_TIMEOUT_S
        while behind and len(letters) < MAX_LETTERS and time.monotonic() < deadline:
            batches = await client.getmany(timeout_ms=200, max_records=1_000)
            for records in batches.values():
                letters.extend(
                    _dead_letter(incoming_record(raw, settings.topic_prefix)) for raw in records
                )
            for partition in list(behind):
                if await client.position(partition) >= ends[partition]:
                    behind.discard(partition)
    finally:
        await client.stop()
    return sorted(letters, key=lambda letter: letter.record.timestamp_ms)


def _dead_letter(record: IncomingRecord) -> DeadLetter:
    def text(name: str) -> str:
        raw = dict(record.headers).get(name)
        return raw.decode("utf-8", "replace") if raw else ""

    return DeadLetter(record, text(ORIGINAL_TOPIC), text(REASON), text(MESSAGE))


async def replay(
    settings: KafkaSettings, service: str, *, code: str | None, limit: int, is_dry_run: bool
) -> Counter[str]:
    """Re-inject up to `limit` dead letters; returns how many by `topic code`."""
    letters = [
        letter
        for letter in await read_dead_letters(settings, service)
        if letter.topic in TOPICS and letter.is_whole and (code is None or letter.code == code)
    ][:limit]
    counted = Counter(f"{letter.topic} {letter.code}" for letter in letters)
    if not is_dry_run and letters:
        async with Producer.open(settings, client_id=f"{settings.client_id}-replay") as producer:
            for start in range(0, len(letters), 500):
                await producer.send_all(
                    [letter.revived() for letter in letters[start : start + 500]]
                )
    return counted


def run_replay(settings: HasKafkaSettings, service: str, arguments: Sequence[str]) -> int:
    """The command `replay` of every service."""
    parser = argparse.ArgumentParser(
        prog=f"{service} replay", description="Send dead letters back to where they came from."
    )
    parser.add_argument("--reason", help="only dead letters with this code")
    parser.add_argument("--limit", type=int, default=1_000)
    parser.add_argument("--dry-run", action="store_true", help="count, send nothing")
    options = parser.parse_args(arguments)
    counted = asyncio.run(
        replay(
            kafka_settings(settings, service),
            service,
            code=options.reason,
            limit=options.limit,
            is_dry_run=options.dry_run,
        )
    )
    verb = "would replay" if options.dry_run else "replayed"
    print(f"{verb} {sum(counted.values())} dead letters of {service}")  # noqa: T201  # a command's answer
    for name, number in sorted(counted.items()):
        print(f"  {number:>6}  {name}")  # noqa: T201  # a command's answer
    return 0
