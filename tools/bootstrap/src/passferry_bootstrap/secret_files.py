"""The secrets of an installation: a folder for each service, holding only what that one needs."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from passferry_contracts.registry import SERVICES
from passferry_runtime.crypto import KeyRing
from passferry_runtime.migrations import schema_of

#: Ring → the services that hold it. Who is not named here cannot open what it protects.
KEY_RINGS = {
    "key_ring.json": (("pass-issuer",), ("event-bridge",)),
    "credentials_key_ring.json": (("pass-issuer", "notifier"),),
    "push_token_key_ring.json": (("wallet-webservice", "notifier"),),
}
PASSWORD = "postgres_password"  # noqa: S105  # the name of a file
DATABASE_URL = "database_url"


def make_secrets(directory: Path, postgres_admin_url: str) -> list[Path]:
    """Write what is missing, each file readable by its owner only; returns the new files."""
    made: list[Path] = []
    for service in SERVICES:
        folder = directory / service
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        made += _write_new(folder / PASSWORD, secrets.token_urlsafe(32))
        password = (folder / PASSWORD).read_text().strip()
        url = service_url(postgres_admin_url, service, password)
        # Not a secret of its own: it follows the server's address.
        _write(folder / DATABASE_URL, url)
    for name, groups in KEY_RINGS.items():
        for holders in groups:
            made += _share_ring(directory, name, holders)
    return made


def service_url(postgres_admin_url: str, service: str, password: str) -> str:
    parts = urlsplit(postgres_admin_url)
    host = parts.netloc.rsplit("@", 1)[-1]
    login = f"passferry_{schema_of(service)}:{quote(password, safe='')}@{host}"
    return urlunsplit((parts.scheme, login, parts.path, parts.query, ""))


def _share_ring(directory: Path, name: str, holders: tuple[str, ...]) -> list[Path]:
    paths = [directory / holder / name for holder in holders]
    present = [path for path in paths if path.exists()]
    ring = present[0].read_text() if present else KeyRing.generate()
    KeyRing.from_json(ring)
    return [made for path in paths for made in _write_new(path, ring)]


def _write_new(path: Path, content: str) -> list[Path]:
    if path.exists():
        return []
    _write(path, content)
    return [path]


def _write(path: Path, content: str) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content + "\n")
    temporary.replace(path)
