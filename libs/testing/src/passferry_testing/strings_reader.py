"""Reads `pass.strings` as a device would, character by character."""

from __future__ import annotations

import codecs

_ESCAPED = {'"': '"', "\\": "\\", "n": "\n", "r": "\r", "t": "\t"}


class StringsUnreadable(Exception):
    """A device would ignore the whole file."""


def read_strings(data: bytes) -> dict[str, str]:
    """Key to translation. Raises StringsUnreadable."""
    text = _decoded(data)
    found: dict[str, str] = {}
    position = _skip_space(text, 0)
    while position < len(text):
        key, position = _quoted(text, position)
        position = _expect(text, position, "=")
        value, position = _quoted(text, position)
        position = _expect(text, position, ";")
        if key in found:
            raise StringsUnreadable(f"{key!r} is there twice")
        found[key] = value
    return found


def _decoded(data: bytes) -> str:
    try:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return data.decode("utf-16")
        return data.decode("ascii")
    except UnicodeDecodeError as broken:
        raise StringsUnreadable("is neither UTF-16 nor ASCII") from broken


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\n":
        position += 1
    return position


def _expect(text: str, position: int, sign: str) -> int:
    position = _skip_space(text, position)
    if text[position : position + 1] != sign:
        raise StringsUnreadable(f"no {sign} at {position}")
    return _skip_space(text, position + 1)


def _quoted(text: str, position: int) -> tuple[str, int]:
    if text[position : position + 1] != '"':
        raise StringsUnreadable(f"no quote at {position}")
    parts: list[str] = []
    position += 1
    while position < len(text):
        sign = text[position]
        if sign == '"':
            return "".join(parts), _skip_space(text, position + 1)
        if sign == "\n":
            raise StringsUnreadable("a line ends within quotes")
        if sign == "\\":
            position += 1
            sign = _ESCAPED.get(text[position : position + 1], "")
            if not sign:
                raise StringsUnreadable(f"an unknown escape at {position}")
        parts.append(sign)
        position += 1
    raise StringsUnreadable("a quote never ends")
