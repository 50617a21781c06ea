"""Runs parts of Passferry in tests: databases, topics, services, and a recorder of events.

Every test has a database to itself and a topic prefix of its own, on one Kafka, Postgres and Redis
for the whole session.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from passferry_contracts.envelope import Envelope, decode, encode_headers, encode_value
from passferry_contracts.registry import TOPICS, Payload, Topic
from passferry_devstack import Backends
from passferry_runtime.ids import uuid7
from passferry_runtime.kafka.producer import Producer
from passferry_runtime.kafka.records import IncomingRecord, OutgoingRecord, incoming_record
from passferry_runtime.kafka.settings import KafkaSettings
from passferry_runtime.kafka.topics import create_topics
from passferry_runtime.lifecycle import Service, Worker
from passferry_runtime.migrations import migrate, schema_of
from passferry_testing.prepared_databases import (
    PreparedDatabases,
    administrate,
    database_url,
    drop_database,
)

P = TypeVar("P", bound=Payload)

READY_TIMEOUT_S = 30.0
EXPECT_TIMEOUT_S = 15.0


@dataclass(slots=True)
class Harness:
    """One isolated installation on shared backends."""

    backends: Backends
    #: of the database too
    name: str
    directory: Path
    kafka: KafkaSettings
    databases: PreparedDatabases
    _has_database: bool = False
    _has_topics: bool = False

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        backends: Backends,
        directory: Path,
        *,
        topics: Iterable[Topic] = (),
        databases: PreparedDatabases | None = None,
    ) -> AsyncIterator[Harness]:
        """Make `topics`. At the end they are removed, and the database goes back to `databases`."""
        name = f"t{secrets.token_hex(5)}"
        kafka = KafkaSettings(
            brokers=backends.kafka_brokers,
            client_id=name,
            group_prefix=f"{name}.",
            topic_prefix=f"{name}.",
            session_timeout_ms=6_000,
            heartbeat_interval_ms=500,
            rebalance_timeout_ms=10_000,
            parking_first_retry_s=0.1,
        )
        own = databases or PreparedDatabases(backends.postgres_admin_url)
        harness = cls(backends, name, directory, kafka, own)
        try:
            await harness.create_topics(topics)
            yield harness
        finally:
            await harness._give_back_database()
            if databases is None:
                await own.drop_all()
            if harness._has_topics:
                await harness._delete_topics()

    @property
    def admin_url(self) -> str:
        return database_url(self.backends.postgres_admin_url, database=self.name)

    def app_url(self, service: str) -> str:
        """DSN of the service's own role, which is neither owner nor superuser."""
        role = f"passferry_{schema_of(service)}"
        return database_url(self.backends.postgres_admin_url, database=self.name, user=role)

    async def migrate(self, service: str, package: str) -> None:
        """Bring about the database with the schema of `service`, or add that schema to it."""
        if self._has_database:
            await migrate(self.admin_url, service=service, package=package, app_password=None)
        else:
            await self.databases.lend(self.name, service=service, package=package)
            self._has_database = True

    async def make_empty_database(self) -> None:
        """For who migrates it without this harness."""
        await administrate(self.backends.postgres_admin_url, f'CREATE DATABASE "{self.name}"')
        self._has_database = True

    async def create_topics(self, topics: Iterable[Topic]) -> None:
        wanted = list(topics)
        if wanted:
            self._has_topics = True
            await create_topics(
                self.kafka.brokers, topic_prefix=self.kafka.topic_prefix, topics=wanted
            )

    def environment(self, service: str) -> dict[str, str]:
        """What a service of this installation needs as a process, without its secrets."""
        return {
            "PASSFERRY_KAFKA_BROKERS": self.kafka.brokers,
            "PASSFERRY_KAFKA_GROUP_PREFIX": self.kafka.group_prefix,
            "PASSFERRY_KAFKA_TOPIC_PREFIX": self.kafka.topic_prefix,
            "PASSFERRY_KAFKA_SESSION_TIMEOUT_MS": str(self.kafka.session_timeout_ms),
            "PASSFERRY_KAFKA_HEARTBEAT_INTERVAL_MS": str(self.kafka.heartbeat_interval_ms),
            "PASSFERRY_KAFKA_REBALANCE_TIMEOUT_MS": str(self.kafka.rebalance_timeout_ms),
            "PASSFERRY_PARKING_FIRST_RETRY_S": str(self.kafka.parking_first_retry_s),
            "PASSFERRY_DATABASE_URL": self.app_url(service),
            "PASSFERRY_REDIS_URL": self.backends.redis_url,
            "PASSFERRY_ENVIRONMENT": "test",
            "PASSFERRY_HTTP_PORT": "0",
        }

    async def publish(self, topic: Topic, *payloads: Payload, source: str = "/test") -> list[str]:
        """Send events as their producer would; returns their ids."""
        now = datetime.now(UTC)
        envelopes = [
            Envelope(id=str(uuid7()), source=source, type=each.event_type, time=now, data=each)
            for each in payloads
        ]
        await self.send(
            *(
                OutgoingRecord(
                    topic.name,
                    envelope.key.encode(),
                    encode_value(envelope),
                    tuple(encode_headers(envelope)),
                )
                for envelope in envelopes
            )
        )
        return [envelope.id for envelope in envelopes]

    async def send(self, *records: OutgoingRecord) -> None:
        async with Producer.open(self.kafka, client_id=f"{self.name}-publisher") as producer:
            await producer.send_all(records)

    @contextlib.asynccontextmanager
    async def recording(self, *topics: Topic) -> AsyncIterator[EventRecorder]:
        """Record what is sent to `topics`, from their beginning."""
        recorder = EventRecorder(self.kafka, topics)
        task = asyncio.create_task(recorder.run())
        try:
            yield recorder
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _give_back_database(self) -> None:
        if self.databases.has_lent(self.name):
            await self.databases.take_back(self.name)
        elif self._has_database:
            await drop_database(self.backends.postgres_admin_url, self.name)

    async def _delete_topics(self) -> None:
        from aiokafka.admin import AIOKafkaAdminClient  # noqa: PLC0415  # only tests delete topics

        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.brokers)
        await admin.start()
        try:
            names = await admin.list_topics()
            own = [name for name in names if name.startswith(self.kafka.topic_prefix)]
            if own:
                await admin.delete_topics(own)
        finally:
            await admin.close()


