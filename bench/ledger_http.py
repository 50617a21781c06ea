"""A cheap client of the ledger's HTTP API: keep-alive connections, each with one request open.

A child of bench/ledger.py. It shares the machine with what it measures, so it does as little as
can be done: requests are bytes made beforehand, and of an answer it reads status and length.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import cast
from urllib.parse import urlsplit

import uvloop

from bench.ledger_loads import (
    MAX_EXTENSIONS,
    Cell,
    Job,
    Window,
    pass_id_of,
    picks,
    read_job,
    summary,
    tell,
    window_of,
)

BODY = b'{"amount_minor":1}'
#: After the end of the load, for answers that are still out.
LAST_ANSWERS_S = 30.0


class Requests:
    """Bytes of one command after the other, each with a new key."""

    def __init__(self, job: Job, chosen: Iterator[int]) -> None:
        self._chosen = chosen
        self._draw = random.Random()
        self._heads = [
            tuple(_head(job, number, action) for action in ("earn", "redeem"))
            for number in range(job.accounts)
        ]
        self._actions = itertools.cycle((0, 1))

    def next(self) -> bytes:
        head = self._heads[next(self._chosen)][next(self._actions)]
        return b"%b%032x\r\n\r\n%b" % (head, self._draw.getrandbits(128), BODY)


def _head(job: Job, number: int, action: str) -> bytes:
    path = f"/api/v1/workspaces/{job.places['workspace_id']}/passes/{pass_id_of(number)}/{action}"
    return (
        f"POST {path} HTTP/1.1\r\nHost: {urlsplit(job.places['url']).netloc}\r\n"
        f"Authorization: Bearer {job.places['api_key']}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(BODY)}\r\nIdempotency-Key: "
    ).encode()


class Load:
    """All connections of one cell: until the window closes or, of a soak, so many `commands`."""

    def __init__(self, requests: Requests, window: Window, *, commands: int = 0) -> None:
        self.requests = requests
        self.window = window
        self.statuses: Counter[bytes] = Counter()
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.open = 0
        self._commands = commands
        self._slice_size = max(commands // 20, 1)
        self._answered = 0
        self._slice_began_at = time.perf_counter()

    def answered(self, sent_at: float, status: bytes) -> bool:
        """False when the connection shall not go on."""
        self.statuses[status] += 1
        goes_on = self.window.count(sent_at, time.perf_counter())
        if self._commands:
            self._answered += 1
            if self._answered % self._slice_size == 0:
                self._tell_slice()
            goes_on = self._answered + self.open <= self._commands
        if not goes_on:
            self.open -= 1
            if not self.open and not self.over.done():
                self.over.set_result(None)
        return goes_on

    def failed(self, reason: str) -> None:
        if not self.over.done():
            self.over.set_exception(ConnectionError(reason))

    def _tell_slice(self) -> None:
        now = time.perf_counter()
        cell = Cell(way="soak", skew="uniform", clients=self.open)
        part = summary(cell, self.window.latencies_s, now - self._slice_began_at)
        figures = {"answered": self._answered, "per_s": part.per_s, "p99_ms": part.p99_ms}
        print(json.dumps(figures), flush=True)
        self.window.latencies_s.clear()
        self._slice_began_at = now


class Connection(asyncio.Protocol):
    """Sends the next request when the answer to the last one is complete."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._sent_at = 0.0
        self._received = b""
        self._is_done = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # The event loop's own class, which is a transport in all but name.
        self._transport = cast(asyncio.Transport, transport)

    def send(self) -> None:
        if self._transport is None:
            raise ConnectionError("not connected")
        self._sent_at = time.perf_counter()
        self._transport.write(self._load.requests.next())

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        end = received.find(b"\r\n\r\n")
        if end < 0 or len(received) < end + 4 + _length(received[:end]):
            self._received = received
            return
        self._received = b""
        if self._load.answered(self._sent_at, received[9:12]):
            self.send()
        elif self._transport is not None:
            self._is_done = True
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._is_done:
            self._load.failed(f"the service closed a connection: {exc}")


def _length(head: bytes) -> int:
    lowered = head.lower()
    at = lowered.find(b"\r\ncontent-length:")
    if at < 0:
        raise ValueError("an answer without Content-Length")
    end = lowered.find(b"\r\n", at + 2)
    return int(lowered[at + 17 : end if end > 0 else len(lowered)])


async def run_cell(cell: Cell, job: Job) -> None:
    requests = Requests(job, picks(cell.skew, job.accounts, job.seed))
    commands = int(job.places.get("commands", 0))
    # A soak has no end but its number.
    window = Window(0.0, 1e9, enough=0) if commands else window_of(cell, job)
    load = Load(requests, window, commands=commands)
    address, loop = urlsplit(job.places["url"]), asyncio.get_running_loop()
    connections = [
        (await loop.create_connection(lambda: Connection(load), address.hostname, address.port))[1]
        for _ in range(cell.clients)
    ]
    window.open()
    load.open = cell.clients
    for connection in connections:
        connection.send()
    longest_s = job.warm_up_s + job.seconds * (1 + MAX_EXTENSIONS) + LAST_ANSWERS_S
    async with asyncio.timeout(None if commands else longest_s):
        await load.over
    wrong = {status.decode(): count for status, count in load.statuses.items() if status != b"200"}
    if wrong:
        sys.exit(f"{cell}: answers other than 200: {wrong}")
    if not commands:
        tell(window.measured(cell))


if __name__ == "__main__":
    given = read_job()
    for each in given.cells:
        uvloop.run(run_cell(each, given))
