"""The asking side of the keeper: one channel, and a handle for each server."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from passferry_devstack.backends import BackendUnavailable

POLL_INTERVAL_S = 0.02
STOP_TIMEOUT_S = 20.0
KEEPER_END_TIMEOUT_S = 75.0
LOG_TAIL_BYTES = 2_000
# A killed server may find its lock or its memory still held by a child that is just dying.
RESTART_WINDOW_S = 5.0
RESTART_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class RunAs:
    """The account that a server runs under, when it must not run under ours."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class ProcessPlan:
    """How to start one server, and how to see that it is ready."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    directory: Path
    log_path: Path
    stop_signal: signal.Signals
    answers: Callable[[], bool]
    run_as: RunAs | None = None


class KeeperChannel:
    """Commands to the keeper; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-I",
                "-S",
                str(Path(__file__).with_name("keeper.py")),
                str(os.getpid()),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, operation: str, **fields: Any) -> dict[str, Any]:
        """Send one command and return its answer; raises BackendUnavailable when it failed."""
        line = json.dumps({"op": operation, **fields}).encode() + b"\n"
        with self._lock:
            if self._process.stdin is None or self._process.stdout is None:
                raise BackendUnavailable("The process that keeps the backends has no pipes.")
            try:
                self._process.stdin.write(line)
                self._process.stdin.flush()
                answer = json.loads(self._process.stdout.readline() or b"null")
            except (OSError, ValueError) as error:
                raise BackendUnavailable("The process that keeps the backends is gone.") from error
        if answer is None:
            raise BackendUnavailable("The process that keeps the backends is gone; start again.")
        if "error" in answer:
            raise BackendUnavailable(f"A backend could not be handled: {answer['error']}.")
        return dict(answer)

    def run(self, plan: ProcessPlan, *, timeout_s: float) -> None:
        """Run a command to its end, under the keeper's guard; raises when it fails."""
        process = ServerProcess(plan, self)
        process.start()
        code = process.wait_ended(timeout_s)
        if code != 0:
            raise BackendUnavailable(
                f"{Path(plan.argv[0]).name} failed with code {code}: {log_tail(plan.log_path)}",
            )

    def end(self) -> None:
        """Have everything stopped and tidied up, and wait for it."""
        with self._lock:
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            try:
                self._process.wait(KEEPER_END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


class ServerProcess:
    """A native server: see `Server` for what each method promises."""

    def __init__(self, plan: ProcessPlan, keeper: KeeperChannel) -> None:
        self.name = plan.name
        self._plan = plan
        self._keeper = keeper
        self._pid: int | None = None
        self._wanted = False

    @property
    def pid(self) -> int | None:
        return self._pid if self.is_running() else None

    @property
    def log_path(self) -> Path:
        return self._plan.log_path

    def is_running(self) -> bool:
        return bool(self._keeper.ask("status", name=self.name)["running"])

    def start(self) -> None:
        plan = self._plan
        answer = self._keeper.ask(
            "start",
            name=plan.name,
            argv=list(plan.argv),
            environment=dict(plan.environment),
            directory=str(plan.directory),
            log=str(plan.log_path),
            stop_signal=int(plan.stop_signal),
            user=plan.run_as.uid if plan.run_as else None,
            group=plan.run_as.gid if plan.run_as else None,
        )
        self._pid = int(answer["pid"])
        self._wanted = True

    def kill(self) -> None:
        self._wanted = False
        self._keeper.ask("kill", name=self.name)
        self.wait_ended(STOP_TIMEOUT_S)

    def terminate(self) -> None:
        self._wanted = False
        self._keeper.ask("signal", name=self.name)
        self.wait_ended(STOP_TIMEOUT_S)

    def wait_ended(self, timeout_s: float) -> int | None:
        """Return the exit code (negative: the signal) once the process has ended."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            status = self._keeper.ask("status", name=self.name)
            if not status["running"]:
                code: int | None = status["code"]
                return code
            time.sleep(POLL_INTERVAL_S)
        raise BackendUnavailable(f"{self.name} did not end within {timeout_s:.0f} s.")

    def wait_ready(self, timeout_s: float = 30.0) -> None:
        started = time.monotonic()
        while not self._plan.answers():
            elapsed = time.monotonic() - started
            if elapsed > timeout_s:
                raise BackendUnavailable(
                    f"{self.name} is not ready after {timeout_s:.0f} s; "
                    f"the end of its log: {log_tail(self.log_path)}",
                )
            if not self.is_running():
                if not self._wanted or elapsed > RESTART_WINDOW_S:
                    raise BackendUnavailable(
                        f"{self.name} ended while it started; "
                        f"the end of its log: {log_tail(self.log_path)}",
                    )
                time.sleep(RESTART_PAUSE_S)
                self.start()
            time.sleep(POLL_INTERVAL_S)


def log_tail(path: Path) -> str:
    """The last lines of a log, for a message."""
    try:
        content = path.read_bytes()[-LOG_TAIL_BYTES:]
    except OSError:
        return "(no log)"
    return content.decode(errors="replace").strip() or "(empty log)"
