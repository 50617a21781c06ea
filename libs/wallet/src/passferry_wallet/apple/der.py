"""As much of DER as a detached signature needs."""

from __future__ import annotations

from datetime import UTC, datetime


def element(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 128:
        return bytes([tag, length]) + content
    size = (length.bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + length.to_bytes(size, "big") + content


def sequence(*parts: bytes) -> bytes:
    return element(0x30, b"".join(parts))


def object_identifier(dotted: str) -> bytes:
    first, second, *rest = (int(part) for part in dotted.split("."))
    encoded = bytearray([first * 40 + second])
    for number in rest:
        chunk = [number & 0x7F]
        while number := number >> 7:
            chunk.append(0x80 | (number & 0x7F))
        encoded += bytes(reversed(chunk))
    return element(0x06, bytes(encoded))


def integer(value: int) -> bytes:
    return element(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def time(moment: datetime) -> bytes:
    """UTCTime up to 2049, as CMS asks."""
    utc = moment.astimezone(UTC)
    if utc.year < 2050:
        return element(0x17, utc.strftime("%y%m%d%H%M%SZ").encode())
    return element(0x18, utc.strftime("%Y%m%d%H%M%SZ").encode())
