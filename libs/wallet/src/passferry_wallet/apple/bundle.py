"""The .pkpass container: manifest, and a zip whose unchanging part is built once per template."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from passferry_wallet.apple.assets import check_asset
from passferry_wallet.apple.json_frame import JsonFrame, encoded, hole
from passferry_wallet.apple.rejections import PassContentRejected

__all__ = [
    "BundleTemplate",
    "ManifestFrame",
    "PassContentRejected",
    "build_manifest",
    "build_pkpasses",
    "bundle_passes",
    "check_asset",
    "sha1_hex",
]

MAX_FILES = 500
MAX_BUNDLE_BYTES = 50 * 1024 * 1024
MAX_PASSES_PER_BUNDLE = 10
MAX_PASSES_BYTES = 150 * 1024 * 1024

PASS_JSON = "pass.json"  # noqa: S105  # a file name
_UNLISTED = frozenset({"manifest.json", "signature"})

_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_CENTRAL_RECORD = struct.Struct("<4s6H3I5H2I")
_END_RECORD = struct.Struct("<4s4H2IH")
#: Checksum and both sizes, which stand together in either header.
_CHECKSUM = struct.Struct("<3I")
_LOCAL_CHECKSUM_AT, _RECORD_CHECKSUM_AT = 14, 16
_OFFSET = struct.Struct("<I")
_STORED = 0
_VERSION_NEEDED = 10
_MADE_BY_UNIX = 3 << 8 | 20
_UTF8_NAME = 1 << 11
# 1980-01-01 00:00, the zero of zip: a real time would make equal passes differ.
_FIXED_TIME = 0
_FIXED_DATE = 1 << 5 | 1
_READABLE_FILE = 0o100644 << 16


def sha1_hex(data: bytes) -> str:
    """Lowercase hex. SHA-1 is the manifest's format; what protects a pass is its signature."""
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def build_manifest(files: Mapping[str, str]) -> bytes:
    """manifest.json from path to SHA-1 (lowercase hex) of every file; sorted, compact."""
    _check_listed(files)
    return encoded(dict(files))


def _check_listed(files: Mapping[str, str]) -> None:
    found = _UNLISTED.intersection(files)
    if found:
        raise PassContentRejected("manifest_invalid", min(found), "is not part of the manifest")


class ManifestFrame:
    """The manifests of a template version, which differ in the hash of pass.json alone."""

    def __init__(self, assets: Mapping[str, str]) -> None:
        """`assets` maps the names of the other files to their SHA-1."""
        _check_listed(assets)
        self._frame = JsonFrame(encoded({**assets, PASS_JSON: hole(0)}))

    def of(self, pass_json_sha1: str) -> bytes:
        """What `build_manifest` makes of all files."""
        return self._frame.filled(b'"%b"' % pass_json_sha1.encode())


@dataclass(frozen=True, slots=True)
class _Entry:
    """One stored file: its bytes in the archive, and its record but for the offset."""

    local: bytes
    record_head: bytes
    name: bytes

    def record(self, offset: int) -> bytes:
        return self.record_head + _OFFSET.pack(offset) + self.name


class _OwnFile:
    """What each pass has of its own: all that is not its content is encoded once."""

    def __init__(self, name: str) -> None:
        empty = _entry(name, b"")
        at, end = _LOCAL_CHECKSUM_AT, _LOCAL_CHECKSUM_AT + _CHECKSUM.size
        self.local_head, self.local_tail = empty.local[:at], empty.local[end:]
        at, end = _RECORD_CHECKSUM_AT, _RECORD_CHECKSUM_AT + _CHECKSUM.size
        self.record_head, self.record_tail = empty.record_head[:at], empty.record_head[end:]
        self.name = empty.name
        #: Bytes beside its content, in the file and in its record.
        self.local_size = len(empty.local)
        self.record_size = len(empty.record(0))


