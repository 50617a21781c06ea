"""Backends, simulators and the five services as separate processes on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from passferry_contracts.registry import SERVICES
from passferry_demo.supervised import ProcessEnded, Supervised
from passferry_devstack import Backends, DevStack
from passferry_devstack.ports import free_port
from passferry_runtime.migrations import schema_of
from passferry_testing.pki import DemoAuthority

READY_TIMEOUT_S = 60.0
#: A parked event is given up after this long: a demo cannot wait for an hour.
PARKING_MAX_AGE_S = 8.0

Announce = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """`durable`: fsync on. `drain_dead_letters`: see `PARKING_MAX_AGE_S`."""

    durable: bool = False
    throughput: bool = False
    parking_max_age_s: float = PARKING_MAX_AGE_S
    environment: dict[str, str] = field(default_factory=dict)
    #: Of one service alone: the others refuse settings that they do not know.
    of_service: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass(slots=True)
class Platform:
    """Everything that runs; `services` and the simulators can be killed and started again."""

    backends: Backends
    stack: DevStack
    directory: Path
    authority: DemoAuthority
    ports: dict[str, int]
    services: dict[str, Supervised] = field(default_factory=dict)
    simulators: dict[str, Supervised] = field(default_factory=dict)
    addresses: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def administrator_key(self) -> str:
        return (self.directory / "secrets" / "administrator_key").read_text().strip()

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.ports[service]}"

    @property
    def apns_control(self) -> str:
        return str(self.addresses["apns"]["control"])

    @property
    def google_url(self) -> str:
        return str(self.addresses["google"]["base_url"])

    @property
    def dittofeed_url(self) -> str:
        return str(self.addresses["dittofeed"]["url"])

    def log_path(self, name: str) -> Path:
        return self.directory / "logs" / f"{name}.log"

    def restart(self, service: str) -> None:
        self.services[service].start()
        self.wait_ready([service])

    def wait_ready(self, services: list[str] | None = None) -> None:
        """Return when each answers ready; raises `ProcessEnded` with its log when one ends."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        for name in services or list(self.services):
            while not _answers(f"{self.url(name)}/healthz/ready"):
                self.services[name].check()
                if time.monotonic() > deadline:
                    state = _text(f"{self.url(name)}/health")
                    raise ProcessEnded(
                        f"{name} is not ready: {state}\n{self.services[name].log_end()}"
                    )
                time.sleep(0.05)


@contextlib.contextmanager
def running_platform(
    announce: Announce = print, options: Options | None = None
) -> Iterator[Platform]:
    """Bring everything up, hand it out, and end it all."""
    chosen = options or Options()
    directory = Path(tempfile.mkdtemp(prefix="passferry-demo-"))
    stack = DevStack(durable=chosen.durable, throughput=chosen.throughput, announce=announce)
    platform: Platform | None = None
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(shutil.rmtree, directory, ignore_errors=True)
        backends = cleanup.enter_context(stack)
        (directory / "logs").mkdir()
        authority = DemoAuthority.create(directory / "authority")
        wwdr = directory / "wwdr"
        wwdr.mkdir()
        (wwdr / "wwdr.pem").write_bytes(authority.wwdr_pem)
        taken: set[int] = set()
        ports = {name: free_port(taken=taken) for name in (*SERVICES, "google")}
        platform = Platform(backends, stack, directory, authority, ports)
        cleanup.callback(_stop_all, platform)
        _start_simulators(platform)
        _bootstrap(platform, wwdr)
        announce("bootstrap: secrets, topics, five schemas, platform administrator")
        for service in SERVICES:
            platform.services[service] = _service(platform, service, wwdr, chosen)
            platform.services[service].start()
        platform.wait_ready()
        announce("services: " + ", ".join(f"{name} :{ports[name]}" for name in SERVICES))
        yield platform


def _stop_all(platform: Platform) -> None:
    for process in platform.services.values():
        with contextlib.suppress(ProcessEnded):
            if process.is_running:
                os.kill(process.pid, 15)
    for process in (*platform.services.values(), *platform.simulators.values()):
        process.stop()


def _start_simulators(platform: Platform) -> None:
    authority = str(platform.directory / "authority")
    state = platform.directory / "simulators"
    state.mkdir()
    commands = {
        "apns": ["apns_simulator", "--port", "0", "--state-dir", str(state), "--authority", authority,
                 "--token-update-interval", "1"],
        "google": ["google_simulator", "--port", str(platform.ports["google"]), "--state-dir", str(state)],
        "dittofeed": ["dittofeed_recorder", "--port", "0"],
    }  # fmt: skip
    for name, (module, *arguments) in commands.items():
        process = Supervised(
            name,
            [sys.executable, "-m", f"passferry_testing.{module}", *arguments],
            {},
            platform.log_path(name),
        )
        process.start()
        platform.simulators[name] = process
    for name, process in platform.simulators.items():
        platform.addresses[name] = json.loads(process.first_line())


