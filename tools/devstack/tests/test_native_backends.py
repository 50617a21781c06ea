"""The three engines as native processes, killed and started again."""

import asyncio
import tempfile
import time
from pathlib import Path

import aiokafka
import asyncpg
import pytest
import redis
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from passferry_devstack import Backends, BackendUnavailable, DevStack

pytestmark = pytest.mark.integration

Stack = tuple[DevStack, Backends]
READY_BOUND_S = 10.0


async def test_all_three_answer_real_clients(stack: Stack) -> None:
    _, backends = stack
    connection = await asyncpg.connect(backends.postgres_admin_url)
    try:
        assert await connection.fetchval(
            "select rolsuper from pg_roles where rolname = current_user"
        )
        assert int(await connection.fetchval("show max_connections")) == 300
    finally:
        await connection.close()
    with redis.Redis.from_url(backends.redis_url) as client:
        assert client.ping()
    admin = AIOKafkaAdminClient(bootstrap_servers=backends.kafka_brokers)
    await admin.start()
    try:
        assert "devstack.never" not in await admin.list_topics()
    finally:
        await admin.close()


def test_the_chosen_line_names_every_backend_with_its_version(stack: Stack) -> None:
    _, backends = stack
    for word in ("Kafka 4.", "Postgres 1", "Redis ", "ready in"):
        assert word in backends.chosen


async def test_a_killed_kafka_comes_back_on_its_port_with_what_it_acknowledged(
    stack: Stack,
) -> None:
    started, backends = stack
    topic = "devstack.survives"
    assert started.kafka is not None
    await _create_topic(backends.kafka_brokers, topic)
    sent = [b"%d" % number for number in range(500)]
    await _produce(backends.kafka_brokers, topic, sent)

    old_pid = started.kafka.pid
    await asyncio.to_thread(started.kafka.kill)
    assert started.kafka.pid is None
    await asyncio.to_thread(started.kafka.start)
    await asyncio.to_thread(started.kafka.wait_ready)

    assert started.kafka.pid not in (None, old_pid)
    assert await _consume(backends.kafka_brokers, topic, len(sent)) == sent


async def test_a_killed_postgres_keeps_what_it_committed(stack: Stack) -> None:
    started, backends = stack
    assert started.postgres is not None
    connection = await asyncpg.connect(backends.postgres_admin_url)
    await connection.execute("create table survives as select generate_series(1, 1000) as number")

    await asyncio.to_thread(started.postgres.kill)
    await asyncio.to_thread(started.postgres.start)
    await asyncio.to_thread(started.postgres.wait_ready)

    connection.terminate()
    again = await asyncpg.connect(backends.postgres_admin_url)
    try:
        assert await again.fetchval("select count(*) from survives") == 1000
    finally:
        await again.close()


def test_redis_stops_cleanly_and_starts_empty_on_its_port(stack: Stack) -> None:
    started, backends = stack
    assert started.redis is not None
    with redis.Redis.from_url(backends.redis_url) as client:
        client.set("forgotten", "soon")
    started.redis.terminate()
    started.redis.start()
    started.redis.wait_ready()
    with redis.Redis.from_url(backends.redis_url) as client:
        assert client.get("forgotten") is None


def test_waiting_for_a_stopped_server_says_so_at_once(stack: Stack) -> None:
    started, _ = stack
    assert started.redis is not None
    started.redis.terminate()
    with pytest.raises(BackendUnavailable, match="redis ended"):
        started.redis.wait_ready(timeout_s=5)
    started.redis.start()
    started.redis.wait_ready()


def test_a_kept_directory_gives_the_same_ports_and_data_and_one_owner(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    directory = tmp_path_factory.mktemp("kept")
    # Postgres may run under another account. A worker's folders are one deeper than those of a
    # run without workers; the one above them is the system's.
    for parent in (directory, *directory.parents[:3]):
        if parent != Path(tempfile.gettempdir()):
            parent.chmod(0o755)
    monkeypatch.setenv("PASSFERRY_DEVSTACK", "native")
    monkeypatch.setenv("PASSFERRY_KAFKA_BROKERS", "127.0.0.1:1")  # two engines are enough here
    with DevStack(directory=directory, durable=True, announce=_silent) as first:
        asyncio.run(_execute(first.postgres_admin_url, "create table kept (number int)"))
        assert asyncio.run(_fetch(first.postgres_admin_url, "show fsync")) == "on"
        with pytest.raises(BackendUnavailable, match="Another stack"):
            DevStack(directory=directory, announce=_silent).start()

    began = time.monotonic()
    with DevStack(directory=directory, announce=_silent) as second:
        assert time.monotonic() - began < READY_BOUND_S
        assert second.environment() == first.environment()
        assert asyncio.run(_fetch(second.postgres_admin_url, "select count(*) from kept")) == 0


def _silent(line: str) -> None:
    """Says nothing."""


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


async def _fetch(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def _create_topic(brokers: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()


async def _produce(brokers: str, topic: str, values: list[bytes]) -> None:
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=brokers, enable_idempotence=True)
    await producer.start()
    try:
        for future in [await producer.send(topic, value) for value in values]:
            await future
    finally:
        await producer.stop()


async def _consume(brokers: str, topic: str, count: int) -> list[bytes]:
    consumer = aiokafka.AIOKafkaConsumer(
        topic,
        bootstrap_servers=brokers,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        async with asyncio.timeout(30):
            return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()
