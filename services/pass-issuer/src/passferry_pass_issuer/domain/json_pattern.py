"""A piece of JSON in a wallet's own names, some of whose values come from the pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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


def constant_at(pattern: JsonPattern | None, path: Sequence[str]) -> object:
    """What stands at a place for all passes; None where nothing does, or what differs."""
    match pattern:
        case Constant(value):
            return _value_at(value, path)
        case Members(items) if path:
            return constant_at(dict(items).get(path[0]), path[1:])
        case Items(items) if path and path[0].isdigit() and int(path[0]) < len(items):
            return constant_at(items[int(path[0])], path[1:])
        case _:
            return None


def _value_at(value: Any, path: Sequence[str]) -> object:
    for part in path:
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value
