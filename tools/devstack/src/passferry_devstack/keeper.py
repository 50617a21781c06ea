"""The process that owns the servers, so that they never outlive the one who asked for them.

Started by file name with nothing but the standard library. It reads one JSON command a line and answers
each with one line. When its input ends or the asking process dies, by SIGKILL too, it stops the servers,
runs the last commands and removes the directories. Should it be killed itself, the kernel kills the
servers: it has one thread, and that thread's death is their signal.
"""

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

GRACE_S = 3.0
LAST_COMMAND_TIMEOUT_S = 60.0
REMOVAL_ATTEMPTS = 20
MAX_LINE_BYTES = 1 << 20
_PR_SET_PDEATHSIG = 1


class Keeper:
    """Starts, signals and reaps servers by name."""

    def __init__(self) -> None:
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._stop_signals: dict[str, int] = {}
        self._last_commands: list[list[str]] = []
        self._removals: list[Path] = []
        self._parent_death = _parent_death_signal()

    def handle(self, command: dict[str, Any]) -> dict[str, Any]:
        """Do what one line asks; the answer is {} or has `error`."""
        operations: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "start": self._start,
            "status": self._status,
            "signal": self._signal,
            "kill": self._kill,
            "at_end": self._at_end,
            "forget": self._forget,
        }
        try:
            return operations[command["op"]](command)
        except (OSError, subprocess.SubprocessError, KeyError) as error:
            return {"error": f"{type(error).__name__}: {error}"}

    def end(self) -> None:
        """Stop everything: cleanly within the grace, then by force; then tidy up."""
        running = {n: p for n, p in self._processes.items() if p.poll() is None}
        families = [pid for process in running.values() for pid in descendants(process.pid)]
        for name, process in running.items():
            process.send_signal(self._stop_signals[name])
        deadline = time.monotonic() + GRACE_S
        while time.monotonic() < deadline and any(p.poll() is None for p in running.values()):
            time.sleep(0.01)
        for process in running.values():
            if process.poll() is None:
                process.kill()
                process.wait()
        kill_all(families)
        for last in self._last_commands:
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                subprocess.run(
                    last,
                    check=False,
                    timeout=LAST_COMMAND_TIMEOUT_S,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                )
        for directory in self._removals:
            _remove(directory)

    def _start(self, command: dict[str, Any]) -> dict[str, Any]:
        name: str = command["name"]
        known = self._processes.get(name)
        if known is not None and known.poll() is None:
            return {"pid": known.pid}
        user: int | None = command["user"]
        group: int | None = command["group"]
        with Path(command["log"]).open("ab") as log:
            process = subprocess.Popen(
                command["argv"],
                cwd=command["directory"],
                env=command["environment"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=user,
                group=group,
                extra_groups=None if user is None else [],
                # after the change of user, which would clear the setting
                preexec_fn=self._parent_death,  # noqa: PLW1509  # this process has one thread
            )
        self._processes[name] = process
        self._stop_signals[name] = command["stop_signal"]
        return {"pid": process.pid}

    def _status(self, command: dict[str, Any]) -> dict[str, Any]:
        process = self._processes.get(command["name"])
        if process is None:
            return {"running": False, "code": None}
        code = process.poll()
        return {"running": code is None, "code": code}

    def _signal(self, command: dict[str, Any]) -> dict[str, Any]:
        process = self._processes[command["name"]]
        process.send_signal(self._stop_signals[command["name"]])
        return {}

    def _kill(self, command: dict[str, Any]) -> dict[str, Any]:
        process = self._processes[command["name"]]
        family = [] if process.poll() is not None else descendants(process.pid)
        process.kill()
        kill_all(family)
        return {}

    def _at_end(self, command: dict[str, Any]) -> dict[str, Any]:
        if "command" in command:
            self._last_commands.append(command["command"])
        if "remove" in command:
            self._removals.append(Path(command["remove"]))
        return {}

    def _forget(self, command: dict[str, Any]) -> dict[str, Any]:
        self._removals = [path for path in self._removals if path != Path(command["remove"])]
        return {}


def descendants(pid: int) -> list[int]:
    """Children and their children, where the system shows them; Postgres' backends leave its group."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat") if Path("/proc").is_dir() else ():
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = entry.read_text().rpartition(")")[2].split()
            parents[int(entry.parent.name)] = int(fields[1])
    found = [pid]
    for ancestor in found:
        found += [child for child, parent in parents.items() if parent == ancestor]
    return found[1:]


def kill_all(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def _parent_death_signal() -> Callable[[], None] | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None, use_errno=True)
    keeper = os.getpid()

    def ask() -> None:
        library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper:  # it died before the setting took hold
            os._exit(1)

    return ask


def _remove(directory: Path) -> None:
    for _ in range(REMOVAL_ATTEMPTS):
        shutil.rmtree(directory, ignore_errors=True)
        if not directory.exists():
            break
        time.sleep(0.05)


def _terminated(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def serve(parent_pid: int) -> None:
    """Answer commands until the input ends or the parent is gone."""
    keeper = Keeper()
    signal.signal(signal.SIGTERM, _terminated)
    waited: list[int] = [0]
    with contextlib.suppress(AttributeError, OSError):
        # A process that was forked from the parent may hold our input open: watch the parent itself too.
        waited.append(os.pidfd_open(parent_pid))
    pending = bytearray()
    try:
        while True:
            ready, _, _ = select.select(waited, [], [])
            if 0 not in ready:
                break
            chunk = os.read(0, 65_536)
            if not chunk or len(pending) > MAX_LINE_BYTES:
                break
            pending += chunk
            while b"\n" in pending:
                line, _, rest = pending.partition(b"\n")
                pending = bytearray(rest)
                answer = json.dumps(keeper.handle(json.loads(line))).encode() + b"\n"
                os.write(1, answer)
    except BrokenPipeError:
        pass
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        keeper.end()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
