"""From a ledger command to a push that APNs accepted: rate, burst and CPU, on real backends.

    python bench/end_to_end.py [--passes 1000] [--burst 2000] [--seconds 12]

Prints a table for people and ends with one line of JSON. Postgres runs with fsync on. The load is
open-loop: latency counts from when a command was due, not from when it could be sent.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import os
import platform as machine
import secrets
import statistics
import time
import zipfile
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table

from passferry_contracts.envelope import Envelope, encode_headers, encode_value
from passferry_contracts.events.ledger import EarnCommand
from passferry_contracts.registry import LEDGER_COMMANDS
from passferry_demo.__main__ import EXAMPLES
from passferry_demo.operator import Operator, Workspace
from passferry_demo.platform import Options, Platform, running_platform
from passferry_runtime.ids import uuid7
from passferry_runtime.kafka.producer import Producer
from passferry_runtime.kafka.records import OutgoingRecord
from passferry_runtime.kafka.settings import KafkaSettings
from passferry_testing.virtual_iphone import SAFARI

INSTALLS_AT_ONCE = 16
HTTP_CONNECTIONS = 64
BULK = 200
P99_LIMIT_MS = 1_000.0
SETTLE_S = 90.0


@dataclass(slots=True)
class Device:
    external_id: str
    push_token: str


@dataclass(slots=True)
class Step:
    """One rate that was tried; latencies in milliseconds from when the command was due."""

    offered_per_s: float
    sustained_per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    missing: int

    @property
    def holds(self) -> bool:
        return self.missing == 0 and self.p99_ms < P99_LIMIT_MS


@dataclass(slots=True)
class Figures:
    cores: int
    postgres: str
    passes: int
    commands_over: str
    raw_rsa_2048_per_s: float
    steps: list[Step] = field(default_factory=list)
    burst: int = 0
    burst_drain_s: float = 0.0
    burst_per_s: float = 0.0
    #: Push tokens found in Redis, of those looked up during the burst.
    token_cache_hit_rate: float = 0.0
    cpu_ms_per_event: dict[str, float] = field(default_factory=dict)
    resident_mb: dict[str, float] = field(default_factory=dict)


def raw_rsa_rate(seconds: float = 2.0) -> float:
    """RSA-2048 signatures per second of one core: the physical limit of signing."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    message, scheme, digest = b"x" * 100, padding.PKCS1v15(), hashes.SHA256()
    number, began_at = 0, time.perf_counter()
    while time.perf_counter() - began_at < seconds:
        for _ in range(20):
            key.sign(message, scheme, digest)
        number += 20
    return number / (time.perf_counter() - began_at)


