"""What the architecture tests look at: this repository, or a small planted one."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

#: Never part of the project, whether or not version control knows it.
IGNORED_FOLDERS = frozenset(
    {
        ".git",
        ".venv",
        ".passferry",
        ".hypothesis",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".import_linter_cache",
        "__pycache__",
        "build",
        "node_modules",
    }
)
LARGEST_FILE_BYTES = 5_000_000


@dataclass(frozen=True)
class Repository:
    root: Path

    def files(self, *endings: str) -> Iterator[Path]:
        """Tracked files and those about to be, with one of the endings, or all."""
        for path in sorted(self._listed()):
            if IGNORED_FOLDERS.intersection(path.relative_to(self.root).parts):
                continue
            if path.is_file() and (not endings or path.name.endswith(endings)):
                yield path

    def texts(self, *endings: str) -> Iterator[tuple[str, str]]:
        """Each text file's path from the root, and its text; pictures and the like are left out."""
        for path in self.files(*endings):
            raw = path.read_bytes()
            if len(raw) <= LARGEST_FILE_BYTES and b"\0" not in raw:
                yield self.name_of(path), raw.decode("utf-8", "replace")

    def name_of(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _listed(self) -> list[Path]:
        if not (self.root / ".git").exists():
            return list(self.root.rglob("*"))
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=self.root, capture_output=True, check=True)
        return [self.root / name for name in listed.stdout.decode().split("\0") if name]


@pytest.fixture(scope="session")
def repository():
    return Repository(Path(__file__).parents[2])


@pytest.fixture
def planted(tmp_path):
    """Makes a repository of the given files, to show that a rule finds what it should."""

    def plant(files: dict[str, str]) -> Repository:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return Repository(tmp_path)

    return plant
