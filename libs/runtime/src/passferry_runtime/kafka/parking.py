"""Parked records: what cannot be handled yet, durable in Postgres, in order behind its lane's head."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from passferry_runtime.clock import Clock
from passferry_runtime.kafka.records import IncomingRecord
from passferry_runtime.metrics import PARKED_RECORDS
from passferry_runtime.postgres import Database, Transaction

LONGEST_RETRY_S = 600.0
DUE_BATCH = 256

LOAD_LANES = """
SELECT lane, count(*) AS records FROM parked_records
WHERE (topic, partition) IN (SELECT * FROM unnest($1::text[], $2::integer[])) GROUP BY lane
"""

PARK = """
INSERT INTO parked_records (topic, partition, record_offset, lane, key, value, headers,
    timestamp_ms, reason_code, reason_detail, parked_at, next_attempt_at)
SELECT * FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::text[], $5::bytea[], $6::bytea[],
    $7::text[], $8::bigint[], $9::text[], $10::text[], $11::timestamptz[], $12::timestamptz[])
ON CONFLICT (topic, partition, record_offset) DO NOTHING
"""

#: The first record of each lane that is due.
DUE_HEADS = """
SELECT id, topic, partition, record_offset, lane, key, value, headers, timestamp_ms,
    reason_code, reason_detail, attempts, parked_at
FROM parked_records AS head
WHERE next_attempt_at <= $1 AND lane = ANY($2::text[])
    AND NOT EXISTS (
        SELECT 1 FROM parked_records AS earlier
        WHERE earlier.lane = head.lane AND earlier.id < head.id)
ORDER BY id LIMIT $3
"""

REMOVE = "DELETE FROM parked_records WHERE id = ANY($1::bigint[])"

#: The next of a lane is tried at once when its head is gone.
HURRY_NEXT = """
UPDATE parked_records SET next_attempt_at = $2
WHERE id IN (SELECT min(id) FROM parked_records WHERE lane = ANY($1::text[]) GROUP BY lane)
"""

REMAINING = """
SELECT lane, count(*) AS records FROM parked_records WHERE lane = ANY($1::text[]) GROUP BY lane
"""

POSTPONE = """
UPDATE parked_records SET attempts = attempts + 1, next_attempt_at = $2, reason_code = $3,
    reason_detail = $4 WHERE id = $1