class Bench:
    def __init__(
        self, platform: Platform, http: httpx.AsyncClient, console: Console, *, over: str
    ) -> None:
        self.platform = platform
        self.over = over
        self.http = http
        self.console = console
        self.operator = Operator(platform, http)
        self.workspace: Workspace
        self.devices: list[Device] = []
        self._seen_pushes = 0

    async def set_up(self, number: int) -> None:
        """`number` passes, each signed and registered on one device of its own."""
        self.workspace = await self.operator.make_workspace(
            "bench", "Bench", EXAMPLES, business_ids=[]
        )
        holders = [
            {
                "external_id": f"B-{index:06d}",
                "full_name": f"Holder {index}",
                "email": "",
                "locale": "",
                "birthday": "",
                "opening_balance": "100",
            }
            for index in range(number)
        ]
        for start in range(0, number, BULK):
            await self.operator.issue(self.workspace, holders[start : start + BULK])
        self.console.print(f"{number} passes issued")
        slots = asyncio.Semaphore(INSTALLS_AT_ONCE)
        began_at = time.monotonic()
        self.devices = await asyncio.gather(
            *(self._install(slots, each["external_id"]) for each in holders)
        )
        self.console.print(f"{number} devices registered in {time.monotonic() - began_at:.1f} s")

    async def _install(self, slots: asyncio.Semaphore, external_id: str) -> Device:
        async with slots:
            link = self.workspace.passes[external_id]["link"]
            for _ in range(100):
                answer = await self.http.get(link, headers={"User-Agent": SAFARI})
                if answer.is_success:
                    break
                await asyncio.sleep(0.2)
            with zipfile.ZipFile(io.BytesIO(answer.content)) as bundle:
                content: dict[str, Any] = json.loads(bundle.read("pass.json"))
            device = Device(external_id, secrets.token_hex(32))
            url = (
                f"{content['webServiceURL']}/v1/devices/{secrets.token_hex(16)}/registrations"
                f"/{content['passTypeIdentifier']}/{content['serialNumber']}"
            )
            headers = {"Authorization": f"ApplePass {content['authenticationToken']}"}
            registered = await self.http.post(
                url, headers=headers, json={"pushToken": device.push_token}
            )
            registered.raise_for_status()
            return device

    async def quiesce(self) -> None:
        """Wait until no push has come for a while, and count from there."""
        last, since = -1, time.monotonic()
        while time.monotonic() - since < 2.0:
            summary = (await self.http.get(f"{self.platform.apns_control}/summary")).json()
            if summary["accepted"] != last:
                last, since = summary["accepted"], time.monotonic()
            await asyncio.sleep(0.2)
        self._seen_pushes = last

    async def run_step(self, rate: float, seconds: float) -> Step:
        """Commands at `rate`, each on the pass that waited longest."""
        await self.quiesce()
        number = int(rate * seconds)
        due_at: dict[str, list[int]] = {}
        async with self._sender() as send, asyncio.TaskGroup() as group:
            began_at, began_ns = time.monotonic(), time.time_ns()
            for index in range(number):
                delay = began_at + index / rate - time.monotonic()
                if delay > 0:
                    await asyncio.sleep(delay)
                device = self.devices[index % len(self.devices)]
                due_at.setdefault(device.push_token, []).append(began_ns + int(index / rate * 1e9))
                group.create_task(send(device))
        latencies, last_ns = await self._latencies(due_at, number)
        ordered = sorted(latencies) or [float("inf")]
        return Step(
            offered_per_s=rate,
            sustained_per_s=len(latencies) / max((last_ns - began_ns) / 1e9, 1e-9),
            p50_ms=statistics.median(ordered),
            p95_ms=ordered[int(0.95 * (len(ordered) - 1))],
            p99_ms=ordered[int(0.99 * (len(ordered) - 1))],
            missing=number - len(latencies),
        )

    @contextlib.asynccontextmanager
    async def _sender(self) -> AsyncIterator[Callable[[Device], Coroutine[Any, Any, None]]]:
        """How one command is given: on `ledger.commands`, or by HTTP."""
        if self.over == "kafka":
            async with Producer.open(self._kafka_settings, client_id="bench") as producer:
                yield lambda device: producer.send_all([self._command(device)])
            return
        # A client for each connection: the pool of one client costs time by its size squared.
        async with contextlib.AsyncExitStack() as stack:
            idle: asyncio.Queue[httpx.AsyncClient] = asyncio.Queue()
            for _ in range(HTTP_CONNECTIONS):
                client = httpx.AsyncClient(timeout=60, trust_env=False)
                idle.put_nowait(await stack.enter_async_context(client))

            async def send(device: Device) -> None:
                client = await idle.get()
                try:
                    await self._earn(client, device)
                finally:
                    idle.put_nowait(client)

            yield send

    @property
    def _kafka_settings(self) -> KafkaSettings:
        return KafkaSettings(brokers=self.platform.backends.kafka_brokers, client_id="bench")

    async def burst(self, number: int) -> tuple[float, int]:
        """`number` balance changes at once, a pass each; seconds until the last push.

        They come on `ledger.commands`, as from a shop's backend that credits everybody.
        """
        await self.quiesce()
        records = [self._command(device) for device in self.devices[:number]]
        async with Producer.open(self._kafka_settings, client_id="bench") as producer:
            began_ns = time.time_ns()
            due_at = {device.push_token: [began_ns] for device in self.devices[:number]}
            await producer.send_all(records)
        latencies, last_ns = await self._latencies(due_at, number)
        return (last_ns - began_ns) / 1e9, len(latencies)

    def _command(self, device: Device) -> OutgoingRecord:
        command = EarnCommand(
            workspace_id=self.workspace.workspace_id,
            external_id=device.external_id,
            idempotency_key=str(uuid7()),
            amount_minor=1,
        )
        envelope = Envelope(
            id=str(uuid7()),
            source="/bench",
            type=command.event_type,
            time=datetime.now(UTC),
            data=command,
        )
        headers = tuple((name, text) for name, text in encode_headers(envelope))
        return OutgoingRecord(
            LEDGER_COMMANDS.name, envelope.key.encode(), encode_value(envelope), headers
        )

    async def _earn(self, client: httpx.AsyncClient, device: Device) -> None:
        workspace = self.workspace
        answer = await client.post(
            f"{self.platform.url('ledger')}/api/v1/workspaces/{workspace.workspace_id}"
            f"/passes/external:{device.external_id}/earn",
            json={"amount_minor": 1},
            headers={
                "Authorization": f"Bearer {workspace.api_key}",
                "Idempotency-Key": str(uuid7()),
            },
        )
        answer.raise_for_status()

    async def _latencies(
        self, due_at: dict[str, list[int]], number: int
    ) -> tuple[list[float], int]:
        """Match each command with the first push of its device that came after it was due."""
        deadline = time.monotonic() + SETTLE_S
        found: list[float] = []
        waiting = {token: list(times) for token, times in due_at.items()}
        since, last_ns, open_ones = self._seen_pushes, time.time_ns(), number
        while open_ones and time.monotonic() < deadline:
            url = f"{self.platform.apns_control}/pushes"
            page = (await self.http.get(url, params={"since": since, "limit": 1_000})).json()
            for push in page["pushes"]:
                times = waiting.get(push["token"], [])
                # One push may tell of several changes: it carries none of them.
                while times and times[0] <= push["time_ns"]:
                    found.append((push["time_ns"] - times.pop(0)) / 1e6)
                    open_ones -= 1
                    last_ns = push["time_ns"]
            since = page["next"]
            if not page["pushes"]:
                await asyncio.sleep(0.05)
        return found, last_ns

    async def token_lookups(self) -> tuple[float, float]:
        """How often the notifier has found a pass's tokens in the cache, and how often it looked."""
        text = (await self.http.get(f"{self.platform.url('notifier')}/metrics")).text
        by_result = {
            sample.labels["result"]: sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "passferry_device_cache_requests_total"
        }
        return by_result.get("hit", 0.0), sum(by_result.values())

    def cpu_seconds(self) -> dict[str, float]:
        """Of every process, backends with their children."""
        found = {name: each.cpu_seconds() for name, each in self.platform.services.items()}
        servers = {
            "kafka": self.platform.stack.kafka,
            "postgres": self.platform.stack.postgres,
            "redis": self.platform.stack.redis,
        }
        for name, server in servers.items():
            if server is not None and server.pid is not None:
                found[name] = tree_cpu(server.pid)
        return found


