"""JSON text in which a decimal amount is an exact number."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

#: What an item may hold; a float never.
Json = str | int | bool | None | Decimal | Mapping[str, "Json"] | Sequence["Json"]

#: The library writes no Decimal as a number, so each goes through it as a marked text. Texts of
#: events hold no NUL; one that did could at most become the number that it spells.
_MARKED = re.compile(r'"\\u0000(-?[0-9]+(?:\.[0-9]+)?)"')


def json_text(value: Json) -> str:
    """Compact JSON; a Decimal with all its places, such as 12.50."""
    return _MARKED.sub(r"\1", _ENCODER.encode(value))


def major_units(amount_minor: int, unit_scale: int) -> Decimal:
    """1250 at scale 2 is 12.50; exact for every amount of 64 bits."""
    sign, digits, _ = Decimal(amount_minor).as_tuple()
    return Decimal((sign, digits, -unit_scale))


def _marked(value: object) -> str:
    if not isinstance(value, Decimal):
        raise TypeError(f"{type(value).__name__} has no place in an item")
    return f"\0{value:f}"


_ENCODER = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_marked
)
