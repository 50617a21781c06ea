"""How a signing process is talked to: a frame is its size and the parts within it.

A request is a private key (PKCS#8, PEM) and the messages to be signed with it; the answer is as
many signature values, or none when there is nothing to be had from such a key.
"""

from __future__ import annotations

from collections.abc import Sequence

SIZE_BYTES = 4
#: A request is a key and some dozens of messages below 1 KB (a save link: below 2 KB).
MAX_FRAME_BYTES = 1_048_576


def frame_of(parts: Sequence[bytes]) -> bytes:
    body = b"".join(_sized(part) for part in parts)
    if len(body) > MAX_FRAME_BYTES:
        raise ValueError(f"a frame has at most {MAX_FRAME_BYTES} bytes")
    return _sized(body)


def body_size(head: bytes) -> int:
    """Of a frame, from its first `SIZE_BYTES`."""
    size = int.from_bytes(head, "big")
    if size > MAX_FRAME_BYTES:
        raise ValueError(f"a frame has at most {MAX_FRAME_BYTES} bytes")
    return size


def parts_of(body: bytes) -> list[bytes]:
    parts, start = list[bytes](), 0
    while start < len(body):
        content = start + SIZE_BYTES
        start = content + int.from_bytes(body[start:content], "big")
        parts.append(body[content:start])
    return parts


def _sized(content: bytes) -> bytes:
    return len(content).to_bytes(SIZE_BYTES, "big") + content