def tree_cpu(pid: int) -> float:
    total = 0.0
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
    return total


async def measure(platform: Platform, console: Console, options: argparse.Namespace) -> Figures:
    limits = httpx.Limits(max_connections=INSTALLS_AT_ONCE)
    async with httpx.AsyncClient(timeout=60, limits=limits, trust_env=False) as http:
        bench = Bench(platform, http, console, over=options.over)
        figures = Figures(
            cores=os.cpu_count() or 1,
            postgres="fsync on, synchronous_commit on",
            passes=options.passes,
            commands_over=options.over,
            raw_rsa_2048_per_s=round(raw_rsa_rate(), 1),
        )
        await bench.set_up(options.passes)
        rate = options.first_rate
        while True:
            step = await bench.run_step(rate, options.seconds)
            figures.steps.append(step)
            console.print(
                f"{rate:.0f}/s offered: p50 {step.p50_ms:.0f} ms, p99 {step.p99_ms:.0f} ms,"
                f" {step.missing} missing"
            )
            if not step.holds or rate >= options.most:
                break
            rate *= 1.5
        hits, lookups = await bench.token_lookups()
        before, began = bench.cpu_seconds(), min(options.burst, len(bench.devices))
        seconds, arrived = await bench.burst(began)
        figures.burst, figures.burst_drain_s = arrived, round(seconds, 2)
        figures.burst_per_s = round(arrived / seconds, 1)
        after = bench.cpu_seconds()
        all_hits, all_lookups = await bench.token_lookups()
        figures.token_cache_hit_rate = round((all_hits - hits) / max(all_lookups - lookups, 1), 4)
        figures.cpu_ms_per_event = {
            name: round((after[name] - before[name]) * 1000 / max(arrived, 1), 2) for name in after
        }
        figures.resident_mb = {
            name: round(each.resident_megabytes(), 1) for name, each in platform.services.items()
        }
        return figures


