"""A moment told as text."""

from __future__ import annotations

from datetime import UTC, datetime


def zoned_moment(text: str) -> datetime | None:
    """None for what has no zone, or is no moment that UTC, and so the database, has too."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            moment.astimezone(UTC)
            return moment
    except (ValueError, OverflowError):
        pass
    return None
