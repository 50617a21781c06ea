"""Texts that people see, without characters that hide or disturb."""

from __future__ import annotations

import re

# Control characters, and the marks that turn or cover the order of what is read; line ends and
# tabs stay, and so do the joiners and direction marks that scripts need.
_UNWANTED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff]")
_HALF_CHARACTER = re.compile(r"[\ud800-\udfff]")


def has_half_characters(text: str) -> bool:
    """Whether the text holds lone surrogates, which no encoding can tell."""
    return not text.isprintable() and bool(_HALF_CHARACTER.search(text))


def without_controls(text: str) -> str:
    """The text with Unix line ends, and without control and reordering characters."""
    if text.isprintable():
        return text
    return _UNWANTED.sub("", text.replace("\r\n", "\n"))
