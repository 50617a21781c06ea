"""Apple's `pass.strings`: translations as `"text" = "translation";`."""

from __future__ import annotations

import re

MAX_BYTES = 262_144
MAX_ENTRIES = 1_000

_ENTRY = re.compile(r'"((?:[^"\\]|\\.)*+)"\s*=\s*"((?:[^"\\]|\\.)*+)"\s*;', re.DOTALL)
#: One that never ends goes to the end: else every beginning would be looked for an end of its own.
_COMMENT = re.compile(r"/\*(?:[^*]|\*(?!/))*+(?:\*/|\Z)")
_ESCAPE = re.compile(r"\\(U[0-9A-Fa-f]{4}|.)", re.DOTALL)
#: NUL and half characters.
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
_NAMED = {"n": "\n", "r": "\r", "t": "\t"}


def read_strings(data: bytes) -> dict[str, str] | None:
    """None for a file that cannot be read."""
    if len(data) > MAX_BYTES:
        return None
    has_mark = data[:2] in {b"\xff\xfe", b"\xfe\xff"}
    try:
        text = data.decode("utf-16" if has_mark else "utf-8-sig")
    except UnicodeDecodeError:
        return None
    found = {_plain(key): _plain(value) for key, value in _ENTRY.findall(_COMMENT.sub("", text))}
    if any(_UNSTORABLE.search(key + "\n" + value) for key, value in found.items()):
        return None
    return found if len(found) <= MAX_ENTRIES else None


def _plain(text: str) -> str:
    found = _ESCAPE.sub(lambda found: _character(found[1]), text)
    # What is beyond 16 bits, such as an emoji, is escaped as two halves; one alone stays a half.
    return found.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def _character(escape: str) -> str:
    if escape.startswith("U") and len(escape) == 5:
        return chr(int(escape[1:], 16))
    return _NAMED.get(escape, escape)
