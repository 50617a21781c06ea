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
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from uuid import UUID

UNIFORM, ZIPF, HOT = "uniform", "zipf", "hot"
#: Drawn beforehand, then gone through in a circle.
PICKS = 65_536
#: Of a window in which too little happened.
MAX_EXTENSIONS = 9
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
    #: Warm-up included.
    answered: int = 0
    #: CPU per command of the process that is measured: the service by HTTP, relay included; of the
    #: storage call and the naive ledger the whole process, its clients included.
    cpu_ms: float | None = None
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
    """Counts what is answered between the end of the warm-up and the deadline, which is put off
    by another `seconds` while too few answers came to speak of."""

    warm_up_s: float
    seconds: float
    #: Answers that are enough.
    enough: int
    begins_at: float = 0.0
    ends_at: float = 0.0
    extensions_left: int = MAX_EXTENSIONS
    latencies_s: list[float] = field(default_factory=list)
    answered: int = 0

    def open(self) -> None:
        self.begins_at = time.perf_counter() + self.warm_up_s
        self.ends_at = self.begins_at + self.seconds

    def count(self, sent_at: float, answered_at: float) -> bool:
        """False when the client shall stop."""
        self.answered += 1
        while answered_at >= self.ends_at:
            if len(self.latencies_s) >= self.enough or not self.extensions_left:
                return False
            self.extensions_left -= 1
            self.ends_at += self.seconds
        if answered_at >= self.begins_at:
            self.latencies_s.append(answered_at - sent_at)
        return True

    def measured(self, cell: Cell) -> Measured:
        measured = summary(cell, self.latencies_s, self.ends_at - self.begins_at)
        return replace(measured, answered=self.answered)


def window_of(cell: Cell, job: Job) -> Window:
    return Window(job.warm_up_s, job.seconds, enough=2 * cell.clients + 20)


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
    window = window_of(cell, job)
    chosen = picks(cell.skew, job.accounts, job.seed)
    clock = time.perf_counter

    async def client() -> None:
        goes_on = True
        while goes_on:
            sent_at = clock()
            await once(next(chosen))
            goes_on = window.count(sent_at, clock())

    window.open()
    cpu_before_s = time.process_time()
    async with asyncio.TaskGroup() as clients:
        for _ in range(cell.clients):
            clients.create_task(client())
    cpu_s = time.process_time() - cpu_before_s
    return replace(window.measured(cell), cpu_ms=round(cpu_s * 1000 / window.answered, 3))