def _bootstrap(platform: Platform, wwdr: Path) -> None:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PASSFERRY_")
    }
    environment |= platform.backends.environment()
    environment.pop("PASSFERRY_REDIS_URL")
    environment |= {
        "PASSFERRY_SECRETS_DIRECTORY": str(platform.directory / "secrets"),
        "PASSFERRY_WWDR_DIRECTORY": str(wwdr),
        "PASSFERRY_PUBLIC_BASE_URL": platform.url("wallet-webservice"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "passferry_bootstrap"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    if done.returncode != 0:
        raise ProcessEnded(f"bootstrap failed\n{done.stdout}{done.stderr}")


def _service(platform: Platform, service: str, wwdr: Path, options: Options) -> Supervised:
    secrets = platform.directory / "secrets" / service
    environment = {
        "PASSFERRY_KAFKA_BROKERS": platform.backends.kafka_brokers,
        # A member that comes back under its name takes its partitions at once.
        "PASSFERRY_KAFKA_GROUP_INSTANCE_ID": f"{service}-0",
        "PASSFERRY_KAFKA_SESSION_TIMEOUT_MS": "6000",
        "PASSFERRY_KAFKA_HEARTBEAT_INTERVAL_MS": "1000",
        "PASSFERRY_KAFKA_REBALANCE_TIMEOUT_MS": "10000",
        "PASSFERRY_PARKING_FIRST_RETRY_S": "0.2",
        "PASSFERRY_PARKING_MAX_AGE_S": str(options.parking_max_age_s),
        "PASSFERRY_DATABASE_URL_FILE": str(secrets / "database_url"),
        "PASSFERRY_REDIS_URL": platform.backends.redis_url,
        "PASSFERRY_HTTP_PORT": str(platform.ports[service]),
        **_settings_of(platform, service, secrets, wwdr),
        **options.environment,
        **options.of_service.get(service, {}),
    }
    return Supervised(
        service,
        [sys.executable, "-m", f"passferry_{schema_of(service)}", "serve"],
        environment,
        platform.log_path(service),
    )


def _settings_of(platform: Platform, service: str, secrets: Path, wwdr: Path) -> dict[str, str]:
    public = platform.url("wallet-webservice")
    google = platform.google_url
    match service:
        case "pass-issuer":
            return {
                "PASSFERRY_KEY_RING_FILE": str(secrets / "key_ring.json"),
                "PASSFERRY_CREDENTIALS_KEY_RING_FILE": str(secrets / "credentials_key_ring.json"),
                "PASSFERRY_PUBLIC_BASE_URL": public,
                "PASSFERRY_WWDR_DIRECTORY": str(wwdr),
                "PASSFERRY_GOOGLE_SAVE_BASE_URL": f"{google}/gp/v/save",
                "PASSFERRY_GOOGLE_SAVE_ORIGINS": json.dumps([public]),
                "PASSFERRY_ALLOW_SERIAL_NUMBER_CHOICE": "true",
            }
        case "wallet-webservice":
            return {
                "PASSFERRY_PUSH_TOKEN_KEY_RING_FILE": str(secrets / "push_token_key_ring.json"),
                "PASSFERRY_PUBLIC_BASE_URL": public,
                "PASSFERRY_GOOGLE_ROOT_KEYS_URL": f"{google}/gp/m/issuer/keys",
            }
        case "notifier":
            apns = platform.addresses["apns"]
            return {
                "PASSFERRY_CREDENTIALS_KEY_RING_FILE": str(secrets / "credentials_key_ring.json"),
                "PASSFERRY_PUSH_TOKEN_KEY_RING_FILE": str(secrets / "push_token_key_ring.json"),
                "PASSFERRY_APNS_BASE_URL": f"https://127.0.0.1:{apns['port']}",
                "PASSFERRY_APNS_CA_FILE": str(apns["root_pem"]),
                "PASSFERRY_GOOGLE_BASE_URL": google,
            }
        case "event-bridge":
            return {
                "PASSFERRY_KEY_RING_FILE": str(secrets / "key_ring.json"),
                "PASSFERRY_SINK_ALLOWED_HOSTS": json.dumps(["127.0.0.1"]),
            }
        case _:
            return {}


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.HTTPError:
        return False


def _text(url: str) -> str:
    try:
        return httpx.get(url, timeout=2).text
    except httpx.HTTPError as error:
        return type(error).__name__
