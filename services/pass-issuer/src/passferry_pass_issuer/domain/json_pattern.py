"""A piece of JSON in a wallet's own names, some of whose values come from the pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from passferry_pass_issuer.domain.value_expression import ValueExpression


@dataclass(frozen=True, slots=True)
class Constant:
    """JSON without any expression in it; never changed after parsing."""

    value: Any


@dataclass(frozen=True, slots=True)
class Computed:
    expression: ValueExpression


@dataclass(frozen=True, slots=True)
class Members:
    """An object; `path` is where it stands in the template."""

    items: tuple[tuple[str, JsonPattern], ...]
    path: str


@dataclass(frozen=True, slots=True)
class Items:
    items: tuple[JsonPattern, ...]
    path: str


JsonPattern = Constant | Computed | Members | Items


def pattern_expressions(pattern: JsonPattern | None) -> Iterator[ValueExpression]:
    match pattern:
        case Computed(expression):
            yield expression
        case Members(items):
            for _, member in items:
                yield from pattern_expressions(member)
        case Items(items):
            for item in items:
                yield from pattern_expressions(item)
