"""`python -m passferry_bootstrap [secrets topics migrate administrator]`; all when none is named."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from passferry_bootstrap.steps import STEPS, BootstrapFailed, Installation
from passferry_runtime.kafka.topics import TopicsNotCreated
from passferry_runtime.logging import configure_logging


def _installation(arguments: argparse.Namespace) -> Installation:
    directory = Path(arguments.secrets_directory).absolute()
    return Installation(
        secrets_directory=directory,
        postgres_admin_url=_needed("PASSFERRY_POSTGRES_ADMIN_URL"),
        kafka_brokers=_needed("PASSFERRY_KAFKA_BROKERS"),
        topic_prefix=os.environ.get("PASSFERRY_KAFKA_TOPIC_PREFIX", ""),
        replication_factor=arguments.replication_factor,
        administrator_key_file=directory / "administrator_key",
        wwdr_directory=Path(os.environ.get("PASSFERRY_WWDR_DIRECTORY", directory)),
        public_base_url=os.environ.get("PASSFERRY_PUBLIC_BASE_URL", "https://passes.invalid"),
    )


def _needed(variable: str) -> str:
    path = os.environ.get(f"{variable}_FILE")
    value = os.environ.get(variable) or (Path(path).read_text().strip() if path else "")
    if not value:
        raise BootstrapFailed(f"{variable} is missing: set it, or {variable}_FILE")
    return value


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="passferry_bootstrap",
        description="Make what an installation needs once. Every step can be repeated safely.",
    )
    parser.add_argument("steps", nargs="*", choices=[*STEPS, []], metavar="STEP", default=[])
    parser.add_argument(
        "--secrets-directory",
        default=os.environ.get("PASSFERRY_SECRETS_DIRECTORY", ".passferry/secrets"),
    )
    parser.add_argument("--replication-factor", type=int, default=1)
    arguments = parser.parse_args()
    configure_logging("bootstrap", "WARNING")
    try:
        installation = _installation(arguments)
        for name in arguments.steps or STEPS:
            print(STEPS[name](installation))
    except (BootstrapFailed, TopicsNotCreated, OSError) as error:
        print(f"bootstrap: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
