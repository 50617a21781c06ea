"""Reads .pkpass bytes as a suspicious device would; shares no code with what writes them."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from passferry_testing.cms_reader import SignatureUnreadable, VerifiedSignature, verify_detached
from passferry_testing.pass_content_checks import PassUnreadable, check_content, fields_of
from passferry_testing.strings_reader import StringsUnreadable, read_strings

__all__ = [
    "PassUnreadable",
    "ReadPass",
    "read_pass",
    "read_passes",
    "verify_with_openssl",
]

_MAX_BYTES = 10 * 1024 * 1024
_MAX_ENTRIES = 256
_MAX_PASSES = 10
_OPENSSL_TIMEOUT_S = 20
_UNLISTED = frozenset({"manifest.json", "signature"})
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class ReadPass:
    """A pass that passed every check.

    `files` holds all entries of the zip by name; `fields` the value of every field by its key.
    """

    pass_json: dict[str, Any]
    serial: str
    pass_type_identifier: str
    authentication_token: str | None
    web_service_url: str | None
    files: dict[str, bytes]
    fields: dict[str, Any]
    manifest: bytes
    signing_time: datetime

    @property
    def strings(self) -> dict[str, dict[str, str]]:
        """Language to text to its translation."""
        return {
            name.partition(".lproj/")[0]: read_strings(data)
            for name, data in self.files.items()
            if name.endswith(".lproj/pass.strings")
        }

    @property
    def is_voided(self) -> bool:
        return bool(self.pass_json.get("voided"))

    @property
    def barcode(self) -> str | None:
        """What a scanner would read from the preferred barcode."""
        barcodes = self.pass_json.get("barcodes") or []
        message: str | None = barcodes[0]["message"] if barcodes else None
        return message


def read_pass(data: bytes, *, root_pem: bytes, now: datetime | None = None) -> ReadPass:
    """Open a .pkpass and check zip, manifest, signature up to the root, and content.

    Raises PassUnreadable. `now` is aware; the present time when absent.
    """
    files = _open(data)
    _check_manifest(files)
    try:
        signature = verify_detached(
            files["signature"],
            files["manifest.json"],
            root_pem=root_pem,
            now=now or datetime.now(UTC),
        )
    except SignatureUnreadable as unreadable:
        raise PassUnreadable(f"signature: {unreadable}") from unreadable
    content = _object(files["pass.json"], "pass.json")
    check_content(content)
    _check_signer(content, signature)
    _check_nfc(content, signature)
    _check_images(files)
    _check_strings(files)
    return ReadPass(
        pass_json=content,
        serial=content["serialNumber"],
        pass_type_identifier=content["passTypeIdentifier"],
        authentication_token=content.get("authenticationToken"),
        web_service_url=content.get("webServiceURL"),
        files=files,
        fields={field["key"]: field["value"] for field in fields_of(content)},
        manifest=files["manifest.json"],
        signing_time=signature.signing_time,
    )


def read_passes(
    data: bytes, *, root_pem: bytes, now: datetime | None = None
) -> dict[str, ReadPass]:
    """Open a .pkpasses: name in it to pass. Raises PassUnreadable."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if not 1 <= len(entries) <= _MAX_PASSES:
                raise PassUnreadable(f"holds {len(entries)} passes")
            for entry in entries:
                if "/" in entry.filename or not entry.filename.endswith(".pkpass"):
                    raise PassUnreadable(f"{entry.filename!r} is no pass")
            passes = {entry.filename: archive.read(entry) for entry in entries}
    except zipfile.BadZipFile as broken:
        raise PassUnreadable(f"not a readable zip: {broken}") from broken
    return {name: read_pass(one, root_pem=root_pem, now=now) for name, one in passes.items()}


def verify_with_openssl(data: bytes, *, root_pem: bytes) -> None:
    """Let the `openssl` program judge signature and chain; raises PassUnreadable."""
    files = _open(data)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "root.pem").write_bytes(root_pem)
        for entry in ("signature", "manifest.json"):
            (directory / entry).write_bytes(files[entry])
        verdict = subprocess.run(
            ["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", "signature",
             "-content", "manifest.json", "-CAfile", "root.pem", "-purpose", "any",
             "-out", "verified"],
            cwd=directory, capture_output=True, timeout=_OPENSSL_TIMEOUT_S, check=False,
        )  # fmt: skip
    if verdict.returncode != 0:
        raise PassUnreadable(f"openssl: {verdict.stderr.decode(errors='replace').strip()}")


