"""Remembers every accepted push, within a bound, and counts everything else."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from passferry_testing.apns_simulator.verdicts import Push, Sender

MAX_RECORDS = 2_000_000
_DISCARDED_SHARE = 10


class AcceptedPush(NamedTuple):
    """One push that the service took; times in ns, `expiration` in seconds since the epoch."""

    number: int
    monotonic_ns: int
    time_ns: int
    token: str
    topic: str
    apns_id: str
    priority: int
    push_type: str | None
    expiration: int | None
    collapse_id: str | None
    auth_kind: str
    auth_identity: str
    connection: int


class PushJournal:
    """Accepted pushes in order, numbered from 0; beyond `limit` the oldest are discarded."""

    def __init__(self, limit: int = MAX_RECORDS) -> None:
        self.answers: Counter[tuple[int, str]] = Counter()
        self.accepted = 0
        self._limit = limit
        self._first = 0
        self._records: list[AcceptedPush] = []
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []

    def record(self, push: Push, sender: Sender, connection: int) -> None:
        if len(self._records) >= self._limit:
            discarded = max(1, self._limit // _DISCARDED_SHARE)
            del self._records[:discarded]
            self._first += discarded
        self._records.append(
            AcceptedPush(
                self.accepted,
                time.monotonic_ns(),
                time.time_ns(),
                push.token,
                push.topic,
                push.apns_id,
                push.priority,
                push.push_type,
                push.expiration,
                push.collapse_id,
                sender.kind,
                sender.identity,
                connection,
            )
        )
        self.accepted += 1
        if self._waiters:
            self._wake()

    def count_answer(self, status: int, reason: str) -> None:
        self.answers[status, reason] += 1

    def since(self, number: int = 0, limit: int | None = None) -> list[AcceptedPush]:
        """Pushes from `number` on that are still kept."""
        start = max(0, number - self._first)
        return self._records[start : None if limit is None else start + limit]

    async def wait_for(self, count: int, timeout_s: float = 10.0) -> list[AcceptedPush]:
        """Wait until `count` pushes were accepted in all; raises TimeoutError."""
        if self.accepted < count:
            arrived = asyncio.get_running_loop().create_future()
            self._waiters.append((count, arrived))
            async with asyncio.timeout(timeout_s):
                await arrived
        return self.since()

    def reset(self) -> None:
        self._records.clear()
        self._first = 0
        self.accepted = 0
        self.answers.clear()

    def dump(self, path: Path) -> int:
        """Write the kept pushes as newline-delimited JSON; returns how many."""
        with path.open("w", encoding="utf-8") as file:
            file.writelines(self._lines())
        return len(self._records)

    def summary(self) -> dict[str, Any]:
        """Counts over the kept pushes; `repeated` are acceptances of an apns-id seen before."""
        topics = Counter(record.topic for record in self._records)
        return {
            "accepted": self.accepted,
            "discarded_records": self._first,
            "distinct_apns_ids": len({record.apns_id for record in self._records}),
            "repeated": len(self._records) - len({record.apns_id for record in self._records}),
            "distinct_tokens": len({record.token for record in self._records}),
            "topics": dict(topics),
            "answers": {
                f"{status} {reason}".rstrip(): count
                for (status, reason), count in sorted(self.answers.items())
            },
        }

    def _lines(self) -> Iterator[str]:
        for record in self._records:
            yield json.dumps(record._asdict()) + "\n"

    def _wake(self) -> None:
        waiting = self._waiters
        self._waiters = [waiter for waiter in waiting if waiter[0] > self.accepted]
        for count, arrived in waiting:
            if count <= self.accepted and not arrived.done():
                arrived.set_result(None)
