"""Command line: `up` runs the backends until Ctrl-C, `doctor` says what it would use, `prepare` sets up."""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from passferry_devstack import compose, programs
from passferry_devstack.backends import BackendUnavailable
from passferry_devstack.kafka_jars import KAFKA_VERSION, cache_folder, ensure_jars
from passferry_devstack.stack import VARIABLES, WAY_VARIABLE, DevStack


def main() -> int:
    parser = argparse.ArgumentParser(prog="passferry-devstack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="run Kafka, Postgres and Redis until Ctrl-C")
    up.add_argument("--directory", type=Path, help="keep data, logs and ports here from run to run")
    up.add_argument("--durable", action="store_true", help="Postgres writes through to the disk")
    up.add_argument("--throughput", action="store_true", help="a larger JVM for Kafka")
    commands.add_parser("doctor", help="say what would be used; starts nothing")
    commands.add_parser("prepare", help="fetch what is missing; starts nothing")
    arguments = parser.parse_args()
    try:
        if arguments.command == "up":
            run(
                DevStack(
                    directory=arguments.directory,
                    durable=arguments.durable,
                    throughput=arguments.throughput,
                    announce=_to_stderr,
                )
            )
            return 0
        return doctor() if arguments.command == "doctor" else prepare()
    except BackendUnavailable as error:
        _to_stderr(str(error))
        return 1
    except KeyboardInterrupt:
        return 130


def run(stack: DevStack) -> None:
    """Print the addresses as lines of an environment file, then wait for Ctrl-C or SIGTERM."""
    stopped = threading.Event()
    with stack as backends:
        signal.signal(signal.SIGINT, lambda number, frame: stopped.set())
        signal.signal(signal.SIGTERM, lambda number, frame: stopped.set())
        for name, value in backends.environment().items():
            print(f"{name}={value}", flush=True)
        _to_stderr(f"devstack: logs in {stack.directory}; Ctrl-C stops and tidies up")
        stopped.wait()


def doctor() -> int:
    """One line for each backend; 1 when something is missing."""
    docker = None if os.environ.get(WAY_VARIABLE) == "native" else compose.engine_answers()
    native: dict[str, tuple[str, Callable[[], programs.Program]]] = {
        "kafka": ("Java", programs.find_java),
        "postgres": ("Postgres", lambda: programs.find_postgres(_to_stderr)),
        "redis": ("Redis", lambda: programs.find_redis(_to_stderr)),
    }
    os.environ[programs.FORBID_SYSTEM_PACKAGES] = "1"  # looking must not install anything
    missing = 0
    for name, (label, search) in native.items():
        if os.environ.get(VARIABLES[name]):
            print(f"{name}: from {VARIABLES[name]}")
        elif docker:
            print(f"{name}: container (Docker {docker})")
        else:
            try:
                program = search()
                print(
                    f"{name}: native, {label} {program.version} at {program.path} ({program.origin})"
                )
            except BackendUnavailable as error:
                missing = 1
                print(f"{name}: missing. {error}")
    if not docker and not os.environ.get(VARIABLES["kafka"]):
        state = "in" if cache_folder().is_dir() else "not yet in"
        print(f"kafka: jars of {KAFKA_VERSION} are {state} {cache_folder()}")
    return missing


def prepare() -> int:
    """Find or fetch what a native start needs."""
    if all(os.environ.get(variable) for variable in VARIABLES.values()):
        return 0
    if os.environ.get(WAY_VARIABLE) != "native" and compose.engine_answers():
        return 0
    programs.find_java()
    ensure_jars(_to_stderr)
    programs.postgres_for(
        programs.postgres_account(), programs.find_postgres(_to_stderr), _to_stderr
    )
    programs.find_redis(_to_stderr)
    return 0


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
