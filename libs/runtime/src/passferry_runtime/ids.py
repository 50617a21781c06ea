"""Identifiers: time-ordered ones for what is new, derived ones for what must be the same again."""

from __future__ import annotations

import secrets
import threading
import time
from uuid import UUID, uuid5

#: The namespace of everything that Passferry derives.
NAMESPACE = UUID("5f1c1a3e-6f0b-5f7e-9a51-7061737366e1")

_lock = threading.Lock()
_last = 0


def uuid7() -> UUID:
    """A UUIDv7; strictly rising within this process."""
    global _last  # noqa: PLW0603  # the clock of this process
    with _lock:
        milliseconds = time.time_ns() // 1_000_000
        # 12 bits after the milliseconds count within one of them.
        tick = max(milliseconds << 12, _last + 1)
        _last = tick
    value = (tick >> 12) << 80 | 0x7 << 76 | (tick & 0xFFF) << 64 | 0b10 << 62
    return UUID(int=value | secrets.randbits(62))


def derived_id(*parts: str) -> UUID:
    """The same id for the same parts, always."""
    return uuid5(NAMESPACE, "\x1f".join(parts))
