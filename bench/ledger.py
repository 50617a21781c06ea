"""How fast the ledger is: at the storage call, by HTTP and by Kafka, beside what others reach.

    python -m bench.ledger [--quick] [--soak 1000000] [--hordak-python PATH] [--only storage http]

From the root of the repository. Everything runs on one Postgres with fsync and synchronous_commit
on, in turns, each figure the median of the runs. The load is closed-loop: each client sends its
next command when the last one is answered. Half of the commands earn, half redeem. Prints tables
for people and ends with one line of JSON; the exit code is 1 when the verifier finds anything.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from bench.ledger_installation import Installation, RunningService
from bench.ledger_kafka import BACKLOG
from bench.ledger_loads import HOT, UNIFORM, ZIPF, Cell, Job, Measured
from bench.ledger_naive import TABLES as NAIVE_TABLES
from bench.ledger_pgbench import (
    COUNTER_ACCOUNTS,
    FLOOR,
    FLOOR_TABLES,
    ONE_BY_ONE,
    PgBench,
    find_pgbench,
    function_text,
)
from bench.ledger_report import (
    FLOOR_CLIENTS,
    HORDAK,
    HTTP,
    KAFKA,
    MANY,
    NAIVE,
    STORAGE,
    Figures,
    print_figures,
)
from bench.ledger_storage import default_of
from passferry_devstack import Backends, DevStack, native

ROOT = Path(__file__).resolve().parent.parent
CHILD_TIMEOUT_S = 600.0
#: pgbench has a connection for each client.
POSTGRES_CONNECTIONS = MANY + 100
SOAK_CLIENTS = 64
#: Of the tables, in characters.
WIDTH = 120
SOAK_TIMEOUT_S = 3_600.0

LOADS: dict[str, dict[str, tuple[int, ...]]] = {
    STORAGE: {UNIFORM: (1, 64, MANY), ZIPF: (1, 64, MANY), HOT: (64, MANY)},
    ONE_BY_ONE: {UNIFORM: (64, MANY), HOT: (64,)},
    NAIVE: {UNIFORM: (1, 64, MANY), ZIPF: (MANY,), HOT: (MANY,)},
    FLOOR: {UNIFORM: (FLOOR_CLIENTS,)},
    HTTP: {UNIFORM: (1, 64, MANY), ZIPF: (1, 64, MANY), HOT: (64, MANY)},
    KAFKA: {UNIFORM: (1, 64, MANY), ZIPF: (MANY,), HOT: (MANY,)},
    HORDAK: {UNIFORM: (64,)},
}
QUICK: dict[str, dict[str, tuple[int, ...]]] = {
    STORAGE: {UNIFORM: (1, 64, MANY), ZIPF: (MANY,), HOT: (MANY,)},
    ONE_BY_ONE: {UNIFORM: (MANY,)},
    NAIVE: {UNIFORM: (MANY,)},
    FLOOR: {UNIFORM: (FLOOR_CLIENTS,)},
    HTTP: {UNIFORM: (1, 64, MANY), ZIPF: (MANY,), HOT: (MANY,)},
    KAFKA: {UNIFORM: (64, MANY)},
    HORDAK: {UNIFORM: (64,)},
}


def cells_of(way: str, loads: dict[str, dict[str, tuple[int, ...]]]) -> list[Cell]:
    return [
        Cell(way=way, skew=skew, clients=clients)
        for skew, numbers in loads[way].items()
        for clients in numbers
    ]


@dataclass(slots=True)
class Bench:
    """`storage` has all that is measured without the service, `served` what it works on."""

    options: argparse.Namespace
    figures: Figures
    console: Console
    storage: Installation
    served: Installation
    peer_url: str

    @property
    def loads(self) -> dict[str, dict[str, tuple[int, ...]]]:
        return QUICK if self.options.quick else LOADS

    def wants(self, way: str) -> bool:
        return way not in self.figures.left_out

    async def run(self, number: int) -> None:
        """Each way once, one after the other."""
        await self._forget_events()
        await self._child(STORAGE, "ledger_storage", number, dsn=self.storage.app_url)
        await self._pgbench(ONE_BY_ONE)
        await self._child(NAIVE, "ledger_naive", number, dsn=self.storage.harness.admin_url)
        await self._pgbench(FLOOR)
        if self.wants(HTTP) or self.wants(KAFKA):
            async with RunningService.start(self.served) as service:
                await self._http(service, number)
                await self._kafka(service, number)
        if self.wants(HORDAK):
            python = self.options.hordak_python
            job = self._job(HORDAK, number, dsn=self.peer_url)
            self._note(await run_child(job, "ledger_hordak", python=python))

    def _job(self, way: str, number: int, **places: Any) -> Job:
        return Job(
            cells=cells_of(way, self.loads),
            accounts=self.options.accounts,
            warm_up_s=self.options.warm_up,
            seconds=self.options.seconds,
            seed=number,
            places=places,
        )

    def _note(self, measured: Sequence[Measured]) -> None:
        self.figures.measured.extend(measured)
        for each in measured:
            self.console.print(
                f"{each.way}, {each.skew}, {each.clients} clients: {each.per_s:,.0f}/s,"
                f" p50 {each.p50_ms} ms, p99 {each.p99_ms} ms"
            )

    async def _child(self, way: str, module: str, number: int, *, dsn: str) -> None:
        if self.wants(way):
            workspace_id = str(self.storage.workspace_id)
            job = self._job(way, number, dsn=dsn, workspace_id=workspace_id)
            self._note(await run_child(job, module))

    async def _pgbench(self, way: str) -> None:
        program = find_pgbench()
        if program is None or not self.wants(way):
            return
        installation, options = self.storage, self.options
        pgbench = PgBench(
            program=program,
            url=installation.app_url if way == ONE_BY_ONE else installation.harness.admin_url,
            workspace_id=installation.workspace_id,
            accounts=options.accounts,
        )
        for cell in cells_of(way, self.loads):
            self._note(
                [await pgbench.measure(cell, warm_up_s=options.warm_up, seconds=options.seconds)]
            )

    async def _http(self, service: RunningService, number: int) -> None:
        if not self.wants(HTTP):
            return
        job = self._job(HTTP, number, **_http_places(service))
        for cell in job.cells:
            before_s = service.process.cpu_seconds()
            [measured] = await run_child(replace(job, cells=[cell]), "ledger_http")
            # What was put off must not slow down the next cell.
            unsent = await service.settle()
            cpu_s = service.process.cpu_seconds() - before_s
            cpu_ms = round(cpu_s * 1000 / measured.answered, 3)
            self._note([replace(measured, unsent=unsent, cpu_ms=cpu_ms)])

    async def _kafka(self, service: RunningService, number: int) -> None:
        if not self.wants(KAFKA):
            return
        harness = service.installation.harness
        job = self._job(
            KAFKA,
            number,
            brokers=harness.kafka.brokers,
            topic_prefix=harness.kafka.topic_prefix,
            workspace_id=str(service.installation.workspace_id),
        )
        queued = Cell(way=BACKLOG, skew=UNIFORM, clients=self.options.backlog)
        self._note(await run_child(replace(job, cells=[*job.cells, queued]), "ledger_kafka"))
        await service.settle()

    async def soak(self) -> None:
        """Many commands by HTTP, and what the service's memory does meanwhile."""
        async with RunningService.start(self.served) as service:
            places = _http_places(service) | {"commands": self.options.soak}
            cell = Cell(way="soak", skew=UNIFORM, clients=SOAK_CLIENTS)
            job = replace(self._job(HTTP, 0, **places), cells=[cell])
            async with asyncio.timeout(SOAK_TIMEOUT_S):
                async for told in child_lines(job, "ledger_http"):
                    told["resident_mb"] = round(service.process.resident_megabytes(), 1)
                    told["unsent"] = await service.unsent()
                    self.figures.soak.append(told)
                    self.console.print(f"soak: {told}")
                await service.settle()

    async def _forget_events(self) -> None:
        """Nobody sends the events of what is measured without the service, and pgbench, which
        calls the functions alone, writes none: what is left in the outbox is full of holes."""
        await self.storage.administrate("TRUNCATE ledger.outbox")

    async def verify(self) -> None:
        await self._forget_events()
        for installation in (self.storage, self.served):
            # The tables have grown a hundredfold since they were looked at.
            await installation.administrate("ANALYZE")
            self.figures.findings.extend(
                f"{each.code} {each.subject}: expected {each.expected}, found {each.actual}"
                for each in await installation.findings()
            )


