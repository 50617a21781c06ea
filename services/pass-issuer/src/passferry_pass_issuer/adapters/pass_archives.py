"""Opens what was uploaded for an import: one .pkpass, a .pkpasses, or a zip of many.

An upload is hostile until it is read: the directory is measured before it is parsed, every size in
it is a claim, and what is read counts against one budget.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from passferry_pass_issuer.domain.pass_import import PassFiles
from passferry_pass_issuer.domain.refusals import ContentRejected

MAX_PASSES = 100
MAX_FILES = 300
MAX_NAME = 200
MAX_TOTAL_BYTES = 64 * 1024 * 1024
MAX_DIRECTORY_BYTES = 200_000
#: What a PNG or a JSON file can honestly be packed by.
MAX_RATIO = 100
RATIO_FROM_BYTES = 65_536

ZIP_START = b"PK\x03\x04"
_END = b"PK\x05\x06"
_END_RECORD = struct.Struct("<4s4H2IH")
_ZIP64_LOCATOR = b"PK\x06\x07"
_ZIP64_LOCATOR_SIZE = 20
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_ENCRYPTED = 0x1 | 0x40
_SYMLINK = 0o120000
_FILE_KIND = 0o170000
#: What archivers of desktops leave in a zip.
_LITTER = ("__MACOSX/", ".DS_Store", "Thumbs.db")


@dataclass(slots=True)
class _Budget:
    bytes_left: int = MAX_TOTAL_BYTES
    passes_left: int = MAX_PASSES
    ignored: list[str] = field(default_factory=list)


def open_upload(data: bytes, *, name: str = "upload") -> tuple[list[PassFiles], list[str]]:
    """(the passes, names of files that are none). Raises `ContentRejected`."""
    budget = _Budget()
    found = list(_passes(data, name, budget, depth=0))
    if not found:
        raise _refused("no_pass", name, "holds no pass: a .pkpass has a pass.json at its top")
    return found, budget.ignored


def _passes(data: bytes, name: str, budget: _Budget, *, depth: int) -> Iterator[PassFiles]:
    with _opened(data, name) as archive:
        members = _members(archive, name)
        if "pass.json" in members:
            if budget.passes_left == 0:
                raise _refused("too_many", name, f"holds more than {MAX_PASSES} passes")
            budget.passes_left -= 1
            yield PassFiles(
                name=name,
                files={each: _read(archive, info, budget) for each, info in members.items()},
            )
            return
        for each, info in members.items():
            if each.endswith((".pkpass", ".pkpasses", ".zip")):
                # A zip of .pkpasses of .pkpass is the deepest that anybody makes.
                is_too_deep = depth == 2 or (depth == 1 and not each.endswith(".pkpass"))
                if is_too_deep or each.endswith(".zip"):
                    raise _refused("nested", each, "is an archive within an archive: unpack it")
                inner = _read(archive, info, budget)
                yield from _passes(inner, each, budget, depth=depth + 1)
            else:
                budget.ignored.append(each)


def _opened(data: bytes, name: str) -> zipfile.ZipFile:
    _check_directory(data, name)
    try:
        return zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, struct.error) as broken:
        raise _refused("not_a_zip", name, "is a damaged zip") from broken


def _check_directory(data: bytes, name: str) -> None:
    """Before it is parsed: one entry of 46 bytes in a file becomes an object of many."""
    at = data.rfind(_END, max(0, len(data) - _END_RECORD.size - 65_535))
    if not data.startswith(ZIP_START) or at < 0 or at + _END_RECORD.size > len(data):
        raise _refused("not_a_zip", name, "is no zip, as a .pkpass is")
    before = data[max(0, at - _ZIP64_LOCATOR_SIZE) : at]
    _, disk, first_disk, _, count, size, _, _ = _END_RECORD.unpack_from(data, at)
    if before.startswith(_ZIP64_LOCATOR) or disk or first_disk:
        raise _refused("not_a_zip", name, "is a zip of a kind that passes do not use")
    if count > MAX_FILES or size > MAX_DIRECTORY_BYTES:
        raise _refused("too_many", name, f"holds more than {MAX_FILES} files")


def _members(archive: zipfile.ZipFile, name: str) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > MAX_FILES:
        raise _refused("too_many", name, f"holds more than {MAX_FILES} files")
    found: dict[str, zipfile.ZipInfo] = {}
    seen: set[str] = set()
    for info in infos:
        # zipfile shortens a name at its NUL.
        path = info.orig_filename
        if path.endswith("/") and info.file_size == 0:
            continue
        _check_member(info, path)
        if path.lower() in seen:
            raise _refused("duplicate", path, "is there twice")
        seen.add(path.lower())
        if not path.startswith(_LITTER) and not path.endswith(_LITTER):
            found[path] = info
    return found


def _check_member(info: zipfile.ZipInfo, path: str) -> None:
    parts = path.split("/")
    is_plain = all(part and part not in {".", ".."} for part in parts)
    if not is_plain or len(path) > MAX_NAME or not path.isprintable() or set("\\:") & set(path):
        raise _refused("name_invalid", path[:MAX_NAME], "is a name that no pass has")
    if info.external_attr >> 16 & _FILE_KIND == _SYMLINK:
        raise _refused("name_invalid", path, "is a link and no file")
    if info.flag_bits & _ENCRYPTED:
        raise _refused("encrypted", path, "is encrypted: passes are not")
    if info.compress_type not in _METHODS:
        raise _refused("not_a_zip", path, "is packed in a way that passes are not")
    if info.file_size > RATIO_FROM_BYTES and info.file_size > MAX_RATIO * info.compress_size:
        raise _refused("zip_bomb", path, f"is packed more than {MAX_RATIO} times")


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: _Budget) -> bytes:
    path = info.orig_filename
    if info.file_size > budget.bytes_left:
        raise _refused("too_large", path, f"makes more than {MAX_TOTAL_BYTES} bytes unpacked")
    try:
        with archive.open(info) as file:
            # One more than it claims, so that a false claim is seen and never followed.
            data = file.read(info.file_size + 1)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        ValueError,
        RuntimeError,
        struct.error,
    ) as broken:
        raise _refused("not_a_zip", path, "is damaged") from broken
    if len(data) != info.file_size:
        raise _refused("not_a_zip", path, "has another size than its zip says")
    budget.bytes_left -= len(data)
    return data


def _refused(code: str, name: str, detail: str) -> ContentRejected:
    shown = "".join(each if each.isprintable() else "?" for each in name)
    return ContentRejected(code, shown[:MAX_NAME] or "upload", detail)
