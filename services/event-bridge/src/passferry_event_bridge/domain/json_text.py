"""JSON text in which a decimal amount is an exact number."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal

#: What an item may hold; a float never.
Json = str | int | bool | None | Decimal | Mapping[str, "Json"] | Sequence["Json"]


def json_text(value: Json) -> str:
    """Compact JSON; a Decimal with all its places, such as 12.50."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Mapping):
        pairs = (f"{json_text(name)}:{json_text(item)}" for name, item in value.items())
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, Sequence):
        return "[" + ",".join(json_text(item) for item in value) + "]"
    return json.dumps(value)


def major_units(amount_minor: int, unit_scale: int) -> Decimal:
    """1250 at scale 2 is 12.50; exact for every amount of 64 bits."""
    sign, digits, _ = Decimal(amount_minor).as_tuple()
    return Decimal((sign, digits, -unit_scale))
