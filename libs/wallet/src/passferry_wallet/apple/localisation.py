"""`<lang>.lproj/pass.strings`: the translations of a pass's labels and texts."""

from __future__ import annotations

import codecs
from collections.abc import Mapping

from passferry_wallet.apple.rejections import PassContentRejected

MAX_STRINGS = 500

_ESCAPES = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r"})


def pass_strings(translations: Mapping[str, str]) -> bytes:
    """The file's bytes, sorted by key: ASCII where that is enough, else UTF-16 with its mark.

    Quotes, backslashes and line ends are escaped: unescaped, one of them voids the whole file.
    """
    if len(translations) > MAX_STRINGS:
        raise PassContentRejected("too_many", "pass.strings", f"at most {MAX_STRINGS} texts")
    lines = [
        f'"{_escaped(key)}" = "{_escaped(translations[key])}";\n' for key in sorted(translations)
    ]
    text = "".join(lines)
    if text.isascii():
        return text.encode("ascii")
    try:
        return codecs.BOM_UTF16_LE + text.encode("utf-16-le")
    except UnicodeEncodeError as error:
        raise PassContentRejected("not_unicode", "pass.strings", "has half a character") from error


def _escaped(text: str) -> str:
    return text.translate(_ESCAPES)
