"""How a service starts, drains and ends: real processes, told by real signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import httpx
import pytest

#: A service without backends: the wait for its schema is the one thing that is left out.
PROGRAM = """
import asyncio, os, sys
from contextlib import asynccontextmanager
from passferry_runtime import serving
from passferry_runtime.http import create_app
from passferry_runtime.lifecycle import Check, CheckResult, Service, Worker
from passferry_runtime.settings import ServiceSettings

async def no_schema(*_):
    pass

serving._wait_for_schema = no_schema
if os.environ.get("SHORT_CLOSING"):
    serving.HTTP_GRACE_S = serving.CLOSING_S = 0

class Patient:
    def __init__(self, drain_s, until=None):
        self.stopped = asyncio.Event()
        self.drain_s = drain_s
        self.until = until

    async def run(self):
        await self.stopped.wait()
        await asyncio.sleep(self.drain_s)
        while self.until and not os.path.exists(self.until):
            await asyncio.sleep(0.01)
        print("drained", flush=True)

def worker(name, run, stop=lambda: None):
    return Worker(name=name, run=run, stop=lambda: (print("stop", name, flush=True), stop()))

@asynccontextmanager
async def service(settings):
    async def ok():
        return CheckResult("ok")
    {build}
    app = create_app(title="T", version="1", routers=[])
    yield Service(name="example", http=app, workers=workers, checks=[Check(name="c", probe=ok)])
    print("closed", flush=True)

sys.exit(serving.main("example", ServiceSettings, service, "passferry_runtime.plumbing",
    {{"greet": lambda argv: print("hello", *argv) or 7}}))
"""
PATIENT = """
    patient = Patient(0.7)
    workers = [worker("first", patient.run, patient.stopped.set)]
"""


class Running:
    def __init__(self, folder: Path, build: str, *arguments: str, **environment: str) -> None:
        self.instance_file = folder / "instance.json"
        program = PROGRAM.format(build=textwrap.indent(textwrap.dedent(build), "    "))
        given = {name: value for name, value in os.environ.items() if "PASSFERRY" not in name}
        given |= {
            "PASSFERRY_KAFKA_BROKERS": "127.0.0.1:1",
            "PASSFERRY_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
            "PASSFERRY_HTTP_PORT": "0",
            "PASSFERRY_DRAIN_TIMEOUT_S": "5",
            "PASSFERRY_INSTANCE_FILE": str(self.instance_file),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            env=given | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def address(self) -> str:
        deadline = time.monotonic() + 15
        while not self.instance_file.exists():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        instance = json.loads(self.instance_file.read_text())
        assert instance["pid"] == self.process.pid
        return f"http://127.0.0.1:{instance['http_port']}"

    def end(self, timeout_s: float = 15) -> tuple[int, str]:
        try:
            output, _ = self.process.communicate(timeout=timeout_s)
        finally:
            self.process.kill()
        return self.process.returncode, output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_in_order_and_exits_cleanly(tmp_path, number):
    seen = tmp_path / "seen"
    running = Running(
        tmp_path,
        f"""
    patient, other = Patient(0, until={str(seen)!r}), Patient(0, until={str(seen)!r})
    workers = [
        worker("first", patient.run, patient.stopped.set),
        worker("second", other.run, other.stopped.set),
    ]
    """,
        PASSFERRY_DRAIN_TIMEOUT_S="15",
    )
    address = running.address()
    assert httpx.get(f"{address}/healthz/ready").status_code == 200
    running.process.send_signal(number)
    # Draining is visible from outside: not ready any more, but alive.
    deadline = time.monotonic() + 10
    while httpx.get(f"{address}/healthz/ready").status_code == 200:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert httpx.get(f"{address}/healthz/ready").status_code == 503
    assert httpx.get(f"{address}/healthz/live").status_code == 200
    seen.touch()
    code, output = running.end()
    lines = [line for line in output.splitlines() if not line.startswith("{")]
    assert lines == ["stop first", "stop second", "drained", "drained", "closed"]
    assert code == 0


def test_a_worker_that_does_not_drain_is_left_behind_after_its_time(tmp_path):
    running = Running(tmp_path, PATIENT.replace("0.7", "60"), PASSFERRY_DRAIN_TIMEOUT_S="0.3")
    running.address()
    running.process.terminate()
    code, output = running.end()
    assert code == 0
    assert "worker_did_not_drain" in output
    assert "closed" in output


@pytest.mark.parametrize(
    ("ending", "said"),
    [("raise RuntimeError('it broke')", "RuntimeError at "), ("return", "was not asked to")],
)
def test_a_worker_that_ends_by_itself_ends_the_process_as_a_crash(tmp_path, ending, said):
    build = f"""
    async def broken():
        await asyncio.sleep(0.2)
        {ending}
    patient = Patient(0)
    workers = [worker("broken", broken), worker("other", patient.run)]
    """
    code, output = Running(tmp_path, build).end()
    assert code == 1
    assert "service_crashed" in output
    assert said in output


def test_a_worker_that_ignores_everything_cannot_keep_a_crashed_process_alive(tmp_path):
    build = """
    async def broken():
        raise RuntimeError("it broke")
    async def stubborn():
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                pass
    workers = [worker("stubborn", stubborn), worker("broken", broken)]
    """
    running = Running(tmp_path, build, PASSFERRY_DRAIN_TIMEOUT_S="0.3", SHORT_CLOSING="1")
    code, output = running.end()
    assert code == 1
    assert "shutdown_took_too_long" in output


def test_a_signal_during_the_start_ends_it(tmp_path):
    build = """
    print("starting", flush=True)
    await asyncio.sleep(60)
    workers = []
    """
    running = Running(tmp_path, build)
    assert running.process.stdout is not None
    assert running.process.stdout.readline() == "starting\n"
    running.process.terminate()
    code, output = running.end()
    assert code == 0
    assert "service_stopped_while_starting" in output


def test_a_port_in_use_is_a_crash_that_says_so(tmp_path):
    first = Running(tmp_path, PATIENT)
    port = first.address().rsplit(":", 1)[1]
    code, output = Running(tmp_path, PATIENT, PASSFERRY_HTTP_PORT=port).end()
    first.process.terminate()
    first.end()
    assert code == 1
    assert "ddress already in use" in output


def test_wrong_settings_are_told_one_by_one_and_exit_with_two(tmp_path):
    running = Running(tmp_path, PATIENT, PASSFERRY_HTTP_PRT="1", PASSFERRY_LOG_LEVL="x")
    code, output = running.end()
    assert code == 2
    assert output.splitlines() == [
        f"example: PASSFERRY_{wrong} is not a setting of this service; did you mean {meant}?"
        for wrong, meant in [
            ("HTTP_PRT", "PASSFERRY_HTTP_PORT"),
            ("LOG_LEVL", "PASSFERRY_LOG_LEVEL"),
        ]
    ]


def test_commands_of_the_service_run_with_their_arguments_and_exit_code(tmp_path):
    code, output = Running(tmp_path, PATIENT, "greet", "you").end()
    assert (code, output) == (7, "hello you\n")


def test_an_unknown_command_names_those_there_are(tmp_path):
    code, output = Running(tmp_path, PATIENT, "sreve").end()
    assert code == 2
    assert "serve, migrate, replay, greet" in output
