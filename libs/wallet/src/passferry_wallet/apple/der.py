"""As much DER as a detached signature and two certificate extensions need."""

from __future__ import annotations

from collections.abc import Iterator

INTEGER = 0x02
OCTET_STRING = 0x04
NULL = b"\x05\x00"
OBJECT_IDENTIFIER = 0x06
UTF8_STRING = 0x0C
PRINTABLE_STRING = 0x13
IA5_STRING = 0x16
UTC_TIME = 0x17
GENERALIZED_TIME = 0x18
SEQUENCE = 0x30
SET = 0x31
CONTEXT_0 = 0xA0

TEXT_TAGS = frozenset({UTF8_STRING, PRINTABLE_STRING, IA5_STRING})

_SHORT_FORM_LIMIT = 0x80
_MAX_LENGTH_BYTES = 4
_MULTI_BYTE_TAG = 0x1F


class DerUnreadable(ValueError):
    """The bytes are no DER of the kind that is read here."""


def tlv(tag: int, *parts: bytes) -> bytes:
    """One element: tag, length, and the parts one after another."""
    content = b"".join(parts)
    return bytes((tag,)) + length(len(content)) + content


def length(size: int) -> bytes:
    if size < _SHORT_FORM_LIMIT:
        return bytes((size,))
    encoded = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((_SHORT_FORM_LIMIT | len(encoded),)) + encoded


def object_identifier(dotted: str) -> bytes:
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    return tlv(OBJECT_IDENTIFIER, *(_base128(arc) for arc in (40 * first + second, *rest)))


def _base128(arc: int) -> bytes:
    groups = [arc & 0x7F]
    while arc := arc >> 7:
        groups.append(0x80 | arc & 0x7F)
    return bytes(reversed(groups))


def elements(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """The elements that follow one another in `data`: (tag, content, whole element)."""
    position = 0
    while position < len(data):
        start = position
        tag, position = _byte(data, position)
        if tag & _MULTI_BYTE_TAG == _MULTI_BYTE_TAG:
            raise DerUnreadable("tags of several bytes are not read")
        size, position = _read_length(data, position)
        end = position + size
        if end > len(data):
            raise DerUnreadable("an element is longer than what holds it")
        yield tag, data[position:end], data[start:end]
        position = end


def _read_length(data: bytes, position: int) -> tuple[int, int]:
    first, position = _byte(data, position)
    if first < _SHORT_FORM_LIMIT:
        return first, position
    count = first & 0x7F
    if not 1 <= count <= _MAX_LENGTH_BYTES or position + count > len(data):
        raise DerUnreadable("a length is not definite or too large")
    return int.from_bytes(data[position : position + count], "big"), position + count


def _byte(data: bytes, position: int) -> tuple[int, int]:
    if position >= len(data):
        raise DerUnreadable("the data ends within an element")
    return data[position], position + 1
