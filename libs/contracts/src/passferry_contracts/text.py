"""Which text every part of the platform can store."""

from __future__ import annotations

import re

#: All below the space but tab and line feed, and half surrogates, which UTF-8 cannot hold.
_UNSTORABLE = re.compile(r"[\x00-\x08\x0b-\x1f\ud800-\udfff]")


def is_storable(text: str) -> bool:
    """Postgres refuses NUL and half surrogates, and nothing that people read needs the others."""
    return _UNSTORABLE.search(text) is None
