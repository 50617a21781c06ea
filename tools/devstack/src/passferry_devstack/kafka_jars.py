"""Kafka's jars in the user's cache: fetched once, each checked against the digest in this tree."""

import contextlib
import fcntl
import hashlib
import io
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from passferry_devstack.backends import BackendUnavailable

KAFKA_VERSION = "4.3.1"
FETCH_TIMEOUT_S = 600.0
PARALLEL_DOWNLOADS = 6
COMPLETE = "complete"
CHUNK_BYTES = 1 << 20

POM = """\
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>passferry</groupId>
  <artifactId>kafka-jars</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
{dependencies}
  </dependencies>
</project>
"""
DEPENDENCY = """\
    <dependency>
      <groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>
      <exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>
    </dependency>"""


@dataclass(frozen=True, slots=True)
class Jar:
    """One artifact by its coordinates, with the digest that it must have."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def listed_jars() -> tuple[Jar, ...]:
    """Read kafka_jars.txt: "group:artifact:version sha256" a line."""
    lines = Path(__file__).with_name("kafka_jars.txt").read_text().splitlines()
    entries = [line.replace(" ", ":").split(":") for line in lines if line and line[0] != "#"]
    return tuple(Jar(*fields) for fields in entries)


def cache_folder() -> Path:
    """Where the jars live for all clones of this user."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "passferry", f"kafka-{KAFKA_VERSION}")


def ensure_jars(announce: Callable[[str], None]) -> Path:
    """Return the folder with all jars, fetching them first when it is not there.

    Raises BackendUnavailable when they cannot be had or one has another digest.
    """
    folder = cache_folder()
    if _is_complete(folder):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_name(f"{folder.name}.lock")):
        if _is_complete(folder):  # another run was faster
            return folder
        announce(f"devstack: fetching Apache Kafka {KAFKA_VERSION} into {folder} (once, 44 MB)")
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="fetch-") as temporary:
            partial = Path(temporary, "jars")
            partial.mkdir()
            _fetch(partial)
            _verify(partial)
            (partial / COMPLETE).touch()
            shutil.rmtree(folder, ignore_errors=True)
            partial.rename(folder)
    return folder


def _is_complete(folder: Path) -> bool:
    names = {jar.file_name for jar in listed_jars()}
    return (folder / COMPLETE).is_file() and names <= {path.name for path in folder.iterdir()}


def _fetch(folder: Path) -> None:
    maven = shutil.which("mvn")
    reason = _fetch_with_maven(maven, folder) if maven else "there is no mvn"
    if reason is None:
        return
    try:
        from maven_artifact import Artifact, Downloader  # noqa: PLC0415  # needed only without Maven
    except ImportError as error:
        raise BackendUnavailable(
            f"Kafka's jars cannot be fetched ({reason}): run `make setup`, which installs the wheel "
            "maven-artifact, or install your system's package (Debian: apt-get install maven).",
        ) from error

    def download(jar: Jar) -> None:
        artifact = Artifact(jar.group, jar.artifact, jar.version)
        Downloader().download(artifact, str(folder / jar.file_name))

    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool,
        ):
            list(pool.map(download, listed_jars()))
    except Exception as error:
        raise BackendUnavailable(
            f"Kafka's jars cannot be fetched: with Maven because {reason}; without it because of "
            f"{type(error).__name__}. Check the network, then run `make setup` again.",
        ) from error


def _fetch_with_maven(maven: str, folder: Path) -> str | None:
    """Return None when it worked, else why not."""
    dependencies = "\n".join(
        DEPENDENCY.format(group=jar.group, artifact=jar.artifact, version=jar.version)
        for jar in listed_jars()
    )
    pom = folder.with_name("pom.xml")
    pom.write_text(POM.format(dependencies=dependencies))
    try:
        ended = subprocess.run(
            [
                maven,
                "-q",
                "-B",
                "-f",
                str(pom),
                "dependency:copy-dependencies",
                "-DincludeScope=runtime",
                f"-DoutputDirectory={folder}",
            ],
            check=False,
            timeout=FETCH_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"mvn failed ({type(error).__name__})"
    return None if ended.returncode == 0 else f"mvn ended with code {ended.returncode}"


def _verify(folder: Path) -> None:
    expected = {jar.file_name: jar.sha256 for jar in listed_jars()}
    for path in folder.iterdir():
        if path.name not in expected:
            path.unlink()  # what is not listed must not get onto the class path
    for name, digest in expected.items():
        path = folder / name
        if not path.is_file() or _sha256(path) != digest:
            raise BackendUnavailable(
                f"{name} is missing or is not the file that this version of Passferry expects; nothing "
                "was kept. Check the Maven mirror that this machine uses, then run `make setup` again.",
            )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as content:
        while chunk := content.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
