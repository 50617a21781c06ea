"""How each engine is set up and started as a native process."""

import base64
import os
import secrets
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from passferry_devstack import programs
from passferry_devstack.kafka_jars import KAFKA_VERSION, ensure_jars
from passferry_devstack.ports import LOOPBACK
from passferry_devstack.readiness import kafka_answers, postgres_answers, redis_answers
from passferry_devstack.supervision import KeeperChannel, ProcessPlan

SETUP_TIMEOUT_S = 120.0
POSTGRES_CONNECTIONS = 300
#: Only what a server needs: a setting of ours must not change how it behaves.
KEPT_VARIABLES = ("PATH", "HOME", "TMPDIR", "TZ", "LD_LIBRARY_PATH")

QUIET_KAFKA = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
SMALL_JVM = ("-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
FAST_JVM = ("-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-Xshare:auto")

KAFKA_PROPERTIES = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
# After kill -9 the broker may not register again until its old session has lapsed.
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
num.network.threads=2
num.io.threads=2
log.cleaner.dedupe.buffer.size=4194304
log.segment.bytes=16777216
"""


@dataclass(frozen=True, slots=True)
class Workshop:
    """What an engine is set up with."""

    keeper: KeeperChannel
    #: a folder of its own for each engine is made in here
    directory: Path
    port: int
    controller_port: int
    #: nothing survives the run, so stopping need not be clean
    disposable: bool
    durable: bool
    throughput: bool
    announce: Callable[[str], None]

    def folder(self, name: str) -> Path:
        path = self.directory / name
        path.mkdir(mode=0o700, exist_ok=True)
        return path


class Engine(Protocol):
    """Prepares one engine; the answer is the server's plan and one phrase that describes it."""

    def __call__(self, workshop: Workshop) -> tuple[ProcessPlan, str]: ...


def kafka(workshop: Workshop) -> tuple[ProcessPlan, str]:
    """A broker and controller in one JVM, formatted once."""
    java = programs.find_java()
    jars = ensure_jars(workshop.announce)
    folder = workshop.folder("kafka")
    properties = folder / "server.properties"
    properties.write_text(
        KAFKA_PROPERTIES.format(
            port=workshop.port,
            controller_port=workshop.controller_port,
            data=folder / "data",
        ),
    )
    environment = _environment()
    classpath = ("-cp", f"{jars}/*")
    if not (folder / "data" / "meta.properties").is_file():
        format_plan = ProcessPlan(
            name="kafka-format",
            argv=(
                str(java.path),
                "-Xshare:auto",
                "-XX:TieredStopAtLevel=1",
                QUIET_KAFKA,
                *classpath,
                "kafka.tools.StorageTool",
                "format",
                "--standalone",
                "--ignore-formatted",
                "-t",
                _cluster_id(),
                "-c",
                str(properties),
            ),
            environment=environment,
            directory=folder,
            log_path=folder / "format.log",
            stop_signal=signal.SIGKILL,
            answers=lambda: True,
        )
        workshop.keeper.run(format_plan, timeout_s=SETUP_TIMEOUT_S)
    memory = FAST_JVM if workshop.throughput else SMALL_JVM
    plan = ProcessPlan(
        name="kafka",
        argv=(str(java.path), *memory, QUIET_KAFKA, *classpath, "kafka.Kafka", str(properties)),
        environment=environment,
        directory=folder,
        log_path=workshop.directory / "kafka.log",
        stop_signal=signal.SIGKILL if workshop.disposable else signal.SIGTERM,
        answers=partial(kafka_answers, LOOPBACK, workshop.port),
    )
    return plan, f"Kafka {KAFKA_VERSION} native on Java {java.version} ({java.origin})"


def postgres(workshop: Workshop) -> tuple[ProcessPlan, str]:
    """A cluster with trust for loopback; started under another account when we are root."""
    account = programs.postgres_account()
    program = programs.postgres_for(
        account, programs.find_postgres(workshop.announce), workshop.announce
    )
    folder = workshop.folder("postgres")
    if account is not None:
        os.chown(folder, account.uid, account.gid)
    data = folder / "data"
    environment = _environment()
    if not (data / "PG_VERSION").is_file() or (folder / "unfinished").exists():
        shutil.rmtree(data, ignore_errors=True)
        (folder / "unfinished").touch()
        workshop.keeper.run(
            ProcessPlan(
                name="postgres-initdb",
                argv=(
                    str(program.path.with_name("initdb")),
                    "-D",
                    str(data),
                    "-U",
                    "postgres",
                    "--auth=trust",
                    "-E",
                    "UTF8",
                    f"--locale={_utf8_locale()}",
                    "--no-sync",
                ),
                environment=environment,
                directory=folder,
                log_path=workshop.directory / "initdb.log",
                stop_signal=signal.SIGKILL,
                answers=lambda: True,
                run_as=account,
            ),
            timeout_s=SETUP_TIMEOUT_S,
        )
        (folder / "unfinished").unlink()
    settings = {
        "listen_addresses": LOOPBACK,
        "unix_socket_directories": "",  # TCP only: no path can be too long
        "max_connections": str(POSTGRES_CONNECTIONS),
        "fsync": _switch(workshop.durable),
        "full_page_writes": _switch(workshop.durable),
        "synchronous_commit": "on",  # a killed server loses nothing that it acknowledged
        "dynamic_shared_memory_type": "mmap",  # leaves nothing behind outside the data folder
    }
    options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
    plan = ProcessPlan(
        name="postgres",
        argv=(str(program.path), "-D", str(data), "-p", str(workshop.port), *options),
        environment=environment,
        directory=folder,
        log_path=workshop.directory / "postgres.log",
        stop_signal=signal.SIGQUIT if workshop.disposable else signal.SIGINT,
        answers=partial(postgres_answers, LOOPBACK, workshop.port),
        run_as=account,
    )
    durability = "fsync on" if workshop.durable else "fsync off"
    return plan, f"Postgres {program.version} native ({program.origin}, {durability})"


def redis(workshop: Workshop) -> tuple[ProcessPlan, str]:
    """A server that keeps everything in memory only."""
    program = programs.find_redis(workshop.announce)
    folder = workshop.folder("redis")
    plan = ProcessPlan(
        name="redis",
        argv=(
            str(program.path),
            "--bind",
            LOOPBACK,
            "--port",
            str(workshop.port),
            "--dir",
            str(folder),
            "--save",
            "",
            "--appendonly",
            "no",
        ),
        environment=_environment(),
        directory=folder,
        log_path=workshop.directory / "redis.log",
        stop_signal=signal.SIGTERM,
        answers=partial(redis_answers, LOOPBACK, workshop.port),
    )
    return plan, f"Redis {program.version} native ({program.origin})"


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return {**kept, "LC_ALL": _utf8_locale()}


def _utf8_locale() -> str:
    return "C.UTF-8" if os.uname().sysname == "Linux" else "C"


def _switch(value: bool) -> str:
    return "on" if value else "off"


def _cluster_id() -> str:
    """16 random bytes as unpadded base64url; Kafka refuses one that begins with a dash."""
    while True:
        text = base64.urlsafe_b64encode(secrets.token_bytes(16)).rstrip(b"=").decode()
        if not text.startswith("-"):
            return text
