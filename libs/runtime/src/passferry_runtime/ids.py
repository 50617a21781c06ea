"""Identifiers: time-ordered ones for what is new, derived ones for what must be the same again."""

from __future__ import annotations

import os
import threading
import time
from uuid import UUID, uuid5

#: The namespace of everything that Passferry derives.
NAMESPACE = UUID("5f1c1a3e-6f0b-5f7e-9a51-7061737366e1")

#: Asked of the system at once: a call for each id costs more than the id.
RANDOM_BUFFER_BYTES = 4_096

_lock = threading.Lock()
_last = 0
_random = b""
_used = 0


def random_bytes(count: int) -> bytes:
    """Unguessable bytes for ids, at most 64; keys and tokens ask the system themselves."""
    global _random, _used  # noqa: PLW0603  # the buffer of this process
    with _lock:
        if _used + count > len(_random):
            _random, _used = os.urandom(RANDOM_BUFFER_BYTES), 0
        _used += count
        return _random[_used - count : _used]


def _forget_random() -> None:
    """A child must not draw the ids that its parent draws."""
    global _random, _used  # the buffer of this process
    _random, _used = b"", 0


os.register_at_fork(after_in_child=_forget_random)


def uuid7() -> UUID:
    """A UUIDv7; strictly rising within this process."""
    global _last  # noqa: PLW0603  # the clock of this process
    with _lock:
        milliseconds = time.time_ns() // 1_000_000
        # 12 bits after the milliseconds count within one of them.
        tick = max(milliseconds << 12, _last + 1)
        _last = tick
    value = (tick >> 12) << 80 | 0x7 << 76 | (tick & 0xFFF) << 64 | 0b10 << 62
    return UUID(int=value | int.from_bytes(random_bytes(8)) >> 2)


def derived_id(*parts: str) -> UUID:
    """The same id for the same parts, always."""
    return uuid5(NAMESPACE, "\x1f".join(parts))
