"""What all parts of the ledger's benchmark share: who is asked, for how long, what it took.

Standard library only: one part runs under a Python that has nothing of ours.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

UNIFORM, ZIPF, HOT = "uniform", "zipf", "hot"
#: Drawn beforehand, then gone through in a circle.
PICKS = 65_536
#: Passes have the ids from here on, so that no list of them has to be handed around.
FIRST_PASS = UUID("01900000-0000-7000-8000-000000000000")
#: So much that a redemption is never refused.
OPENING_MINOR = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One figure to measure: `clients` send one command after the other, each."""

    way: str
    skew: str
    clients: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Commands per second inside the window, and their latencies."""

    way: str
    skew: str
    clients: int
    per_s: float
    p50_ms: float
    p99_ms: float
    commands: int
    #: HTTP: events that waited in the outbox when the load ended.
    unsent: int | None = None

    @property
    def cell(self) -> Cell:
        return Cell(way=self.way, skew=self.skew, clients=self.clients)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a child process is told, as JSON on its standard input."""

    cells: Sequence[Cell]
    accounts: int
    warm_up_s: float
    seconds: float
    seed: int
    #: What only this way needs: addresses, ids, keys.
    places: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def read_job() -> Job:
    given = json.loads(sys.stdin.readline())
    cells = [Cell(**each) for each in given.pop("cells")]
    return Job(cells=cells, **given)


def tell(measured: Measured) -> None:
    print(json.dumps(asdict(measured)), flush=True)


def pass_id_of(number: int) -> UUID:
    return UUID(int=FIRST_PASS.int + number)


def picks(skew: str, accounts: int, seed: int) -> Iterator[int]:
    """Numbers of accounts, without end. Zipf's exponent is 1.0; ranks are scattered."""
    draw = random.Random(f"{skew}:{seed}")
    if skew == HOT:
        return itertools.repeat(accounts // 2)
    if skew == UNIFORM:
        return itertools.cycle(draw.choices(range(accounts), k=PICKS))
    order = list(range(accounts))
    # The same accounts are the hot ones in every part and every run.
    random.Random(0).shuffle(order)
    weights = list(itertools.accumulate(1.0 / rank for rank in range(1, accounts + 1)))
    return itertools.cycle(draw.choices(order, cum_weights=weights, k=PICKS))


@dataclass(slots=True)
class Window:
    """Counts what is answered between the end of the warm-up and the deadline."""

    warm_up_s: float
    seconds: float
    begins_at: float = 0.0
    ends_at: float = 0.0
    latencies_s: list[float] = field(default_factory=list)

    def open(self) -> None:
        self.begins_at = time.perf_counter() + self.warm_up_s
        self.ends_at = self.begins_at + self.seconds

    def count(self, sent_at: float, answered_at: float) -> bool:
        """False when the client shall stop."""
        if self.begins_at <= answered_at < self.ends_at:
            self.latencies_s.append(answered_at - sent_at)
        return answered_at < self.ends_at

    def measured(self, cell: Cell) -> Measured:
        return summary(cell, self.latencies_s, self.seconds)


def summary(cell: Cell, latencies_s: Sequence[float], seconds: float) -> Measured:
    if not latencies_s:
        raise SystemExit(f"{cell}: nothing was answered inside the window")
    ordered = sorted(latencies_s)
    last = len(ordered) - 1
    return Measured(
        way=cell.way,
        skew=cell.skew,
        clients=cell.clients,
        per_s=round(len(ordered) / seconds, 1),
        p50_ms=round(ordered[last // 2] * 1000, 2),
        p99_ms=round(ordered[int(last * 0.99)] * 1000, 2),
        commands=len(ordered),
    )


async def closed_loop(cell: Cell, job: Job, once: Callable[[int], Awaitable[None]]) -> Measured:
    """`once` applies one command to the account of this number; the first error ends it all."""
    window = Window(job.warm_up_s, job.seconds)
    chosen = picks(cell.skew, job.accounts, job.seed)
    clock = time.perf_counter

    async def client() -> None:
        goes_on = True
        while goes_on:
            sent_at = clock()
            await once(next(chosen))
            goes_on = window.count(sent_at, clock())

    window.open()
    async with asyncio.TaskGroup() as clients:
        for _ in range(cell.clients):
            clients.create_task(client())
    return window.measured(cell)