def print_figures(console: Console, figures: Figures) -> None:
    best = best_step(figures.steps)
    table = Table(
        title=f"Ledger command (over {figures.commands_over}) to accepted push",
        title_justify="left",
    )
    for column in ("offered/s", "sustained/s", "p50 ms", "p95 ms", "p99 ms", "share of raw RSA"):
        table.add_column(column, justify="right")
    for step in figures.steps:
        share = step.sustained_per_s / figures.raw_rsa_2048_per_s
        table.add_row(
            f"{step.offered_per_s:.0f}",
            f"{step.sustained_per_s:.0f}",
            f"{step.p50_ms:.0f}",
            f"{step.p95_ms:.0f}",
            f"{step.p99_ms:.0f}" + ("" if step.holds else " ✗"),
            f"{share:.2f}",
        )
    console.print(table)
    console.print(
        f"burst of {figures.burst}: drained in {figures.burst_drain_s} s"
        f" ({figures.burst_per_s}/s); raw RSA-2048 {figures.raw_rsa_2048_per_s}/s of one core;"
        f" {figures.cores} cores, {figures.postgres}, {machine.machine()};"
        f" push tokens from Redis {figures.token_cache_hit_rate:.1%}"
    )
    cpu = Table(title="CPU per event in the burst", title_justify="left")
    cpu.add_column("process")
    cpu.add_column("ms", justify="right")
    for name, value in sorted(figures.cpu_ms_per_event.items(), key=lambda item: -item[1]):
        cpu.add_row(name, f"{value:.2f}")
    console.print(cpu)
    line = asdict(figures)
    line["sustained_per_s"] = round(best.sustained_per_s, 1) if best else 0
    line["share_of_raw_rsa"] = (
        round(best.sustained_per_s / figures.raw_rsa_2048_per_s, 3) if best else 0
    )
    print(json.dumps(line))


def best_step(steps: Sequence[Step]) -> Step | None:
    good = [step for step in steps if step.holds]
    return good[-1] if good else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passes", type=int, default=1_000)
    parser.add_argument("--burst", type=int, default=1_000)
    parser.add_argument("--over", choices=("kafka", "http"), default="kafka")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--first-rate", type=float, default=20.0)
    parser.add_argument("--most", type=float, default=500.0)
    parser.add_argument("--keep-logs", type=Path, help="copy the services' logs here")
    options = parser.parse_args()
    console = Console(highlight=False, stderr=True)
    with running_platform(console.print, Options(durable=True, throughput=True)) as platform:
        figures = asyncio.run(measure(platform, console, options))
    print_figures(Console(highlight=False), figures)


if __name__ == "__main__":
    main()
