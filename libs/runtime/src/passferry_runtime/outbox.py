"""The outbox: rows written with the change they tell of, and the relay that sends them.

A relay owns slots (a hash of the key) by session-level advisory locks, so that one key is sent by
one relay at a time, in the order of ids. Rows are deleted after Kafka acknowledged them: a cursor
would lose rows whose transaction committed late.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import orjson

from passferry_contracts.envelope import Envelope, encode_headers, encode_value
from passferry_contracts.registry import Topic
from passferry_runtime.causes import cause_of
from passferry_runtime.kafka.producer import Producer
from passferry_runtime.kafka.records import OutgoingRecord
from passferry_runtime.kafka.settings import KafkaSettings
from passferry_runtime.lifecycle import Check, CheckResult, Worker
from passferry_runtime.logging import get_logger
from passferry_runtime.metrics import (
    OUTBOX_OLDEST_UNSENT,
    OUTBOX_PUBLISHED,
    OUTBOX_SLOTS,
)

if TYPE_CHECKING:
    from passferry_runtime.postgres import Database

log = get_logger(__name__)

SLOTS = 64
#: Room for headers and framing beside the value in one record.
RECORD_OVERHEAD_BYTES = 4_096
RELAY_BATCH_ROWS = 1_000
RELAY_BATCH_BYTES = 8_388_608
#: Rows of other replicas are found by polling; our own wake the relay in-process.
POLL_ALONE_S = 0.25
POLL_WITH_OTHERS_S = 0.015
LONGEST_REST_S = 0.1
OWNERSHIP_INTERVAL_S = 2.0
RETRY_MIN_S, RETRY_MAX_S = 0.1, 5.0
STALE_AFTER_S = 30.0
PRESENCE_SLOT = 10_000

INSERT = """
INSERT INTO outbox (slot, workspace_id, topic, key, headers, value)
SELECT slot, workspace_id, topic, key, headers, value
FROM unnest($1::smallint[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bytea[])
    WITH ORDINALITY AS given(slot, workspace_id, topic, key, headers, value, position)
ORDER BY position
"""

#: The first always comes along, however large it is.
NEXT_ROWS = """
SELECT id, topic, key, headers, value, created, bytes
FROM (
    SELECT id, topic, key, headers, value, extract(epoch FROM created_at)::float8 AS created,
        coalesce(octet_length(value), 0) AS size,
        sum(coalesce(octet_length(value), 0)) OVER (ORDER BY id)::int8 AS bytes
    FROM (
        SELECT id, topic, key, headers, value, created_at
        FROM outbox WHERE slot = ANY($1::smallint[]) ORDER BY id LIMIT $2
    ) AS next_rows
) AS sized
WHERE bytes - size < $3 ORDER BY id
"""

DELETE_SENT = "DELETE FROM outbox WHERE id = ANY($1::bigint[])"

PRESENT_RELAYS = """
SELECT count(DISTINCT pid) FROM pg_locks
WHERE locktype = 'advisory' AND classid::int8 = $1 AND objid = $2 AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class EventTooLarge(Exception):
    """The event does not fit its topic; refuse what caused it instead of getting stuck later."""


@dataclass(frozen=True, slots=True)
class OutboxRow:
    slot: int
    workspace_id: UUID
    topic: str
    key: str
    headers: str
    value: bytes | None


def slot_of(key: str) -> int:
    return zlib.crc32(key.encode()) % SLOTS


def row_of(topic: Topic, envelope: Envelope) -> OutboxRow:
    if topic.model_of(envelope.type) is None:
        raise ValueError(f"{envelope.type} is not an event of {topic.name}")
    value = encode_value(envelope)
    if len(value) > topic.max_record_bytes - RECORD_OVERHEAD_BYTES:
        raise EventTooLarge(f"{envelope.type} of {len(value)} bytes does not fit {topic.name}")
    workspace_id = envelope.workspace_id
    if workspace_id is None:
        raise ValueError(f"{envelope.type} names no workspace")
    headers = [[name, text.decode()] for name, text in encode_headers(envelope)]
    key = envelope.key
    return OutboxRow(
        slot_of(key), workspace_id, topic.name, key, orjson.dumps(headers).decode(), value
    )


def tombstone_row(topic: Topic, key: str, workspace_id: UUID) -> OutboxRow:
    if not topic.compacted:
        raise ValueError(f"{topic.name} is not compacted: a tombstone would delete nothing")
    # The key alone does not say whose subject is gone.
    headers = orjson.dumps([["ce_workspaceid", str(workspace_id)]]).decode()
    return OutboxRow(slot_of(key), workspace_id, topic.name, key, headers, None)


async def insert_outbox_rows(connection: Any, rows: Sequence[OutboxRow]) -> None:
    """Ids follow the order of `rows`; called while the row locks of their subjects are held."""
    await connection.execute(
        INSERT,
        [row.slot for row in rows],
        [row.workspace_id for row in rows],
        [row.topic for row in rows],
        [row.key for row in rows],
        [row.headers for row in rows],
        [row.value for row in rows],
    )


class OutboxRelay:
    """Sends the outbox of one service; any number of replicas share the slots."""

    def __init__(
        self, database: Database, kafka: KafkaSettings, *, client_id: str | None = None
    ) -> None:
        self._database = database
        self._kafka = kafka
        self._client_id = client_id or f"{database.service}-outbox"
        self._lock_class = zlib.crc32(f"outbox:{database.schema}".encode()) & 0x7FFFFFFF
        self._wake = asyncio.Event()
        self._stopping = False
        self._slots: list[int] = []
        self._is_alone = True
        self._oldest_unsent: float | None = None
        self._trouble = ""
        database.on_events_committed = self.wake
        self.worker = Worker(name="outbox-relay", run=self.run, stop=self.stop)
        self.check = Check(name="outbox", probe=self._probe, gates_readiness=False)

    def wake(self) -> None:
        self._wake.set()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Relay until stopped; whatever breaks is opened again after a pause."""
        pause_s = RETRY_MIN_S
        while not self._stopping:
            try:
                await self._relay_until_stopped()
                pause_s = RETRY_MIN_S
            except Exception as error:
                # A producer that failed for good must not send again: a later batch could
                # overtake the failed one. Both connections are opened anew.
                self._trouble = type(error).__name__
                log.warning(
                    "outbox_relay_interrupted",
                    error=type(error).__name__,
                    detail=cause_of(error)[:200],
                )
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, RETRY_MAX_S)

    async def _relay_until_stopped(self) -> None:
        connection = await asyncpg.connect(
            self._database.dsn,
            timeout=10,
            command_timeout=30,
            server_settings={
                "search_path": self._database.schema,
                "application_name": f"passferry-{self._database.service}-relay",
                # A deletion that a crash undoes sends its rows again; that is allowed.
                "synchronous_commit": "off",
                # Locks must go soon when this process dies without closing its socket.
                "tcp_keepalives_idle": "5",
                "tcp_keepalives_interval": "2",
                "tcp_keepalives_count": "3",
            },
        )
        self._slots = []
        try:
            await connection.execute(f'SET ROLE "passferry_{self._database.schema}_plumbing"')
            await connection.execute(
                "SELECT pg_advisory_lock_shared($1, $2)", self._lock_class, PRESENCE_SLOT
            )
            async with Producer.open(self._kafka, client_id=self._client_id) as producer:
                self._trouble = ""
                await self._loop(connection, producer)
        finally:
            connection.terminate()
            self._slots = []

    async def _loop(
        self, connection: asyncpg.Connection[asyncpg.Record], producer: Producer
    ) -> None:
        next_ownership = 0.0
        while True:
            if time.monotonic() >= next_ownership:
                await self._balance_slots(connection)
                next_ownership = time.monotonic() + OWNERSHIP_INTERVAL_S
            self._wake.clear()
            began_at = time.monotonic()
            sent, has_more = await self._send_next(connection, producer)
            if has_more:
                continue
            if self._stopping and not self._wake.is_set():
                return
            if sent:
                # What is written meanwhile goes in one batch.
                await asyncio.sleep(min(time.monotonic() - began_at, LONGEST_REST_S))
            poll_s = POLL_ALONE_S if self._is_alone else POLL_WITH_OTHERS_S
            try:
                await asyncio.wait_for(self._wake.wait(), poll_s)
            except TimeoutError:
                continue

    async def _send_next(
        self, connection: asyncpg.Connection[asyncpg.Record], producer: Producer
    ) -> tuple[int, bool]:
        """Returns how many were sent, and whether the batch was full."""
        rows = await connection.fetch(NEXT_ROWS, self._slots, RELAY_BATCH_ROWS, RELAY_BATCH_BYTES)
        if not rows:
            self._oldest_unsent = None
            OUTBOX_OLDEST_UNSENT.set(0)
            return 0, False
        self._oldest_unsent = rows[0]["created"]
        OUTBOX_OLDEST_UNSENT.set(rows[0]["created"])
        await producer.send_all([_outgoing(row) for row in rows])
        await connection.execute(DELETE_SENT, [row["id"] for row in rows])
        OUTBOX_PUBLISHED.inc(len(rows))
        is_full = len(rows) == RELAY_BATCH_ROWS or rows[-1]["bytes"] >= RELAY_BATCH_BYTES
        return len(rows), is_full

    async def _balance_slots(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        """Keep our share of the slots: all when alone, half when there are two of us."""
        present = await connection.fetchval(PRESENT_RELAYS, self._lock_class, PRESENCE_SLOT)
        self._is_alone = present <= 1
        share = -(-SLOTS // max(present, 1))
        while len(self._slots) > share:
            slot = self._slots.pop()
            await connection.execute("SELECT pg_advisory_unlock($1, $2)", self._lock_class, slot)
        owned = set(self._slots)
        for slot in range(SLOTS):
            if len(self._slots) >= share:
                break
            if slot not in owned and await connection.fetchval(
                "SELECT pg_try_advisory_lock($1, $2)", self._lock_class, slot
            ):
                self._slots.append(slot)
        OUTBOX_SLOTS.set(len(self._slots))

    async def _probe(self) -> CheckResult:
        if self._trouble:
            return CheckResult("down", f"not sending: {self._trouble}")
        if self._oldest_unsent is not None:
            age_s = time.time() - self._oldest_unsent
            if age_s > STALE_AFTER_S:
                return CheckResult("degraded", f"oldest unsent event is {age_s:.0f} s old")
        return CheckResult("ok", f"{len(self._slots)} slots")


def _outgoing(row: asyncpg.Record) -> OutgoingRecord:
    headers = tuple((name, text.encode()) for name, text in orjson.loads(row["headers"]))
    return OutgoingRecord(row["topic"], row["key"].encode(), row["value"], headers)
