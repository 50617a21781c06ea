"""From balance changes on Kafka to pass.rendered: how many a second, and what each costs.

    python -m bench.issuer [--passes 3000] [--rounds 3] [--only unsigned signed]

From the root of the repository. One pass-issuer as a process of its own, with one process for
signatures, on real Kafka and Postgres (fsync on). Each round is a backlog: one change for each
pass, so that none is coalesced with another. The rate is taken between the first and the last tenth of
what is rendered. Signed rates are told as a share of what one core signs at all, measured in the
same run. Prints tables for people and ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psutil
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition
from rich.console import Console
from rich.table import Table

from bench.end_to_end import raw_rsa_rate, tree_cpu
from bench.issuer_installation import Issuer, RunningIssuer
from passferry_contracts.events.balances import PassBalanceChanged
from passferry_contracts.events.wallet import PassLinkOpened
from passferry_contracts.registry import (
    PASS_BALANCE_CHANGED,
    PASS_RENDERED,
    TOPICS,
    WALLET_ACTIVITY,
    Payload,
    Topic,
)
from passferry_contracts.types import Platform
from passferry_devstack import Backends, DevStack
from passferry_testing.harness import Harness

AT_ONCE = 500
TIMEOUT_S = 300.0
#: Each look costs Kafka as much as some events do.
POLL_S = 0.1
AIM_SIGNED = 0.7
UNSIGNED, SIGNED = "unsigned", "signed"


@dataclass(slots=True)
class Round:
    """One backlog: how fast it went, and CPU milliseconds an event by who used them."""

    per_s: float
    cpu_ms: dict[str, float]


@dataclass(slots=True)
class Figures:
    raw_rsa_per_s: list[float] = field(default_factory=list)
    rounds: dict[str, list[Round]] = field(default_factory=dict)

    def per_s(self, kind: str) -> float:
        return statistics.median(each.per_s for each in self.rounds[kind])

    def cpu_ms(self, kind: str) -> dict[str, float]:
        names = self.rounds[kind][0].cpu_ms
        return {
            name: round(statistics.median(each.cpu_ms[name] for each in self.rounds[kind]), 3)
            for name in names
        }


class Bench:
    def __init__(self, issuer: Issuer, stack: DevStack, rendered: AIOKafkaConsumer) -> None:
        self.issuer = issuer
        self.stack = stack
        self.rendered = rendered
        self.version = 0

    async def round(self) -> Round:
        """A backlog is made while nobody reads; then the service comes and works it off."""
        self.version += 1
        before = await self._end()
        await self._publish(PASS_BALANCE_CHANGED, list(self._changes()))
        number = len(self.issuer.pass_ids)
        async with self.issuer.serve() as running:
            return await self._watch(running, before, number)

    async def put_on_apple(self) -> None:
        """Each pass is opened on an iPhone once: from then on its revisions are signed."""
        before = await self._end()
        await self._publish(WALLET_ACTIVITY, list(self._openings()))
        async with self.issuer.serve() as running:
            await self._watch(running, before, len(self.issuer.pass_ids))

    async def _watch(self, running: RunningIssuer, before: int, number: int) -> Round:
        first, last = number // 10, number - number // 10
        began: tuple[float, int, dict[str, float]] | None = None
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                done = await self._end() - before
                if began is None and done >= first:
                    began = time.perf_counter(), done, self._cpu_s(running)
                if began is not None and done >= last:
                    break
                await asyncio.sleep(POLL_S)
            seconds, events = time.perf_counter() - began[0], done - began[1]
            used = self._cpu_s(running)
            while await self._end() - before < number:  # noqa: ASYNC110  # another process's doing
                await asyncio.sleep(POLL_S)
        cpu_ms = {name: (used[name] - began[2][name]) * 1000 / events for name in used}
        return Round(events / seconds, cpu_ms)

    def _cpu_s(self, running: RunningIssuer) -> dict[str, float]:
        found = running.cpu_s()
        kafka, postgres = self.stack.kafka, self.stack.postgres
        if kafka is not None and kafka.pid is not None:
            # A broker that started a minute ago spends as much on compiling itself as on records.
            found["Kafka: compilers of its JVM"] = compiler_cpu(kafka.pid)
            found["Kafka"] = tree_cpu(kafka.pid) - found["Kafka: compilers of its JVM"]
        if postgres is not None and postgres.pid is not None:
            found["Postgres"] = tree_cpu(postgres.pid)
        return found

    async def _end(self) -> int:
        """Records of pass.rendered so far."""
        ends = await self.rendered.end_offsets(self.rendered.assignment())
        return sum(ends.values())

    async def _publish(self, topic: Topic, events: Sequence[Payload]) -> None:
        for start in range(0, len(events), AT_ONCE):
            await self.issuer.harness.publish(topic, *events[start : start + AT_ONCE])

    def _changes(self) -> Iterator[PassBalanceChanged]:
        now, workspace_id = datetime.now(UTC), UUID(self.issuer.workspace_id)
        for pass_id, external_id in self.issuer.pass_ids:
            yield PassBalanceChanged(
                workspace_id=workspace_id,
                pass_id=pass_id,
                external_id=external_id,
                program_id=UUID(self.issuer.program_id),
                version=self.version,
                previous_balance_minor=self.version - 1,
                new_balance_minor=self.version,
                change_minor=1,
                unit="points",
                reason="earn",
                changed_at=now,
            )

    def _openings(self) -> Iterator[PassLinkOpened]:
        now, workspace_id = datetime.now(UTC), UUID(self.issuer.workspace_id)
        for pass_id, _ in self.issuer.pass_ids:
            yield PassLinkOpened(
                workspace_id=workspace_id,
                pass_id=pass_id,
                link_id=uuid4(),
                platform=Platform.APPLE,
                needs_rendering=True,
                occurred_at=now,
            )


def compiler_cpu(pid: int) -> float:
    """CPU seconds of the threads that compile, which the JVM names C1 and C2."""
    process = psutil.Process(pid)
    return sum(
        each.user_time + each.system_time
        for each in process.threads()
        if _thread_name(pid, each.id).startswith(("C1 ", "C2 "))
    )


def _thread_name(pid: int, thread: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/task/{thread}/comm").read_text(encoding="utf-8")
    return ""


async def measure(
    stack: DevStack, backends: Backends, directory: Path, options: argparse.Namespace
) -> Figures:
    console, figures = Console(stderr=True, highlight=False), Figures()
    async with contextlib.AsyncExitStack() as opened:
        harness = await opened.enter_async_context(
            Harness.open(backends, directory, topics=list(TOPICS.values()))
        )
        issuer = await Issuer.make(harness, signing_processes=1)
        async with issuer.serve() as running:
            await running.set_up(options.passes)
        console.print(f"{options.passes} passes issued")
        rendered = AIOKafkaConsumer(bootstrap_servers=harness.kafka.brokers)
        await rendered.start()
        opened.push_async_callback(rendered.stop)
        name = harness.kafka.topic_prefix + PASS_RENDERED.name
        partitions = range(PASS_RENDERED.partitions)
        rendered.assign([TopicPartition(name, number) for number in partitions])
        bench = Bench(issuer, stack, rendered)
        for kind in options.only:
            if kind == SIGNED:
                await bench.put_on_apple()
            for _ in range(options.rounds):
                figures.raw_rsa_per_s.append(await asyncio.to_thread(raw_rsa_rate, 1.0))
                found = await bench.round()
                figures.rounds.setdefault(kind, []).append(found)
                console.print(f"{kind}: {found.per_s:,.0f}/s")
    return figures


def report(figures: Figures, options: argparse.Namespace) -> None:
    console = Console(highlight=False)
    raw = statistics.median(figures.raw_rsa_per_s)
    for kind in figures.rounds:
        table = Table("who", "CPU ms an event", title=f"{kind}: {figures.per_s(kind):,.0f}/s")
        for name, value in figures.cpu_ms(kind).items():
            table.add_row(name, f"{value:.3f}")
        console.print(table)
    told: dict[str, Any] = {
        "facts": {"cores": os.cpu_count(), "passes": options.passes, "rounds": options.rounds},
        "raw_rsa_2048_per_s": round(raw),
        "figures": {
            kind: {
                "per_s": round(figures.per_s(kind)),
                "of_rounds": [round(each.per_s) for each in rounds],
                "cpu_ms": figures.cpu_ms(kind),
            }
            for kind, rounds in figures.rounds.items()
        },
    }
    if SIGNED in figures.rounds:
        share = figures.per_s(SIGNED) / raw
        told["signed_of_raw_rsa"] = round(share, 3)
        verdict = "met" if share >= AIM_SIGNED else "missed"
        console.print(f"signed / raw RSA of one core: {share:.2f} (aim {AIM_SIGNED}) {verdict}")
    sys.stdout.write(json.dumps(told) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--passes", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=[UNSIGNED, SIGNED], choices=[UNSIGNED, SIGNED])
    options = parser.parse_args()
    stack = DevStack(durable=True, throughput=True, announce=Console(stderr=True).print)
    with tempfile.TemporaryDirectory(prefix="issuer-bench-") as directory, stack as backends:
        figures = uvloop.run(measure(stack, backends, Path(directory), options))
    report(figures, options)


if __name__ == "__main__":
    main()