@dataclass(slots=True)
class EventRecorder:
    """Everything that came on some topics, in the order of arrival."""

    kafka: KafkaSettings
    topics: Sequence[Topic]
    records: list[IncomingRecord] = field(default_factory=list)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        from aiokafka import AIOKafkaConsumer, TopicPartition  # noqa: PLC0415  # only tests read so

        client = AIOKafkaConsumer(
            bootstrap_servers=self.kafka.brokers,
            group_id=None,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=50,
        )
        await client.start()
        try:
            client.assign(
                [
                    TopicPartition(self.kafka.topic_prefix + topic.name, number)
                    for topic in self.topics
                    for number in range(topic.partitions)
                ]
            )
            while True:
                batches = await client.getmany(timeout_ms=100)
                for raws in batches.values():
                    self.records.extend(
                        incoming_record(raw, self.kafka.topic_prefix) for raw in raws
                    )
                self._arrived.set()
        finally:
            await client.stop()

    @property
    def envelopes(self) -> list[Envelope]:
        """The decodable events; tombstones and dead letters are in `records` only."""
        return [
            decode(TOPICS[record.topic], record.headers, record.value)
            for record in self.records
            if record.value is not None and TOPICS[record.topic].events
        ]

    def payloads(self, kind: type[P]) -> list[P]:
        return [each.data for each in self.envelopes if isinstance(each.data, kind)]

    async def expect(
        self,
        kind: type[P],
        count: int = 1,
        *,
        where: Callable[[P], bool] = lambda _: True,
        timeout_s: float = EXPECT_TIMEOUT_S,
    ) -> list[P]:
        """Wait for at least `count` events of `kind`; fails telling what came instead."""
        deadline = time.monotonic() + timeout_s
        while True:
            found = [each for each in self.payloads(kind) if where(each)]
            if len(found) >= count:
                return found
            if time.monotonic() > deadline:
                came = [each.type for each in self.envelopes][-20:]
                raise AssertionError(
                    f"expected {count} {kind.__name__}, got {len(found)}; came: {came}"
                )
            self._arrived.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), 0.2)

    async def expect_records(
        self, count: int, *, timeout_s: float = EXPECT_TIMEOUT_S
    ) -> list[IncomingRecord]:
        await eventually(lambda: len(self.records) >= count, timeout_s=timeout_s)
        return self.records


@contextlib.asynccontextmanager
async def running(service: Service, *, timeout_s: float = READY_TIMEOUT_S) -> AsyncIterator[None]:
    """Run the workers of `service` in this process until the block ends; waits for readiness."""
    tasks: dict[asyncio.Future[None], Worker] = {
        asyncio.ensure_future(worker.run()): worker for worker in service.workers
    }
    try:
        await _until_ready(service, tasks, timeout_s)
        yield
    finally:
        for worker in tasks.values():
            worker.stop()
        _, left = await asyncio.wait(tasks, timeout=20) if tasks else (set(), set())
        for task in left:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _until_ready(
    service: Service, tasks: dict[asyncio.Future[None], Worker], timeout_s: float
) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        for task, worker in tasks.items():
            if task.done() and task.exception() is not None:
                raise AssertionError(f"{worker.name} failed") from task.exception()
        gating = [check for check in service.checks if check.gates_readiness]
        results = [(check.name, await check.probe()) for check in gating]
        waiting = [(name, each.detail) for name, each in results if each.state == "down"]
        if not waiting:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"not ready after {timeout_s} s: {waiting}")
        await asyncio.sleep(0.05)


async def eventually(
    condition: Callable[[], bool] | Callable[[], Awaitable[bool]],
    *,
    timeout_s: float = EXPECT_TIMEOUT_S,
    what: str = "the condition",
) -> None:
    """Wait until `condition` holds; fails after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        result = condition()
        holds = result if isinstance(result, bool) else await result
        if holds:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {timeout_s} s")
        await asyncio.sleep(0.03)
