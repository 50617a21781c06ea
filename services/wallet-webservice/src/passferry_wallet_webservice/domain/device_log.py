"""Lines that devices report: anyone may send them, so they are cut, cleaned and few."""

from __future__ import annotations

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