class BundleTemplate:
    """The files of one template version, ready to be put before each pass's own three.

    `digests` maps file name to SHA-1, for `build_manifest` (which needs pass.json besides).
    """

    def __init__(self, assets: Mapping[str, bytes]) -> None:
        _check_names(assets)
        entries = [_entry(name, assets[name]) for name in sorted(assets)]
        self.digests: Mapping[str, str] = {name: sha1_hex(assets[name]) for name in sorted(assets)}
        self._locals, self._records = _laid_out(entries, 0)
        if len(self._locals) > MAX_BUNDLE_BYTES:
            raise PassContentRejected(
                "too_large", "files", f"are larger than {MAX_BUNDLE_BYTES} bytes"
            )
        self._count = len(entries) + len(_OWN_FILES)

    @property
    def size(self) -> int:
        """Bytes that it keeps in memory."""
        return len(self._locals) + len(self._records)

    def assemble(self, *, pass_json: bytes, manifest: bytes, signature: bytes) -> bytes:
        """The .pkpass; equal parts give equal bytes."""
        parts, records = [self._locals], [self._records]
        offset = len(self._locals)
        for file, data in zip(_OWN_FILES, (pass_json, manifest, signature), strict=True):
            size = len(data)
            checksum = _CHECKSUM.pack(zlib.crc32(data), size, size)
            parts += (file.local_head, checksum, file.local_tail, data)
            records += (
                file.record_head, checksum, file.record_tail, _OFFSET.pack(offset), file.name
            )  # fmt: skip
            offset += file.local_size + size
        end = _end(self._count, len(self._records) + _OWN_RECORDS_SIZE, offset)
        return b"".join((*parts, *records, end))


def bundle_passes(passes: Mapping[str, bytes]) -> bytes:
    """A .pkpasses of one to ten passes: file name (such as `1.pkpass`) to bytes."""
    if not 1 <= len(passes) <= MAX_PASSES_PER_BUNDLE:
        raise PassContentRejected("too_many", "passes", f"must hold 1 to {MAX_PASSES_PER_BUNDLE}")
    if sum(map(len, passes.values())) > MAX_PASSES_BYTES:
        raise PassContentRejected(
            "too_large", "passes", f"must hold at most {MAX_PASSES_BYTES} bytes"
        )
    for name in passes:
        if "/" in name or "\\" in name or not name.endswith(".pkpass"):
            raise PassContentRejected(
                "name_invalid", "passes", "must have names that end in .pkpass"
            )
    local_parts, records = _laid_out([_entry(name, passes[name]) for name in sorted(passes)], 0)
    return local_parts + records + _end(len(passes), len(records), len(local_parts))


def build_pkpasses(passes: Sequence[bytes]) -> bytes:
    """A .pkpasses of these passes, named by their place; see `bundle_passes` for the limits."""
    return bundle_passes({f"{place}.pkpass": data for place, data in enumerate(passes, 1)})


def _check_names(assets: Mapping[str, bytes]) -> None:
    if len(assets) > MAX_FILES:
        raise PassContentRejected("too_many", "files", f"has more than {MAX_FILES} files")
    for name in assets:
        parts = name.split("/")
        is_plain = all(part and part not in {".", ".."} for part in parts)
        if not is_plain or "\\" in name or "\0" in name or name in {*_UNLISTED, PASS_JSON}:
            raise PassContentRejected("name_invalid", "files", "a file has a name that is refused")


def _entry(name: str, data: bytes) -> _Entry:
    encoded = name.encode()
    flags = 0 if name.isascii() else _UTF8_NAME
    size = len(data)
    shared = (
        flags, _STORED, _FIXED_TIME, _FIXED_DATE, zlib.crc32(data), size, size, len(encoded), 0
    )  # fmt: skip
    local = _LOCAL_HEADER.pack(b"PK\x03\x04", _VERSION_NEEDED, *shared)
    # No comment, first disk, no internal attributes; the offset comes when it is known.
    record = _CENTRAL_RECORD.pack(
        b"PK\x01\x02", _MADE_BY_UNIX, _VERSION_NEEDED, *shared, 0, 0, 0, _READABLE_FILE, 0
    )
    return _Entry(local + encoded + data, record[:-4], encoded)


def _laid_out(entries: Sequence[_Entry], start: int) -> tuple[bytes, bytes]:
    """(the files one after another, their records), where the first file begins at `start`."""
    records = []
    offset = start
    for entry in entries:
        records.append(entry.record(offset))
        offset += len(entry.local)
    return b"".join(entry.local for entry in entries), b"".join(records)


def _end(count: int, records_size: int, records_offset: int) -> bytes:
    return _END_RECORD.pack(b"PK\x05\x06", 0, 0, count, count, records_size, records_offset, 0)


_OWN_FILES = tuple(_OwnFile(name) for name in (PASS_JSON, "manifest.json", "signature"))
_OWN_RECORDS_SIZE = sum(file.record_size for file in _OWN_FILES)
