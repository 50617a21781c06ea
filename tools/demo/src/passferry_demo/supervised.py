"""A child process that can be killed and started again, and never outlives its parent."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

PR_SET_PDEATHSIG = 1
STOP_TIMEOUT_S = 30.0
_libc = ctypes.CDLL(None, use_errno=True)


class ProcessEnded(Exception):
    """A process ended although it should run; the message has the end of its log."""


def _die_with_parent() -> None:
    # In the child, before the program: it is killed when the parent goes, however it goes.
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@dataclass(slots=True)
class Supervised:
    """`command` with its environment; output goes to `log_path`."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log_path: Path
    _process: subprocess.Popen[bytes] | None = field(default=None)
    _log: IO[bytes] | None = field(default=None)

    def start(self) -> None:
        if self.is_running:
            return
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("PASSFERRY_")
        }
        self._log = self.log_path.open("ab")
        self._process = subprocess.Popen(
            list(self.command),
            env=inherited | dict(self.environment),
            stdout=self._log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            # Ctrl-C is for the demo, which then ends its children in order.
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509  # no other threads hold locks here
        )

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ProcessEnded(f"{self.name} was not started")
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL, as a machine that vanishes; returns when it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_TIMEOUT_S)

    def stop(self) -> int:
        """SIGTERM, wait for the drain; returns the exit code."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.terminate()
        try:
            code = self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait(STOP_TIMEOUT_S)
        if self._log is not None:
            self._log.close()
        return code

    def cpu_seconds(self) -> float:
        """User and system time of the running process."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_megabytes(self) -> float:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def first_line(self, timeout_s: float = 30.0) -> str:
        """The first line that starts with a brace: how simulators tell their addresses."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            lines = self.log_path.read_text(errors="replace").splitlines()
            found = next((line for line in lines if line.startswith("{")), None)
            if found is not None:
                return found
            self.check()
            time.sleep(0.05)
        raise ProcessEnded(f"{self.name} did not say where it listens\n{self.log_end()}")

    def check(self) -> None:
        if not self.is_running:
            raise ProcessEnded(f"{self.name} ended\n{self.log_end()}")

    def log_end(self, lines: int = 15) -> str:
        text = self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
        return "\n".join(text.splitlines()[-lines:])
