"""Chooses where each backend comes from, starts what is ours, and ends it."""

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TextIO

from passferry_devstack import compose, native, programs
from passferry_devstack.backends import (
    KAFKA_VARIABLE,
    POSTGRES_VARIABLE,
    REDIS_VARIABLE,
    Backends,
    BackendUnavailable,
)
from passferry_devstack.ports import LOOPBACK, free_port
from passferry_devstack.server import Server
from passferry_devstack.supervision import KeeperChannel, ServerProcess

#: "native" or "docker" instead of looking for an engine
WAY_VARIABLE = "PASSFERRY_DEVSTACK"
READY_TIMEOUT_S = 60.0
ENGINES: dict[str, native.Engine] = {
    "kafka": native.kafka,
    "postgres": native.postgres,
    "redis": native.redis,
}
VARIABLES = {"kafka": KAFKA_VARIABLE, "postgres": POSTGRES_VARIABLE, "redis": REDIS_VARIABLE}
PORT_NAMES = (*ENGINES, "kafka_controller")


class DevStack:
    """Kafka, Postgres and Redis for as long as the context lasts.

    Blocking: from async code, start and stop it in a thread.

    directory: keeps data, logs and ports from run to run; by default a fresh folder, removed at the end.
    durable: Postgres writes through to the disk (benchmarks).
    throughput: a JVM sized for figures rather than for a quick start.
    """

    def __init__(
        self,
        *,
        directory: Path | None = None,
        durable: bool = False,
        throughput: bool = False,
        announce: Callable[[str], None] = print,
    ) -> None:
        self.kafka: Server | None = None
        self.postgres: Server | None = None
        self.redis: Server | None = None
        #: data and logs; None while nothing of ours runs
        self.directory: Path | None = None
        self._wanted_directory = directory
        self._durable = durable
        self._throughput = throughput
        self._announce = announce
        self._keeper: KeeperChannel | None = None
        self._lock: TextIO | None = None

    def start(self) -> Backends:
        """Return once all three answer; raises BackendUnavailable and leaves nothing running."""
        began = time.monotonic()
        addresses = {n: value for n, v in VARIABLES.items() if (value := os.environ.get(v))}
        phrases = {name: f"{name.capitalize()} from {VARIABLES[name]}" for name in addresses}
        missing = [name for name in ENGINES if name not in addresses]
        if missing:
            try:
                self._start_missing(missing, addresses, phrases)
            except BaseException:
                self._keep_logs()
                self.stop()
                raise
        parts = ", ".join(phrases[name] for name in ENGINES)
        chosen = f"devstack: {parts}; ready in {time.monotonic() - began:.1f} s"
        self._announce(chosen)
        return Backends(addresses["kafka"], addresses["postgres"], addresses["redis"], chosen)

    def stop(self) -> None:
        """End what was started; safe to call twice."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.end()
        if self._lock is not None:
            self._lock.close()
        self.kafka = self.postgres = self.redis = self._lock = self.directory = None

    def __enter__(self) -> Backends:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _start_missing(
        self,
        missing: list[str],
        addresses: dict[str, str],
        phrases: dict[str, str],
    ) -> None:
        self._keeper = KeeperChannel()
        self.directory = self._open_directory(self._keeper)
        ports = self._ports(self.directory)
        if self._wants_docker():
            try:
                self._start_containers(missing, ports, addresses, phrases)
                return
            except BackendUnavailable as error:
                if os.environ.get(WAY_VARIABLE) == "docker":
                    raise
                self._announce(f"devstack: going on without Docker. {error}")
        self._start_processes(missing, ports, addresses, phrases)

    def _start_processes(
        self,
        missing: list[str],
        ports: dict[str, int],
        addresses: dict[str, str],
        phrases: dict[str, str],
    ) -> None:
        with ThreadPoolExecutor(len(missing)) as pool:
            started = {name: pool.submit(self._start_process, name, ports) for name in missing}
        for name, (server, phrase) in _results(started).items():
            setattr(self, name, server)
            addresses[name] = _address(name, ports[name])
            phrases[name] = phrase

    def _start_process(self, name: str, ports: dict[str, int]) -> tuple[Server, str]:
        keeper, directory = self._keeper, self.directory
        if keeper is None or directory is None:
            raise BackendUnavailable("The stack was stopped while it started; start it again.")
        plan, phrase = ENGINES[name](
            native.Workshop(
                keeper=keeper,
                directory=directory,
                port=ports[name],
                controller_port=ports["kafka_controller"],
                disposable=self._wanted_directory is None,
                durable=self._durable,
                throughput=self._throughput,
                announce=self._announce,
            ),
        )
        server = ServerProcess(plan, keeper)
        server.start()
        server.wait_ready(READY_TIMEOUT_S)
        return server, phrase

    def _start_containers(
        self,
        missing: list[str],
        ports: dict[str, int],
        addresses: dict[str, str],
        phrases: dict[str, str],
    ) -> None:
        root, directory, keeper = repository(), self.directory, self._keeper
        if root is None or directory is None or keeper is None:
            raise BackendUnavailable("docker-compose.yml was not found: run from a clone.")
        label = hashlib.sha256(str(directory).encode()).hexdigest()[:10]
        project = compose.open_project(root, directory / "docker", ports, f"passferry-{label}")
        disposable = self._wanted_directory is None
        keeper.ask("at_end", command=list(project.down(volumes=disposable)))
        self._announce("devstack: starting containers (the first time, images are pulled)")
        project.up(missing)
        for name in missing:
            server = compose.ContainerServer(name, project)
            server.wait_ready(READY_TIMEOUT_S)
            setattr(self, name, server)
            addresses[name] = _address(name, ports[name], password=project.password)
            phrases[name] = f"{name.capitalize()} in Docker"

    def _wants_docker(self) -> bool:
        way = os.environ.get(WAY_VARIABLE, "")
        if way not in ("", "native", "docker"):
            raise BackendUnavailable(
                f"{WAY_VARIABLE} is {way!r}: unset it or say native or docker."
            )
        if way == "native":
            return False
        version = compose.engine_answers()
        if way == "docker" and version is None:
            raise BackendUnavailable(
                f"{WAY_VARIABLE}=docker, but no Docker engine with Compose answers: "
                "start it, or unset the variable.",
            )
        return version is not None

    def _open_directory(self, keeper: KeeperChannel) -> Path:
        """Make the run's folder; let others through it, for Postgres may run under another account."""
        if self._wanted_directory is not None:
            directory = self._wanted_directory.resolve()
            directory.mkdir(parents=True, exist_ok=True)
            self._lock = _exclusive(directory)
            if os.geteuid() == 0 and not programs.reachable_by_others(directory / "postgres"):
                raise BackendUnavailable(
                    f"Postgres runs under another account, which cannot reach {directory}: choose "
                    "another folder, or run the same command as an ordinary user.",
                )
            return directory
        directory = Path(tempfile.mkdtemp(prefix="run-", dir=_runs_folder()))
        keeper.ask("at_end", remove=str(directory))
        if os.geteuid() == 0:
            directory.chmod(0o711)
        return directory

    def _ports(self, directory: Path) -> dict[str, int]:
        """Free ports; those of the last run again, where a folder is kept."""
        remembered = directory / "ports.json"
        before: dict[str, int] = json.loads(remembered.read_text()) if remembered.is_file() else {}
        taken: set[int] = set()
        ports = {name: free_port(preferred=before.get(name), taken=taken) for name in PORT_NAMES}
        remembered.write_text(json.dumps(ports))
        return ports

    def _keep_logs(self) -> None:
        """Leave the folder of a failed start for whoever looks into it, if there is anything to see."""
        if self._keeper is not None and self.directory and any(self.directory.glob("*.log")):
            with contextlib.suppress(BackendUnavailable):
                self._keeper.ask("forget", remove=str(self.directory))
            self._announce(f"devstack: failed; logs are in {self.directory}")


def repository() -> Path | None:
    """The root of the clone that this package is installed from, if any."""
    for folder in Path(__file__).resolve().parents:
        if (folder / "tools/devstack/pyproject.toml").is_file():
            return folder
    return None


def _runs_folder() -> Path | None:
    """In the clone when every account can pass through it, else the system's folder (None)."""
    root = repository()
    if root is None:
        return None
    folder = root / ".passferry" / "run"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    if os.geteuid() == 0 and not programs.reachable_by_others(folder / "any"):
        return None
    return folder


def _address(name: str, port: int, *, password: str | None = None) -> str:
    login = f"postgres:{password}" if password else "postgres"
    return {
        "kafka": f"{LOOPBACK}:{port}",
        "postgres": f"postgresql://{login}@{LOOPBACK}:{port}/postgres",
        "redis": f"redis://{LOOPBACK}:{port}/0",
    }[name]


def _results(futures: dict[str, Future[tuple[Server, str]]]) -> dict[str, tuple[Server, str]]:
    return {name: future.result() for name, future in futures.items()}


def _exclusive(directory: Path) -> TextIO:
    lock = (directory / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise BackendUnavailable(
            f"Another stack runs in {directory}: stop it, or choose another folder.",
        ) from None
    return lock