def _http_places(service: RunningService) -> dict[str, Any]:
    workspace_id = str(service.installation.workspace_id)
    return {"url": service.url, "api_key": service.api_key, "workspace_id": workspace_id}


async def run_child(job: Job, module: str, *, python: str = sys.executable) -> list[Measured]:
    async with asyncio.timeout(CHILD_TIMEOUT_S):
        return [Measured(**line) async for line in child_lines(job, module, python=python)]


async def child_lines(
    job: Job, module: str, *, python: str = sys.executable
) -> AsyncIterator[dict[str, Any]]:
    """What the child tells, as it tells it; ends the run when the child fails."""
    child = await asyncio.create_subprocess_exec(
        python,
        "-m",
        f"bench.{module}",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    if child.stdin is None or child.stdout is None:
        raise AssertionError("a child without pipes")
    try:
        child.stdin.write(job.to_json().encode() + b"\n")
        child.stdin.close()
        async for line in child.stdout:
            yield json.loads(line)
        if await child.wait() != 0:
            raise SystemExit(f"{module} failed")
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def facts_of(installation: Installation, options: argparse.Namespace) -> dict[str, object]:
    """Of the server and the run; a Postgres that may lose commits is not measured."""
    names = ("server_version", "fsync", "synchronous_commit", "max_connections")
    rows = [(await installation.fetch(f"SHOW {name}"))[0] for name in names]
    found = dict(zip(names, (str(row[0]) for row in rows), strict=True))
    if (found["fsync"], found["synchronous_commit"]) != ("on", "on"):
        raise SystemExit("this Postgres has fsync or synchronous_commit off: its figures are none")
    if int(found["max_connections"]) < MANY + 20:
        raise SystemExit(f"this Postgres takes fewer than {MANY + 20} connections")
    return {
        "cores": os.cpu_count() or 1,
        "Postgres": found["server_version"],
        "fsync": found["fsync"],
        "synchronous_commit": found["synchronous_commit"],
        "accounts": options.accounts,
        "Zipf exponent": 1.0,
        "lanes": default_of("command_lanes"),
        "largest batch": default_of("command_batch"),
        "runs": options.runs,
        "seconds": options.seconds,
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def left_out_by(options: argparse.Namespace) -> dict[str, str]:
    missing: dict[str, str] = {}
    if find_pgbench() is None:
        missing |= dict.fromkeys((ONE_BY_ONE, FLOOR), "no pgbench found")
    if options.hordak_python is None:
        missing[HORDAK] = "no --hordak-python"
    chosen = options.only or list(LOADS)
    return {way: "not chosen" for way in LOADS if way not in chosen} | missing


async def measure(
    backends: Backends, directory: Path, options: argparse.Namespace, console: Console
) -> Figures:
    async with contextlib.AsyncExitStack() as stack:
        places = [directory / name for name in ("storage", "served")]
        for place in places:
            place.mkdir()
        storage, served = [
            await stack.enter_async_context(
                Installation.open(
                    backends, place, accounts=options.accounts, with_topics=place.name == "served"
                )
            )
            for place in places
        ]
        figures = Figures(await facts_of(storage, options), left_out=left_out_by(options))
        counters = await storage.counters(COUNTER_ACCOUNTS)
        await storage.administrate(NAIVE_TABLES)
        await storage.administrate(function_text(storage.workspace_id, counters))
        await storage.administrate(FLOOR_TABLES.format(accounts=options.accounts))
        peer = f"{storage.harness.name}_peer"
        await storage.administrate(f'CREATE DATABASE "{peer}"')
        stack.push_async_callback(
            storage.administrate, f'DROP DATABASE IF EXISTS "{peer}" WITH (FORCE)'
        )
        peer_url = storage.harness.admin_url.replace(storage.harness.name, peer)
        console.print(f"two ledgers with {options.accounts} accounts each")
        busy: list[float] = []
        bench = Bench(options, figures, console, storage, served, peer_url)
        for number in range(options.runs):
            console.print(f"run {number + 1} of {options.runs}")
            busy.append(await asyncio.to_thread(psutil.cpu_percent, 1.0))
            await bench.run(number)
        # Of the cores, while nothing of ours had to be done: what others do spoils the figures.
        figures.facts["busy before runs, %"] = max(busy)
        if options.soak:
            await bench.soak()
        await bench.verify()
        return figures


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about a minute: less to trust")
    parser.add_argument("--runs", type=int, help="of everything, in turns")
    parser.add_argument("--seconds", type=float, help="for each figure of each run")
    parser.add_argument("--warm-up", type=float, default=0.5, help="seconds before each figure")
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument("--backlog", type=int, help="commands sent to Kafka at once")
    parser.add_argument("--only", nargs="+", choices=sorted(LOADS), help="leave out the others")
    parser.add_argument("--hordak-python", help="a Python that has django-hordak and psycopg")
    parser.add_argument("--soak", type=int, default=0, help="so many commands by HTTP besides")
    options = parser.parse_args()
    options.runs = options.runs or (1 if options.quick else 3)
    options.seconds = options.seconds or (1.0 if options.quick else 1.2)
    options.backlog = options.backlog or (2_000 if options.quick else 5_000)
    return options


def main() -> None:
    options = parse_options()
    console = Console(highlight=False, stderr=True)
    native.POSTGRES_CONNECTIONS = POSTGRES_CONNECTIONS
    with (
        tempfile.TemporaryDirectory(prefix="ledger-bench-") as directory,
        DevStack(durable=True, throughput=True, announce=console.print) as backends,
    ):
        figures = asyncio.run(measure(backends, Path(directory), options, console))
    print_figures(Console(highlight=False, width=WIDTH), figures)
    sys.exit(1 if figures.findings else 0)


if __name__ == "__main__":
    main()
