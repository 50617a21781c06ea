"""W3C trace context carried through requests, the outbox and Kafka."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)
_FORM = re.compile(r"^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")


def new_traceparent() -> str:
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def current_traceparent() -> str | None:
    return _traceparent.get()


@contextmanager
def span(name: str, *, parent: str | None = None) -> Iterator[str]:
    """A span of the trace that `parent` (or the surrounding span) belongs to."""
    above = parent if parent and _FORM.match(parent) else _traceparent.get()
    own = new_traceparent()
    if above is not None:
        own = f"{above[:36]}{own[36:52]}{above[52:]}"
    token = _traceparent.set(own)
    try:
        yield own
    finally:
        _traceparent.reset(token)