def _open(data: bytes) -> dict[str, bytes]:
    if len(data) > _MAX_BYTES:
        raise PassUnreadable("the archive is larger than 10 MiB")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_entries(entries)
            files = {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as broken:
        raise PassUnreadable(f"not a readable zip: {broken}") from broken
    for name in ("pass.json", "manifest.json", "signature"):
        if name not in files:
            raise PassUnreadable(f"{name} is missing")
    return files


def _check_entries(entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > _MAX_ENTRIES:
        raise PassUnreadable("too many entries")
    if sum(entry.file_size for entry in entries) > _MAX_BYTES:
        raise PassUnreadable("the content is larger than 10 MiB")
    seen: set[str] = set()
    for entry in entries:
        name = entry.orig_filename
        parts = name.split("/")
        if name in seen:
            raise PassUnreadable(f"{name} is there twice")
        if "\\" in name or "" in parts or "." in parts or ".." in parts or "\0" in name:
            raise PassUnreadable(f"{name!r} is not a plain relative path")
        if parts[0] == "__MACOSX" or parts[-1].startswith("."):
            raise PassUnreadable(f"{name} does not belong in a pass")
        seen.add(name)


def _check_manifest(files: Mapping[str, bytes]) -> None:
    manifest = _object(files["manifest.json"], "manifest.json")
    held = {name for name in files if name not in _UNLISTED}
    for name in sorted(held - manifest.keys()):
        raise PassUnreadable(f"{name} is not in the manifest")
    for name in sorted(manifest.keys() - held):
        raise PassUnreadable(f"{name} is in the manifest but not in the archive")
    for name in held:
        if manifest[name] != hashlib.sha1(files[name], usedforsecurity=False).hexdigest():
            raise PassUnreadable(f"the manifest's hash of {name} is another")


def _check_signer(content: Mapping[str, Any], signature: VerifiedSignature) -> None:
    subject = signature.leaf.subject
    pairs = (
        ("passTypeIdentifier", NameOID.USER_ID),
        ("teamIdentifier", NameOID.ORGANIZATIONAL_UNIT_NAME),
    )
    for name, oid in pairs:
        if _attribute(subject, oid) != content[name]:
            raise PassUnreadable(f"{name} is not that of the signing certificate")


def _check_nfc(content: Mapping[str, Any], signature: VerifiedSignature) -> None:
    name = _attribute(signature.leaf.subject, NameOID.COMMON_NAME) or ""
    if "nfc" in content and "with NFC" not in name:
        raise PassUnreadable("nfc needs a certificate for NFC")


def _check_images(files: Mapping[str, bytes]) -> None:
    if "icon.png" not in files:
        raise PassUnreadable("icon.png is missing")
    for name, image in files.items():
        if name.endswith(".png") and not image.startswith(_PNG):
            raise PassUnreadable(f"{name} is not a PNG")


def _check_strings(files: Mapping[str, bytes]) -> None:
    keys: set[str] | None = None
    for name, data in files.items():
        if not name.endswith("pass.strings"):
            continue
        try:
            found = set(read_strings(data))
        except StringsUnreadable as unreadable:
            raise PassUnreadable(f"{name}: {unreadable}") from unreadable
        if keys is not None and found != keys:
            raise PassUnreadable(f"{name} translates other texts than another language")
        keys = found


def _attribute(name: x509.Name, oid: x509.ObjectIdentifier) -> str | None:
    found = name.get_attributes_for_oid(oid)
    return str(found[0].value) if found else None


def _object(data: bytes, name: str) -> dict[str, Any]:
    try:
        found = json.loads(data, object_pairs_hook=_without_twins)
    except ValueError as broken:
        raise PassUnreadable(f"{name} is not JSON: {broken}") from broken
    if not isinstance(found, dict):
        raise PassUnreadable(f"{name} is not an object")
    return found


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found