"""


@dataclass(frozen=True, slots=True)
class ParkedRecord:
    id: int
    lane: str
    record: IncomingRecord
    attempts: int
    parked_at: datetime
    reason_code: str
    reason_detail: str


@dataclass(frozen=True, slots=True)
class ToPark:
    record: IncomingRecord
    lane: str
    code: str
    detail: str


def retry_delay_s(attempts: int, *, first_s: float) -> float:
    """Doubles from `first_s` to ten minutes, with a quarter of jitter."""
    delay: float = min(first_s * 2 ** min(attempts, 20), LONGEST_RETRY_S)
    return delay * random.uniform(0.75, 1.25)


class ParkingLot:
    """The parked records of the partitions that this consumer owns."""

    def __init__(self, database: Database, clock: Clock, *, first_retry_s: float) -> None:
        self._database = database
        self._clock = clock
        self._first_retry_s = first_retry_s
        #: lane → number of its parked records, of the owned partitions only
        self.lanes: dict[str, int] = {}
        # Parking behind a head and removing that head must see each other's rows, or a later
        # record could overtake: they take turns.
        self._turn = asyncio.Lock()

    @property
    def size(self) -> int:
        return sum(self.lanes.values())

    @property
    def topics(self) -> set[str]:
        """That records are parked of."""
        return {lane.partition("/")[0] for lane in self.lanes}

    async def load(self, partitions: Iterable[tuple[str, int]]) -> None:
        owned = list(partitions)
        async with self._database.plumbing() as transaction:
            rows = await transaction.fetch(
                LOAD_LANES, [topic for topic, _ in owned], [number for _, number in owned]
            )
        self.lanes = {row["lane"]: row["records"] for row in rows}
        PARKED_RECORDS.set(self.size)

    async def park(self, waiting: Sequence[ToPark]) -> None:
        """Durable when it returns; a record that is parked already stays where it is."""
        now = self._clock.now()
        first_try = now + timedelta(seconds=retry_delay_s(0, first_s=self._first_retry_s))
        async with self._turn, self._database.plumbing() as transaction:
            await transaction.execute(
                PARK,
                [each.record.topic for each in waiting],
                [each.record.partition for each in waiting],
                [each.record.offset for each in waiting],
                [each.lane for each in waiting],
                [each.record.key for each in waiting],
                [each.record.value for each in waiting],
                [_encode_headers(each.record.headers) for each in waiting],
                [each.record.timestamp_ms for each in waiting],
                [each.code for each in waiting],
                [_storable(each.detail) for each in waiting],
                [now] * len(waiting),
                [first_try] * len(waiting),
            )
            await self._count_again(transaction, {each.lane for each in waiting})

    async def due(self) -> list[ParkedRecord]:
        """The heads of lanes whose time has come."""
        lanes = list(self.lanes)
        async with self._database.plumbing() as transaction:
            rows = await transaction.fetch(DUE_HEADS, self._clock.now(), lanes, DUE_BATCH)
        return [_parked(row) for row in rows]

    async def remove(self, finished: Sequence[ParkedRecord]) -> None:
        lanes = sorted({each.lane for each in finished})
        async with self._turn, self._database.plumbing() as transaction:
            await transaction.execute(REMOVE, [each.id for each in finished])
            await transaction.execute(HURRY_NEXT, lanes, self._clock.now())
            # Not those that went to another member meanwhile.
            await self._count_again(transaction, self.lanes.keys() & set(lanes))

    async def postpone(self, parked: ParkedRecord, *, code: str, detail: str) -> None:
        delay = retry_delay_s(parked.attempts + 1, first_s=self._first_retry_s)
        async with self._database.plumbing() as transaction:
            await transaction.execute(
                POSTPONE,
                parked.id,
                self._clock.now() + timedelta(seconds=delay),
                code,
                _storable(detail),
            )

    async def hurry(self, lanes: Iterable[str]) -> None:
        """Make the heads of these lanes due."""
        async with self._database.plumbing() as transaction:
            await transaction.execute(HURRY_NEXT, sorted(lanes), self._clock.now())

    async def _count_again(self, transaction: Transaction, lanes: set[str]) -> None:
        # Before the commit: should that fail, a lane is taken for parked too early or too late,
        # which the record that is then tried again puts right.
        rows = await transaction.fetch(REMAINING, sorted(lanes))
        counts = {row["lane"]: row["records"] for row in rows}
        for lane in lanes:
            if counts.get(lane):
                self.lanes[lane] = counts[lane]
            else:
                self.lanes.pop(lane, None)
        PARKED_RECORDS.set(self.size)


def _storable(detail: str) -> str:
    return detail[:1000].replace("\x00", "").encode("utf-8", "replace").decode()


def _encode_headers(headers: Sequence[tuple[str, bytes]]) -> str:
    return json.dumps([[name, base64.b64encode(raw).decode()] for name, raw in headers])


def _parked(row: asyncpg.Record) -> ParkedRecord:
    headers = tuple((name, base64.b64decode(raw)) for name, raw in json.loads(row["headers"]))
    record = IncomingRecord(
        row["topic"],
        row["partition"],
        row["record_offset"],
        row["timestamp_ms"],
        row["key"],
        row["value"],
        headers,
    )
    return ParkedRecord(
        row["id"],
        row["lane"],
        record,
        row["attempts"],
        row["parked_at"],
        row["reason_code"],
        row["reason_detail"],
    )
