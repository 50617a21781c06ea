"""A file of passes to issue: how many rows a second, and how much memory it takes.

    python -m bench.issuer_bulk [--rows 100000]

From the root of the repository. One pass-issuer as a process of its own on real Kafka and Postgres
(fsync on), with its relay, so that the rate holds while every event goes out. The file is sent as a
stream; the peak is the resident memory of that process with its signing process, measured from
outside. Then the same file goes once more, which must change nothing, and a new version of the
template reaches every pass.
Ends with one line of JSON; the exit code is 1 when a count is wrong or the memory above the aim.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import uvloop
from rich.console import Console
from rich.table import Table

from bench.issuer_installation import Issuer, RunningIssuer
from bench.render_subject import APPLE, PASS_TYPE, TEAM
from passferry_contracts.registry import TOPICS
from passferry_devstack import Backends, DevStack
from passferry_testing.harness import Harness

AIM_PEAK_MB = 400
TIMEOUT_S = 3_600.0
POLL_S = 0.2
WATCH_S = 0.05
MEGABYTE = 1_000_000
LINES_AT_ONCE = 500
FAST = "max_per_second=10000"
ENDED = frozenset({"done", "failed", "cancelled"})


@dataclass(slots=True)
class Memory:
    """Of one process and those that it started, in megabytes."""

    before_mb: int
    peak_mb: int = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def watched(cls, pid: int) -> AsyncIterator[Memory]:
        process = psutil.Process(pid)
        memory = cls(_megabytes(process))

        async def watch() -> None:
            while True:
                memory.peak_mb = max(memory.peak_mb, _megabytes(process))
                await asyncio.sleep(WATCH_S)

        task = asyncio.create_task(watch())
        try:
            yield memory
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _megabytes(process: psutil.Process) -> int:
    family = [process, *process.children()]
    return int(sum(each.memory_info().rss for each in family)) // MEGABYTE


@dataclass(slots=True)
class Run:
    """`upload_s`: until the file was taken; `job_s`: until its last row was done; `told_s`: until
    the last event had left the outbox."""

    rows: int
    upload_s: float
    job_s: float
    told_s: float
    changed: int
    unchanged: int
    refused: int

    @property
    def per_s(self) -> int:
        return round(self.rows / self.told_s)


async def _lines(rows: int) -> AsyncIterator[bytes]:
    yield b"external_id,holder.external_id,holder.full_name,holder.email,opening_balance,field.drink\r\n"
    for start in range(0, rows, LINES_AT_ONCE):
        numbers = range(start, min(start + LINES_AT_ONCE, rows))
        yield "".join(
            f"B-{n:07d},H-{n:07d},Holder {n},holder{n}@example.org,{n % 100},Flat white\r\n"
            for n in numbers
        ).encode()


class Bench:
    def __init__(self, running: RunningIssuer, rows: int) -> None:
        self.running = running
        self.issuer = running.issuer
        self.rows = rows

    @property
    def base(self) -> str:
        return f"/workspaces/{self.issuer.workspace_id}"

    async def send(self) -> Run:
        began = time.perf_counter()
        answer = await self.running.client.post(
            f"/api/v1{self.base}/bulk-issues?program_id={self.issuer.program_id}&{FAST}",
            content=_lines(self.rows),
            headers={
                "Authorization": f"Bearer {self.issuer.api_key}",
                "Content-Type": "text/csv",
            },
            timeout=TIMEOUT_S,
        )
        answer.raise_for_status()
        job = answer.json()
        upload_s = time.perf_counter() - began
        done = await self._until_ended(f"{self.base}/bulk-issues/{job['bulk_issue_id']}")
        job_s = time.perf_counter() - began
        return Run(
            rows=self.rows,
            upload_s=upload_s,
            job_s=job_s,
            told_s=await self._told(began),
            changed=done["created"],
            unchanged=done["existed"],
            refused=done["refused"],
        )

    async def roll_out(self) -> Run:
        """Another label on every pass."""
        [row] = await self.issuer.fetch("SELECT template_id FROM pass_issuer.template LIMIT 1")
        path = f"{self.base}/templates/{row['template_id']}"
        layout = json.loads(json.dumps(APPLE))
        layout["logo_text"] = "Another"
        body = {
            "name": "Card",
            "platform": "apple",
            "protocol": "MEMBERSHIP",
            "pass_type_identifier": PASS_TYPE,
            "team_identifier": TEAM,
            "apple": layout,
        }
        key = self.issuer.api_key
        await self.running.call("PUT", path, key=key, json=body)
        await self.running.call("POST", f"{path}/publish", key=key)
        newest = (await self.running.call("GET", f"{path}/rollouts", key=key))["data"][0]
        own = f"{path}/rollouts/{newest['rollout_id']}"
        # It began at its default pace; the next one goes as fast as it can.
        await self.running.call("POST", f"{own}/cancel", key=key)
        began = time.perf_counter()
        fast = {"max_per_second": 10_000}
        started = await self.running.call("POST", f"{path}/rollouts", key=key, json=fast)
        done = await self._until_ended(f"{path}/rollouts/{started['rollout_id']}")
        return Run(
            rows=done["done"],
            upload_s=0.0,
            job_s=time.perf_counter() - began,
            told_s=await self._told(began),
            changed=done["changed"],
            unchanged=done["unchanged"],
            refused=done["refused"],
        )

    async def _until_ended(self, path: str) -> Any:
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                shown = await self.running.call("GET", path, key=self.issuer.api_key)
                if shown["state"] in ENDED:
                    return shown
                await asyncio.sleep(POLL_S)

    async def _told(self, began: float) -> float:
        waiting = "SELECT EXISTS (SELECT FROM pass_issuer.outbox)"
        async with asyncio.timeout(TIMEOUT_S):
            while (await self.issuer.fetch(waiting))[0][0]:  # noqa: ASYNC110  # another process empties it
                await asyncio.sleep(POLL_S)
        return time.perf_counter() - began


async def measure(backends: Backends, directory: Path, rows: int) -> tuple[dict[str, Run], Memory]:
    async with Harness.open(backends, directory, topics=list(TOPICS.values())) as harness:
        issuer = await Issuer.make(harness, signing_processes=1)
        async with issuer.serve() as running:
            await running.set_up(0)
            bench = Bench(running, rows)
            async with Memory.watched(running.pid) as memory:
                runs = {"issue": await bench.send(), "again": await bench.send()}
                runs["rollout"] = await bench.roll_out()
    return runs, memory


def faults_of(runs: dict[str, Run], memory: Memory, rows: int) -> list[str]:
    wanted = {"issue": (rows, 0, 0), "again": (0, rows, 0)}
    faults = [
        f"{name}: {asdict(runs[name])}"
        for name, counts in wanted.items()
        if (runs[name].changed, runs[name].unchanged, runs[name].refused) != counts
    ]
    if runs["rollout"].refused:
        faults.append(f"rollout: {asdict(runs['rollout'])}")
    if memory.peak_mb > AIM_PEAK_MB:
        faults.append(f"peak memory {memory.peak_mb} MB is above {AIM_PEAK_MB} MB")
    return faults


def report(runs: dict[str, Run], memory: Memory, faults: list[str]) -> None:
    console = Console(highlight=False)
    table = Table("what", "rows", "taken in s", "done in s", "told in s", "rows a second")
    for name, run in runs.items():
        seconds = (f"{each:.1f}" for each in (run.upload_s, run.job_s, run.told_s))
        table.add_row(name, f"{run.rows:,}", *seconds, f"{run.per_s:,}")
    console.print(table)
    console.print(
        f"memory: {memory.before_mb} MB before, {memory.peak_mb} MB at most (aim {AIM_PEAK_MB})"
    )
    for fault in faults:
        console.print(f"FAULT {fault}")
    told = {
        "facts": {"cores": os.cpu_count()},
        "runs": {name: {**asdict(run), "per_s": run.per_s} for name, run in runs.items()},
        "memory": asdict(memory),
        "faults": faults,
    }
    sys.stdout.write(json.dumps(told) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    rows = parser.parse_args().rows
    stack = DevStack(durable=True, throughput=True, announce=Console(stderr=True).print)
    with tempfile.TemporaryDirectory(prefix="issuer-bulk-") as directory, stack as backends:
        runs, memory = uvloop.run(measure(backends, Path(directory), rows))
    faults = faults_of(runs, memory, rows)
    report(runs, memory, faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
