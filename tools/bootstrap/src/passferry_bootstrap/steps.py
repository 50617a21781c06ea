"""The steps, each safe to repeat."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from passferry_bootstrap.secret_files import PASSWORD, make_secrets
from passferry_contracts.registry import SERVICES
from passferry_runtime.kafka.topics import create_topics
from passferry_runtime.migrations import schema_of

STEP_TIMEOUT_S = 180


class BootstrapFailed(Exception):
    """One sentence that says which step failed and what to look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """Where everything is."""

    secrets_directory: Path
    postgres_admin_url: str
    kafka_brokers: str
    topic_prefix: str
    replication_factor: int
    administrator_key_file: Path
    wwdr_directory: Path
    public_base_url: str


def secrets_step(installation: Installation) -> str:
    made = make_secrets(installation.secrets_directory, installation.postgres_admin_url)
    return f"secrets: {len(made)} new files in {installation.secrets_directory}"


def topics_step(installation: Installation) -> str:
    created = asyncio.run(
        create_topics(
            installation.kafka_brokers,
            topic_prefix=installation.topic_prefix,
            replication_factor=installation.replication_factor,
        )
    )
    return f"topics: {len(created)} created"


def migrate_step(installation: Installation) -> str:
    """All five at once: they wait for one another's locks where they must."""
    processes = {
        service: _start(
            [sys.executable, "-m", f"passferry_{schema_of(service)}", "migrate"],
            {
                "PASSFERRY_POSTGRES_ADMIN_URL": installation.postgres_admin_url,
                "PASSFERRY_APP_PASSWORD_FILE": str(
                    installation.secrets_directory / service / PASSWORD
                ),
            },
        )
        for service in SERVICES
    }
    for service, process in processes.items():
        _wait(process, f"the migration of {service}")
    return f"schemas: {', '.join(SERVICES)}"


def administrator_step(installation: Installation) -> str:
    folder = installation.secrets_directory / "pass-issuer"
    process = _start(
        [
            sys.executable,
            "-m",
            "passferry_pass_issuer",
            "administrator",
            "--api-key-file",
            str(installation.administrator_key_file),
        ],
        {
            "PASSFERRY_KAFKA_BROKERS": installation.kafka_brokers,
            "PASSFERRY_KAFKA_TOPIC_PREFIX": installation.topic_prefix,
            "PASSFERRY_DATABASE_URL_FILE": str(folder / "database_url"),
            "PASSFERRY_KEY_RING_FILE": str(folder / "key_ring.json"),
            "PASSFERRY_CREDENTIALS_KEY_RING_FILE": str(folder / "credentials_key_ring.json"),
            "PASSFERRY_PUBLIC_BASE_URL": installation.public_base_url,
            "PASSFERRY_WWDR_DIRECTORY": str(installation.wwdr_directory),
        },
    )
    _wait(process, "making the platform administrator")
    return f"administrator: API key in {installation.administrator_key_file}"


STEPS = {
    "secrets": secrets_step,
    "topics": topics_step,
    "migrate": migrate_step,
    "administrator": administrator_step,
}


def _start(command: list[str], settings: dict[str, str]) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PASSFERRY_")}
    return subprocess.Popen(
        command,
        env=kept | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _wait(process: subprocess.Popen[str], what: str) -> None:
    try:
        output, _ = process.communicate(timeout=STEP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise BootstrapFailed(f"{what} did not end within {STEP_TIMEOUT_S} s") from None
    if process.returncode != 0:
        last = "\n".join(output.strip().splitlines()[-5:])
        raise BootstrapFailed(f"{what} failed with exit code {process.returncode}:\n{last}")
