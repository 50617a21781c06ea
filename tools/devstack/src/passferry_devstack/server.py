"""What a test may do to a server, however it runs."""

from pathlib import Path
from typing import Protocol


class Server(Protocol):
    """A backend that we started and may therefore break."""

    name: str

    @property
    def pid(self) -> int | None:
        """Process id on this machine; None while stopped, and always for a container."""

    @property
    def log_path(self) -> Path: ...

    def start(self) -> None:
        """Start on the same port with the same data; does nothing while it runs."""

    def kill(self) -> None:
        """SIGKILL; returns when the process is gone."""

    def terminate(self) -> None:
        """The server's own clean stop; returns when the process is gone."""

    def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Return when the server answers its own protocol.

        Raises BackendUnavailable when it ends or stays silent.
        """
