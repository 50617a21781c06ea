"""Given addresses, Docker, native, or one clear sentence."""

import os
from pathlib import Path

import pytest

from passferry_devstack import BackendUnavailable, DevStack, compose, kafka_jars, programs

ADDRESSES = {
    "PASSFERRY_KAFKA_BROKERS": "kafka.example:9092",
    "PASSFERRY_POSTGRES_ADMIN_URL": "postgresql://admin@db.example/postgres",
    "PASSFERRY_REDIS_URL": "redis://cache.example:6379/3",
}
FAKE_DOCKER = """#!/bin/sh
echo "$@" >> {log}
case "$*" in
  *" up "*) [ -z "{failure}" ] || {{ echo "{failure}" >&2; exit 1; }} ;;
  *version*|info*) echo 99.1 ;;
esac
"""


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with nothing: an empty PATH, no wheels, no system folders, no addresses."""
    for name in [*ADDRESSES, "JAVA_HOME", "PASSFERRY_DEVSTACK"]:
        monkeypatch.delenv(name, raising=False)
    programs_folder = tmp_path / "bin"
    programs_folder.mkdir()
    monkeypatch.setenv("PATH", str(programs_folder))
    monkeypatch.setenv("PASSFERRY_NO_SYSTEM_PACKAGES", "1")
    monkeypatch.setattr(programs, "_in_wheel", lambda package, inside: None)
    monkeypatch.setattr(programs, "_postgres_candidates", lambda: iter(()))
    return programs_folder


def test_addresses_from_the_environment_are_used_as_they_are(
    bare: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in ADDRESSES.items():
        monkeypatch.setenv(name, value)
    said: list[str] = []
    stack = DevStack(announce=said.append)
    with stack as backends:
        assert backends.environment() == ADDRESSES
        assert (stack.kafka, stack.postgres, stack.redis) == (None, None, None)
    assert said == [backends.chosen]
    assert "Kafka from PASSFERRY_KAFKA_BROKERS" in backends.chosen


@pytest.mark.integration
def test_one_address_is_respected_and_only_the_others_are_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in ADDRESSES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PASSFERRY_REDIS_URL")
    monkeypatch.setenv("PASSFERRY_DEVSTACK", "native")
    stack = DevStack(announce=lambda line: None)
    with stack as backends:
        assert backends.kafka_brokers == ADDRESSES["PASSFERRY_KAFKA_BROKERS"]
        assert backends.redis_url.startswith("redis://127.0.0.1:")
        assert stack.kafka is None
        assert stack.redis is not None


def test_a_missing_tool_is_one_sentence_with_the_command_that_helps(bare: Path) -> None:
    searches = {
        "Java 17": programs.find_java,
        "Postgres 15": lambda: programs.find_postgres(lambda line: None),
        "Redis 6.2": lambda: programs.find_redis(lambda line: None),
    }
    for name, search in searches.items():
        with pytest.raises(BackendUnavailable) as refusal:
            search()
        assert name in str(refusal.value)
        assert "`make setup`" in str(refusal.value)


def test_too_old_a_program_is_passed_over(bare: Path) -> None:
    _executable(bare / "redis-server", "#!/bin/sh\necho Redis server v=6.0.9 sha=0\n")
    with pytest.raises(BackendUnavailable):
        programs.find_redis(lambda line: None)


def test_a_system_package_is_installed_with_a_line_that_says_so_unless_forbidden(
    bare: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    server = bare / "redis-server"
    script = f'#!/bin/sh\necho "echo v=7.0.15" > {server}\n/bin/chmod +x {server}\n'
    _executable(bare / "apt-get", f"{script}/bin/sed -i '1i #!/bin/sh' {server}\n")
    said: list[str] = []

    with pytest.raises(BackendUnavailable):
        programs.find_redis(said.append)
    assert said == []

    monkeypatch.delenv("PASSFERRY_NO_SYSTEM_PACKAGES")
    assert programs.find_redis(said.append).version == "7.0.15"
    assert len(said) == 1
    assert "PASSFERRY_NO_SYSTEM_PACKAGES=1 forbids" in said[0]


def test_docker_is_chosen_when_its_engine_answers(
    bare: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = tmp_path / "docker.log"
    _executable(bare / "docker", FAKE_DOCKER.format(log=log, failure=""))
    monkeypatch.setattr(
        compose,
        "ANSWERS",
        dict.fromkeys(("kafka", "postgres", "redis"), lambda host, port: True),
    )
    said: list[str] = []
    stack = DevStack(announce=said.append)
    with stack as backends:
        assert stack.kafka is not None
        stack.kafka.kill()
        assert (
            ":" in backends.postgres_admin_url.split("@")[0].split("//")[1]
        )  # a password was made
        assert backends.postgres_admin_url.split("@")[0] not in backends.chosen
    commands = log.read_text()
    assert "--profile backends" in commands
    assert "up --detach --wait kafka postgres redis" in commands
    assert "kill --signal SIGKILL kafka" in commands
    assert "down --volumes" in commands
    assert "Kafka in Docker" in said[-1]


def test_docker_that_cannot_start_is_told_when_it_was_asked_for(
    bare: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _executable(bare / "docker", FAKE_DOCKER.format(log=tmp_path / "log", failure="no such image"))
    monkeypatch.setenv("PASSFERRY_DEVSTACK", "docker")
    with pytest.raises(BackendUnavailable, match="no such image"):
        DevStack(announce=lambda line: None).start()


def test_an_unknown_way_is_refused(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSFERRY_DEVSTACK", "podman")
    with pytest.raises(BackendUnavailable, match="PASSFERRY_DEVSTACK"):
        DevStack(announce=lambda line: None).start()


def test_a_jar_with_another_digest_is_refused_and_nothing_is_kept(
    bare: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def forged(folder: Path) -> None:
        for jar in kafka_jars.listed_jars():
            (folder / jar.file_name).write_bytes(b"not the jar")

    monkeypatch.setattr(kafka_jars, "_fetch", forged)
    with pytest.raises(BackendUnavailable, match="is not the file"):
        kafka_jars.ensure_jars(lambda line: None)
    assert not kafka_jars.cache_folder().exists()
    assert [path.name for path in kafka_jars.cache_folder().parent.iterdir()] == [
        "kafka-4.3.1.lock"
    ]


def test_every_jar_has_coordinates_and_a_digest() -> None:
    jars = kafka_jars.listed_jars()
    assert len(jars) == 46
    assert all(len(jar.sha256) == 64 and jar.group and jar.version for jar in jars)


def _executable(path: Path, content: str) -> None:
    path.write_text(content)
    path.chmod(0o755)
