"""The command line of every service, and how it starts, drains and ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import asyncpg
import uvicorn
import uvloop
from opentelemetry.sdk.trace import TracerProvider

from passferry_runtime.causes import cause_of
from passferry_runtime.health import Health
from passferry_runtime.kafka.replay import run_replay
from passferry_runtime.lifecycle import Service, Worker
from passferry_runtime.logging import configure_logging, get_logger
from passferry_runtime.metrics import BUILD_INFO
from passferry_runtime.migrations import find_migrations, migrate, schema_of
from passferry_runtime.settings import (
    ServiceSettings,
    SettingsInvalid,
    file_setting,
    load_settings,
)
from passferry_runtime.shutdown import Shutdown
from passferry_runtime.tracing import configure_tracing

log = get_logger(__name__)

VERSION = "0.1.0"
SCHEMA_TIMEOUT_S = 120.0
HTTP_GRACE_S = 5
#: For closing pools and clients once the workers have drained.
CLOSING_S = 10
MAX_HTTP_CONNECTIONS = 2_000
#: Objects made before the young ones are looked through for cycles.
GC_ALLOCATIONS = 20_000
EXIT_CRASHED = 1
EXIT_MISCONFIGURED = 2

SettingsType = TypeVar("SettingsType", bound=ServiceSettings)
Command = Callable[[list[str]], int]


class SchemaOutdated(Exception):
    """The database is not migrated to what this code needs."""


class WorkerEnded(Exception):
    """A worker returned although nobody asked it to."""


def main(
    service_name: str,
    settings_type: type[SettingsType],
    service: Callable[[SettingsType], AbstractAsyncContextManager[Service]],
    migrations_package: str,
    extra_commands: Mapping[str, Command] | None = None,
) -> int:
    """Run `serve` (the default), `migrate`, `replay` or a command of the service's own."""
    arguments = sys.argv[1:]
    command, rest = (arguments[0], arguments[1:]) if arguments else ("serve", [])
    commands: dict[str, Command] = {
        "serve": lambda _: _serve(service_name, settings_type, service, migrations_package),
        "migrate": lambda _: _migrate(service_name, migrations_package),
        "replay": lambda given: run_replay(load_settings(settings_type), service_name, given),
        **(extra_commands or {}),
    }
    chosen = commands.get(command)
    if chosen is None:
        print(f"unknown command {command!r}; there are: {', '.join(commands)}", file=sys.stderr)  # noqa: T201  # a command's answer
        return EXIT_MISCONFIGURED
    try:
        return chosen(rest)
    except SettingsInvalid as error:
        for fault in error.faults:
            print(f"{service_name}: {fault}", file=sys.stderr)  # noqa: T201  # a command's answer
        return EXIT_MISCONFIGURED


def _migrate(service_name: str, package: str) -> int:
    configure_logging(service_name, "INFO")
    url = _first_of("PASSFERRY_MIGRATE_DATABASE_URL", "PASSFERRY_POSTGRES_ADMIN_URL")
    if url is None:
        raise SettingsInvalid(
            ["PASSFERRY_POSTGRES_ADMIN_URL is missing: the address of a role that may make schemas"]
        )
    password = file_setting("PASSFERRY_APP_PASSWORD")
    asyncio.run(migrate(url, service=service_name, package=package, app_password=password))
    return 0


def _first_of(*variables: str) -> str | None:
    return next((value for name in variables if (value := file_setting(name))), None)


def _serve(
    service_name: str,
    settings_type: type[SettingsType],
    service: Callable[[SettingsType], AbstractAsyncContextManager[Service]],
    package: str,
) -> int:
    settings = load_settings(settings_type)
    configure_logging(service_name, settings.log_level, version=VERSION)
    BUILD_INFO.labels(service=service_name, version=VERSION).set(1)

    async def run() -> None:
        shutdown = Shutdown(limit_s=settings.drain_timeout_s + HTTP_GRACE_S + CLOSING_S)
        shutdown.install()
        await _wait_for_schema(settings, service_name, package)
        async with service(settings) as built:
            _spare_the_garbage_collector()
            await serve(built, settings, shutdown)

    spans = _start_tracing(service_name)
    try:
        uvloop.run(run())
    except asyncio.CancelledError:
        log.info("service_stopped_while_starting")
        return 0
    except SchemaOutdated as error:
        log.error("schema_outdated", detail=str(error))
        return EXIT_CRASHED
    except BaseExceptionGroup as group:
        for cause in _leaves(group):
            detail = cause_of(cause, names_file=True)[:500]
            log.error("service_crashed", error=type(cause).__name__, detail=detail)
        return EXIT_CRASHED
    except Exception as error:
        log.exception("service_crashed", detail=cause_of(error, names_file=True)[:500])
        return EXIT_CRASHED
    finally:
        if spans is not None:
            spans.shutdown()
    log.info("service_stopped")
    return 0


