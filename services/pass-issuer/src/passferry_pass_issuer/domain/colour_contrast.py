"""How well two colours can be told apart (WCAG 2)."""

from __future__ import annotations

_SHORT_HEX_LENGTH = 4


def contrast_ratio(one: str, other: str) -> float:
    """From 1 (the same) to 21 (black on white)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(part / 255) for part in _parts(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(share: float) -> float:
    return share / 12.92 if share <= 0.04045 else float(((share + 0.055) / 1.055) ** 2.4)


def _parts(colour: str) -> tuple[int, int, int]:
    """Of a colour that was taken: its form is known to be right."""
    if colour.startswith("rgb("):
        red, green, blue = (int(part) for part in colour[len("rgb(") : -1].split(","))
        return red, green, blue
    digits = colour.removeprefix("#")
    if len(colour) == _SHORT_HEX_LENGTH:
        digits = "".join(2 * digit for digit in digits)
    return int(digits[0:2], 16), int(digits[2:4], 16), int(digits[4:6], 16)
