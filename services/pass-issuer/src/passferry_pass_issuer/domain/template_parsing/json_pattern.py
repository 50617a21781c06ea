"""Reading pieces of JSON in a wallet's own names; values may be expressions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from passferry_pass_issuer.domain.json_pattern import (
    Computed,
    Constant,
    Items,
    JsonPattern,
    Members,
)
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.template_parsing.node import Node
from passferry_pass_issuer.domain.template_parsing.values import expression
from passferry_pass_issuer.domain.value_expression import FIELD_PREFIX, SOURCES

MAX_DEPTH = 12
MAX_PARTS = 3_000
MAX_CHARACTERS = 8_192
MAX_KEY = 200
MAX_INTEGER = 2**63

_UNWANTED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_EXPRESSION_MEMBERS = frozenset({"source", "default", "format"})


class _Reader:
    """Counts parts, so that a small template cannot make large work."""

    def __init__(self) -> None:
        self._parts = 0

    def read(self, value: Any, path: str, depth: int) -> JsonPattern:
        self._parts += 1
        if depth > MAX_DEPTH or self._parts > MAX_PARTS:
            raise ContentRejected(
                "too_large", path, f"goes {MAX_DEPTH} deep and has {MAX_PARTS} parts at most"
            )
        if isinstance(value, Mapping):
            if _is_expression(value):
                return Computed(_expression(value, path))
            return self.members(value, path, depth)
        if isinstance(value, list):
            items = tuple(
                self.read(each, f"{path}.{at}", depth + 1) for at, each in enumerate(value)
            )
            if all(isinstance(each, Constant) for each in items):
                return Constant(value)
            return Items(items, path)
        _check_scalar(value, path)
        return Constant(value)

    def members(self, value: Mapping[str, Any], path: str, depth: int) -> Members | Constant:
        items = []
        for name, member in value.items():
            if not name or len(name) > MAX_KEY or _UNWANTED.search(name):
                raise ContentRejected(
                    "invalid", path, f"must have names of 1 to {MAX_KEY} characters"
                )
            items.append((name, self.read(member, f"{path}.{name}", depth + 1)))
        if all(isinstance(member, Constant) for _, member in items):
            return Constant(value)
        return Members(tuple(items), path)


def json_pattern(node: Node, name: str) -> JsonPattern | None:
    """An object, or None when it is not there."""
    value = node.get(name)
    if value is None:
        return None
    if not isinstance(value, Mapping) or _is_expression(value):
        raise ContentRejected("invalid", node.at(name), "must be an object")
    return _Reader().read(value, node.at(name), 0)


def json_members(node: Node, name: str) -> Members | None:
    """As `json_pattern`, with the members apart even where all of them are constant."""
    value = node.get(name)
    pattern = json_pattern(node, name)
    if pattern is None or isinstance(pattern, Members):
        return pattern
    return Members(tuple((key, Constant(each)) for key, each in value.items()), node.at(name))


def _is_expression(value: Mapping[str, Any]) -> bool:
    """Apple has no object with a `source` of ours and nothing else that we do not know."""
    source = value.get("source")
    return (
        isinstance(source, str)
        and value.keys() <= _EXPRESSION_MEMBERS
        and (source in SOURCES or source.startswith(FIELD_PREFIX))
    )


def _expression(value: Mapping[str, Any], path: str) -> Any:
    node = Node(value, path)
    found = expression(node, otherwise="plain")
    node.refuse_the_rest()
    return found


def _check_scalar(value: Any, path: str) -> None:
    if isinstance(value, str):
        if len(value) > MAX_CHARACTERS:
            raise ContentRejected("too_long", path, f"is longer than {MAX_CHARACTERS} characters")
        if _UNWANTED.search(value):
            raise ContentRejected("invalid", path, "has control characters")
    elif isinstance(value, float):
        if value != value or abs(value) > MAX_INTEGER:  # only NaN differs from itself
            raise ContentRejected("invalid", path, "is no number that JSON can tell")
    elif isinstance(value, int) and abs(value) >= MAX_INTEGER:
        raise ContentRejected("invalid", path, "is beyond 64 bits")
