"""Lines that devices report: anyone may send them, so they are cut, cleaned and few."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

MAX_LINES = 50
MAX_LINE_CHARACTERS = 1_000


def clean_lines(lines: list[object]) -> list[str]:
    texts = [line for line in lines[:MAX_LINES] if isinstance(line, str)]
    return [clean for text in texts if (clean := _clean(text))]


def _clean(text: str) -> str:
    # Control and direction characters could forge other lines in a terminal or a log viewer.
    kept = (
        character if character.isprintable() else " " for character in text[:MAX_LINE_CHARACTERS]
    )
    return "".join(kept).strip()


@dataclass(slots=True)
class LogAllowance:
    """How many reports are kept of each source: `burst` at once, then `per_second`.

    Callers give a bounded set of sources; `now_s` is any clock that only goes forward.
    """

    burst: float = 30.0
    per_second: float = 1.0
    _left: dict[Hashable, tuple[float, float]] = field(default_factory=dict)

    def take(self, source: Hashable, now_s: float) -> bool:
        left, since = self._left.get(source, (self.burst, now_s))
        left = min(self.burst, left + (now_s - since) * self.per_second)
        is_allowed = left >= 1
        self._left[source] = (left - 1 if is_allowed else left, now_s)
        return is_allowed
