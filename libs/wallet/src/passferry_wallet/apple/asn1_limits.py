"""Looks through an upload's ASN.1 before a library does: its depth, size and the work it asks for.

A few bytes can ask for hours: an iteration count is a number in the file, and the library that
works it off holds the interpreter while it does.
"""

from __future__ import annotations

from dataclasses import dataclass

from passferry_wallet.apple import der

MAX_DEPTH = 32
MAX_ELEMENTS = 4_000
#: Over the whole file. Exports ask for 2,000 to 600,000.
MAX_ITERATIONS = 1_000_000

_CONSTRUCTED = 0x20
_TAG_NUMBER = 0x1F
_INDEFINITE = 0x80
_MAX_LENGTH_BYTES = 4
_MAX_COUNT_BYTES = 8
#: Below this a string is a salt or a digest, which may look like anything.
_MIN_WRAPPED_BYTES = 64
_IN_PIECES = der.OCTET_STRING | 0x20
_END_OF_CONTENTS = b"\x00\x00"
_SCRYPT = der.object_identifier("1.3.6.1.4.1.11591.4.11")


class Asn1Refused(ValueError):
    """The message is a piece of a sentence: `is nested too deeply`."""


@dataclass(slots=True)
class _Level:
    """A constructed element that is being read. `end` is None while it is of indefinite length."""

    end: int | None
    last_tag: int = 0
    #: Of a string that comes in pieces.
    pieces: bytearray | None = None


def check_asn1(data: bytes) -> None:
    """Raises `Asn1Refused` for what is no BER, is a bomb, or asks for too much work."""
    if _SCRYPT in data:
        raise Asn1Refused("is encrypted with scrypt, which is not taken: export it with PBKDF2")
    _Walk().through(data, depth=0)


class _Walk:
    def __init__(self) -> None:
        self._elements = 0
        self._iterations = 0

    def through(self, data: bytes, *, depth: int) -> None:
        levels = [_Level(len(data))]
        position = 0
        while levels:
            level = levels[-1]
            if level.end is not None and position >= level.end:
                if position > level.end:
                    raise Asn1Refused("holds an element that is longer than what it is in")
                self._close(levels, depth)
                continue
            if level.end is None and data[position : position + 2] == _END_OF_CONTENTS:
                self._close(levels, depth)
                position += 2
                continue
            position = self._element(data, position, levels, depth)

    def _element(self, data: bytes, position: int, levels: list[_Level], depth: int) -> int:
        self._elements += 1
        if self._elements > MAX_ELEMENTS:
            raise Asn1Refused(f"holds more than {MAX_ELEMENTS} elements")
        tag, start, size = _header(data, position)
        end = None if size is None else start + size
        if end is not None and end > _limit(levels, len(data)):
            raise Asn1Refused("holds an element that is longer than what it is in")
        level = levels[-1]
        previous, level.last_tag = level.last_tag, tag
        if tag & _CONSTRUCTED:
            if depth + len(levels) >= MAX_DEPTH:
                raise Asn1Refused(f"is nested more than {MAX_DEPTH} levels deep")
            levels.append(_Level(end, pieces=bytearray() if tag == _IN_PIECES else None))
            return start
        if end is None:
            raise Asn1Refused("holds a value without a length")
        content = data[start:end]
        if tag == der.INTEGER and previous & ~_CONSTRUCTED == der.OCTET_STRING:
            # A number that follows a salt is a number of iterations.
            self._count(content)
        elif tag == der.OCTET_STRING and level.pieces is not None:
            level.pieces += content
        elif tag == der.OCTET_STRING:
            self._inside(content, depth + len(levels))
        return end

    def _close(self, levels: list[_Level], depth: int) -> None:
        closed = levels.pop()
        if closed.pieces is None:
            return
        if levels and levels[-1].pieces is not None:
            levels[-1].pieces += closed.pieces
        else:
            self._inside(bytes(closed.pieces), depth + len(levels))

    def _count(self, content: bytes) -> None:
        self._iterations += int.from_bytes(content[:_MAX_COUNT_BYTES], "big")
        if len(content) > _MAX_COUNT_BYTES or self._iterations > MAX_ITERATIONS:
            raise Asn1Refused(
                f"asks for more than {MAX_ITERATIONS} iterations: export it again with fewer"
            )

    def _inside(self, content: bytes, depth: int) -> None:
        """What is wrapped into a string is read by the library too, when it is ASN.1."""
        if len(content) < _MIN_WRAPPED_BYTES or content[0] != der.SEQUENCE:
            return
        try:
            _, start, size = _header(content, 0)
        except Asn1Refused:
            # It is encrypted and only begins like a sequence.
            return
        if size is not None and start + size != len(content):
            return
        if depth >= MAX_DEPTH:
            raise Asn1Refused(f"is nested more than {MAX_DEPTH} levels deep")
        self.through(content, depth=depth)


def _limit(levels: list[_Level], whole: int) -> int:
    return next((level.end for level in reversed(levels) if level.end is not None), whole)


def _header(data: bytes, position: int) -> tuple[int, int, int | None]:
    """(tag, where the content starts, its length or None if that is not told)."""
    try:
        tag, first = data[position], data[position + 1]
    except IndexError as error:
        raise Asn1Refused("ends within an element") from error
    if tag & _TAG_NUMBER == _TAG_NUMBER:
        raise Asn1Refused("holds a kind of element that is not read here")
    start = position + 2
    if first == _INDEFINITE:
        return tag, start, None
    if first < _INDEFINITE:
        return tag, start, first
    count = first & 0x7F
    if count > _MAX_LENGTH_BYTES or start + count > len(data):
        raise Asn1Refused("holds a length that is too large")
    return tag, start + count, int.from_bytes(data[start : start + count], "big")
