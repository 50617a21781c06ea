"""Children of the demo: killed, restarted, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from passferry_demo.observatory import Percentiles
from passferry_demo.supervised import ProcessEnded, Supervised

SLEEPER = [
    sys.executable,
    "-c",
    "print('{\"ready\": true}', flush=True); import time; time.sleep(60)",
]


def test_a_killed_process_can_be_started_again(tmp_path):
    process = Supervised("sleeper", SLEEPER, {}, tmp_path / "log")
    process.start()
    assert process.first_line() == '{"ready": true}'
    first = process.pid
    process.kill()
    assert not process.is_running
    process.start()
    assert process.is_running
    assert process.pid != first
    assert process.stop() == -signal.SIGTERM


def test_a_process_that_ends_by_itself_is_told_with_the_end_of_its_log(tmp_path):
    command = [sys.executable, "-c", "raise SystemExit('no such database')"]
    process = Supervised("broken", command, {}, tmp_path / "log")
    process.start()
    with pytest.raises(ProcessEnded, match="no such database"):
        process.first_line()


def test_settings_of_the_surroundings_do_not_reach_a_service(tmp_path, monkeypatch):
    monkeypatch.setenv("PASSFERRY_UNRELATED", "1")
    command = [
        sys.executable,
        "-c",
        "import os; print('{', sorted(k for k in os.environ if 'PASSFERRY' in k), '}')",
    ]
    process = Supervised("printer", command, {"PASSFERRY_OWN": "1"}, tmp_path / "log")
    process.start()
    assert process.first_line() == "{ ['PASSFERRY_OWN'] }"
    process.stop()


def test_children_end_with_their_parent_even_when_it_is_killed(tmp_path):
    script = f"""
import pathlib, time
from passferry_demo.supervised import Supervised
child = Supervised("c", {SLEEPER!r}, {{}}, pathlib.Path({str(tmp_path)!r}) / "log")
child.start()
print(child.pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 5
    while _is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _is_alive(child)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"


def test_percentiles_come_from_what_was_measured():
    found = Percentiles.of([float(number) for number in range(1, 101)])
    assert (found.p50, found.p95, found.p99, found.number) == (51.0, 96.0, 100.0, 100)
    assert Percentiles.of([]).number == 0
