"""Commands on ledger.commands, and how long until each one's result is on ledger.results.

A child of bench/ledger.py; says one line of JSON per cell.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import orjson
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.ledger_loads import Cell, Job, closed_loop, pass_id_of, picks, read_job, summary, tell
from passferry_contracts.envelope import Envelope, encode_headers
from passferry_contracts.events.ledger import EarnCommand, RedeemCommand
from passferry_contracts.registry import LEDGER_COMMANDS, LEDGER_RESULTS
from passferry_runtime.kafka.producer import Producer
from passferry_runtime.kafka.records import OutgoingRecord
from passferry_runtime.kafka.settings import KafkaSettings

BACKLOG = "kafka backlog"
#: Within this, a cell must be over and all it sent be answered.
LAST_RESULTS_S = 180.0
PER_COMMAND = frozenset({"ce_id", "ce_partitionkey"})


class Orders:
    """Records of one command after the other; their names are those of their keys."""

    def __init__(self, workspace_id: UUID) -> None:
        self._workspace_id = str(workspace_id)
        self._draw = random.Random()
        kinds = [_headers(kind, workspace_id) for kind in (EarnCommand, RedeemCommand)]
        self._kinds = itertools.cycle(kinds)

    def next(self, account: int) -> tuple[str, OutgoingRecord]:
        name, pass_id = f"{self._draw.getrandbits(128):032x}", str(pass_id_of(account))
        value = {
            "workspace_id": self._workspace_id,
            "pass_id": pass_id,
            "idempotency_key": name,
            "amount_minor": 1,
        }
        key = pass_id.encode()
        headers = (("ce_id", name.encode()), ("ce_partitionkey", key), *next(self._kinds))
        return name, OutgoingRecord(LEDGER_COMMANDS.name, key, orjson.dumps(value), headers)


def _headers(
    kind: type[EarnCommand | RedeemCommand], workspace_id: UUID
) -> list[tuple[str, bytes]]:
    data = kind(
        workspace_id=workspace_id, pass_id=pass_id_of(0), idempotency_key="any", amount_minor=1
    )
    envelope = Envelope(
        id="any", source="/bench", type=data.event_type, time=datetime.now(UTC), data=data
    )
    return [(name, value) for name, value in encode_headers(envelope) if name not in PER_COMMAND]


class Results:
    """Answers by the id of the command's record; refusals end the run."""

    def __init__(self) -> None:
        self.waiting: dict[str, asyncio.Future[None]] = {}

    def expect(self, name: str) -> asyncio.Future[None]:
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting[name] = answer
        return answer

    async def read(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            for records in (await consumer.getmany(timeout_ms=100)).values():
                for record in records:
                    self._take(orjson.loads(record.value))

    def _take(self, result: dict[str, str]) -> None:
        answer = self.waiting.pop(result["command_event_id"], None)
        if answer is None or answer.done():
            return
        if result["outcome"] == "applied":
            answer.set_result(None)
        else:
            answer.set_exception(AssertionError(f"refused: {result.get('code')}"))


@contextlib.asynccontextmanager
async def reading(brokers: str, prefix: str, results: Results) -> AsyncIterator[None]:
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, group_id=None, fetch_max_wait_ms=100)
    await consumer.start()
    places = [
        TopicPartition(prefix + LEDGER_RESULTS.name, number)
        for number in range(LEDGER_RESULTS.partitions)
    ]
    consumer.assign(places)
    await consumer.seek_to_end(*places)
    reader = asyncio.create_task(results.read(consumer))
    try:
        yield
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        await consumer.stop()


async def backlog(
    cell: Cell, orders: Orders, producer: Producer, results: Results, chosen: Iterator[int]
) -> None:
    """All commands are sent as fast as Kafka takes them; the clock stops at the last result."""
    named = [orders.next(next(chosen)) for _ in range(cell.clients)]
    answers = [results.expect(name) for name, _ in named]
    began_at, latencies = time.perf_counter(), []
    for answer in answers:
        answer.add_done_callback(lambda _: latencies.append(time.perf_counter() - began_at))
    await producer.send_all([record for _, record in named])
    async with asyncio.timeout(LAST_RESULTS_S):
        await asyncio.gather(*answers)
    tell(summary(cell, latencies, max(latencies)))


async def measure(job: Job) -> None:
    brokers, prefix = job.places["brokers"], job.places["topic_prefix"]
    settings = KafkaSettings(brokers=brokers, client_id="bench", topic_prefix=prefix)
    orders, results = Orders(UUID(job.places["workspace_id"])), Results()
    async with (
        Producer.open(settings, client_id="bench") as producer,
        reading(brokers, prefix, results),
    ):

        async def once(account: int) -> None:
            name, record = orders.next(account)
            answer = results.expect(name)
            await producer.send_all([record])
            await answer

        for cell in job.cells:
            if cell.way == BACKLOG:
                chosen = picks(cell.skew, job.accounts, job.seed)
                await backlog(cell, orders, producer, results, chosen)
                continue
            async with asyncio.timeout(LAST_RESULTS_S):
                # Of this client, which nobody asked for.
                tell(replace(await closed_loop(cell, job, once), cpu_ms=None))


if __name__ == "__main__":
    uvloop.run(measure(read_job()))