def _spare_the_garbage_collector() -> None:
    """What was built lives as long as the process: looking through it again and again for cycles
    costs every request, and a whole pass is a pause that callers see."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, 20, 20)


def _start_tracing(service_name: str) -> TracerProvider | None:
    try:
        return configure_tracing(service_name)
    except ImportError as error:
        # The service is worth more than its traces, but nobody shall wonder where they are.
        log.warning("tracing_not_exported", detail=str(error))
        return None


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


async def _wait_for_schema(settings: ServiceSettings, service_name: str, package: str) -> None:
    """Only the migration job migrates; everyone else waits for it, within a bound."""
    needed = {migration.version for migration in find_migrations(package)}
    deadline = time.monotonic() + SCHEMA_TIMEOUT_S
    while True:
        try:
            missing = needed - await _applied_migrations(settings, service_name)
            if not missing:
                return
            reason = f"not applied yet: {', '.join(sorted(missing))}"
        except (OSError, TimeoutError, asyncpg.PostgresError) as error:
            # The class alone: messages of drivers may quote addresses with passwords.
            reason = f"the schema cannot be read ({type(error).__name__})"
        if time.monotonic() > deadline:
            raise SchemaOutdated(
                f"{reason}; run `python -m passferry_{schema_of(service_name)} migrate`"
            )
        log.info("waiting_for_schema", reason=reason)
        await asyncio.sleep(1)


async def _applied_migrations(settings: ServiceSettings, service_name: str) -> set[str]:
    connection = await asyncpg.connect(settings.database_url.get_secret_value(), timeout=5)
    try:
        rows = await connection.fetch(
            f'SELECT version FROM "{schema_of(service_name)}".schema_migrations'  # noqa: S608  # a checked name
        )
        return {row["version"] for row in rows}
    finally:
        await connection.close()


async def serve(service: Service, settings: ServiceSettings, shutdown: Shutdown) -> None:
    """Run until `shutdown` is asked for, then drain; raises when a worker ends by itself."""
    health = Health(service.name, service.checks)
    health.install(service.http)
    async with asyncio.TaskGroup() as group:
        beat = group.create_task(health.beat())
        workers = {
            group.create_task(_work(worker, shutdown), name=worker.name): worker
            for worker in service.workers
        }
        async with _listening(service, settings, group) as port:
            _write_instance_file(settings, port)
            health.is_started = True
            log.info("service_started", port=port, host=settings.http_host)
            await shutdown.wait()
            # Requests are still answered, so that probes see that this process goes away.
            health.is_draining = True
            log.info("service_draining")
            await _drain(workers, settings.drain_timeout_s)
        beat.cancel()


async def _work(worker: Worker, shutdown: Shutdown) -> None:
    try:
        await worker.run()
    except Exception:
        # The other workers are cancelled now; one that ignores that must not keep us alive.
        shutdown.start_deadline()
        raise
    if not shutdown.is_requested:
        shutdown.start_deadline()
        raise WorkerEnded(f"{worker.name} returned although it was not asked to")


async def _drain(workers: Mapping[asyncio.Task[None], Worker], timeout_s: float) -> None:
    for worker in workers.values():
        worker.stop()
    if not workers:
        return
    _, late = await asyncio.wait(workers, timeout=timeout_s)
    for task in late:
        # At least once: what it had in work comes again.
        log.warning("worker_did_not_drain", worker=workers[task].name)
        task.cancel()


@contextlib.asynccontextmanager
async def _listening(
    service: Service, settings: ServiceSettings, group: asyncio.TaskGroup
) -> AsyncIterator[int]:
    family = socket.AF_INET6 if ":" in settings.http_host else socket.AF_INET
    # The protocol is named: event loops set TCP_NODELAY on connections of such a listener only.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((settings.http_host, settings.http_port))
    server = _Server(
        uvicorn.Config(
            service.http,
            log_config=None,
            # Paths of device routes hold device ids.
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=HTTP_GRACE_S,
            limit_concurrency=MAX_HTTP_CONNECTIONS,
            backlog=1024,
        )
    )
    group.create_task(_serve_http(server, listener))
    try:
        while not server.started:  # noqa: ASYNC110  # uvicorn has no event for it
            await asyncio.sleep(0.01)
        yield int(listener.getsockname()[1])
    finally:
        server.should_exit = True


async def _serve_http(server: uvicorn.Server, listener: socket.socket) -> None:
    await server.serve(sockets=[listener])
    if not server.should_exit:
        raise WorkerEnded("the HTTP server ended although it was not asked to")


class _Server(uvicorn.Server):
    """Leaves the signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _write_instance_file(settings: ServiceSettings, port: int) -> None:
    if settings.instance_file is None:
        return
    content = json.dumps({"pid": os.getpid(), "http_port": port})
    temporary = settings.instance_file.with_suffix(".tmp")
    temporary.write_text(content)
    temporary.replace(settings.instance_file)
