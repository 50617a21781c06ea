"""The tag that a device keeps and echoes: opaque to it, a counter to us."""

from __future__ import annotations

MAX_DIGITS = 18


def parse_tag(text: str | None) -> int:
    """The counter behind a tag; 0 (list everything) for none and for garbage."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > MAX_DIGITS:
        return 0
    return int(text)


def format_tag(value: int) -> str:
    return str(value)
