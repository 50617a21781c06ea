"""Whoever asked for the servers may die in any way; the servers die too."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.integration

GONE_WITHIN_S = 5.0
# The servers are started in other threads than the main one, and those threads are gone when it dies.
PARENT = """
import json, sys, time
from passferry_devstack import DevStack
stack = DevStack(announce=lambda line: None)
stack.start()
servers = [stack.kafka.pid, stack.postgres.pid, stack.redis.pid]
print(json.dumps({"servers": servers, "keeper": stack._keeper.pid, "directory": str(stack.directory)}), flush=True)
time.sleep(120)
"""


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM])
def test_a_dead_parent_leaves_no_server_and_no_data(death: signal.Signals) -> None:
    parent, started = _parent()
    family = _with_children(started["servers"])
    assert len(family) > 3  # Postgres has helpers of its own

    parent.send_signal(death)
    parent.wait()

    _, alive = psutil.wait_procs(family, timeout=GONE_WITHIN_S)
    assert alive == []
    _wait_removed(Path(started["directory"]))


def test_a_killed_keeper_takes_the_servers_with_it() -> None:
    parent, started = _parent()
    family = _with_children(started["servers"])
    try:
        os.kill(started["keeper"], signal.SIGKILL)
        _, alive = psutil.wait_procs(family, timeout=GONE_WITHIN_S)
        assert alive == []
    finally:
        parent.kill()
        parent.wait()
        shutil.rmtree(started["directory"])  # nobody was left to do it


def _parent() -> tuple[subprocess.Popen[bytes], dict[str, object]]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PASSFERRY_")}
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        env={**clean, "PASSFERRY_DEVSTACK": "native"},
    )
    assert parent.stdout is not None
    with parent.stdout:
        return parent, json.loads(parent.stdout.readline())


def _with_children(pids: list[int]) -> list[psutil.Process]:
    processes = [psutil.Process(pid) for pid in pids]
    return processes + [
        child for process in processes for child in process.children(recursive=True)
    ]


def _wait_removed(directory: Path) -> None:
    deadline = time.monotonic() + GONE_WITHIN_S
    while directory.exists():
        assert time.monotonic() < deadline, f"{directory} was left behind"
        time.sleep(0.05)
