"""The backends as containers, from the repository's docker-compose.yml."""

import contextlib
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from passferry_devstack.backends import BackendUnavailable
from passferry_devstack.readiness import kafka_answers, postgres_answers, redis_answers

ENGINE_TIMEOUT_S = 5.0
UP_TIMEOUT_S = 600.0
COMMAND_TIMEOUT_S = 60.0
POLL_INTERVAL_S = 0.1
PROFILE = "backends"
ANSWERS: Mapping[str, Callable[[str, int], bool]] = {
    "kafka": kafka_answers,
    "postgres": postgres_answers,
    "redis": redis_answers,
}


def engine_answers() -> str | None:
    """The version of the Docker engine when it answers and Compose is there, else None."""
    docker = shutil.which("docker")
    if docker is None:
        return None
    version = _output([docker, "info", "--format", "{{.ServerVersion}}"])
    if not version or _output([docker, "compose", "version", "--short"]) is None:
        return None
    return version


@dataclass(frozen=True, slots=True)
class ComposeProject:
    """One run of the compose file under a project name of its own."""

    command: tuple[str, ...]
    directory: Path
    ports: Mapping[str, int]
    password: str

    def up(self, services: Sequence[str]) -> None:
        """Start and wait for the health checks; raises BackendUnavailable."""
        self.run("up", "--detach", "--wait", *services, timeout_s=UP_TIMEOUT_S)

    def down(self, *, volumes: bool) -> tuple[str, ...]:
        """The command that ends the project."""
        return (*self.command, "down", *(("--volumes",) if volumes else ()))

    def run(self, *arguments: str, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
        try:
            ended = subprocess.run(
                [*self.command, *arguments],
                check=False,
                timeout=timeout_s,
                stdin=subprocess.DEVNULL,
                capture_output=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise BackendUnavailable(
                f"docker compose {arguments[0]} failed: {type(error).__name__}.",
            ) from error
        if ended.returncode != 0:
            tail = ended.stderr.decode(errors="replace").strip()[-500:]
            raise BackendUnavailable(f"docker compose {arguments[0]} failed: {tail}")
        return ended.stdout.decode(errors="replace")


def open_project(
    root: Path, directory: Path, ports: Mapping[str, int], name: str
) -> ComposeProject:
    """Write what the compose file needs, ports and a password, and return the project.

    The command is put together by testcontainers, which also knows the ways of other engines.
    """
    from testcontainers.compose import DockerCompose  # noqa: PLC0415  # heavy, and only for Docker

    directory.mkdir(mode=0o700, exist_ok=True)
    password = _password(directory / "postgres_password")
    variables = {
        "COMPOSE_PROJECT_NAME": name,
        "PASSFERRY_SECRETS": str(directory),
        **{f"PASSFERRY_{service.upper()}_PORT": str(port) for service, port in ports.items()},
    }
    env_file = directory / "compose.env"
    env_file.write_text("".join(f"{key}={value}\n" for key, value in variables.items()))
    compose = DockerCompose(
        context=root,
        compose_file_name=str(root / "docker-compose.yml"),
        profiles=[PROFILE],
        env_file=str(env_file),
    )
    return ComposeProject(tuple(compose.docker_compose_command()), directory, ports, password)


class ContainerServer:
    """A backend in a container: see `Server` for what each method promises."""

    def __init__(self, name: str, project: ComposeProject) -> None:
        self.name = name
        self._project = project

    @property
    def pid(self) -> int | None:
        return None

    @property
    def log_path(self) -> Path:
        path = self._project.directory / f"{self.name}.log"
        with contextlib.suppress(BackendUnavailable):
            path.write_text(self._project.run("logs", "--no-color", self.name))
        return path

    def start(self) -> None:
        self._project.run("start", self.name)

    def kill(self) -> None:
        self._project.run("kill", "--signal", "SIGKILL", self.name)

    def terminate(self) -> None:
        self._project.run("stop", self.name)

    def wait_ready(self, timeout_s: float = 30.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not ANSWERS[self.name]("127.0.0.1", self._project.ports[self.name]):
            if time.monotonic() > deadline:
                raise BackendUnavailable(
                    f"The container of {self.name} is not ready after {timeout_s:.0f} s: "
                    f"`docker compose logs {self.name}` says why.",
                )
            time.sleep(POLL_INTERVAL_S)


def _password(path: Path) -> str:
    """Made once a directory. The folder is closed to others, so the file may be read in the container."""
    if not path.is_file():
        path.write_text(secrets.token_urlsafe(24))
        path.chmod(0o444)
    return path.read_text()


def _output(command: list[str]) -> str | None:
    try:
        ended = subprocess.run(
            command,
            check=True,
            timeout=ENGINE_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(os.environ),
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return ended.stdout.decode(errors="replace").strip()
