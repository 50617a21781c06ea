"""What a layout says the same on every pass, and what turns out to differ."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from passferry_pass_issuer.domain.value_expression import Scalar

DOCUMENT = "document"
_SEPARATOR = "/"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]")
MAX_NAME = 60


def fields_of(apple: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [item for group in apple.get("fields", {}).values() for item in group]


def constants_of(apple: Mapping[str, Any]) -> dict[str, Scalar]:
    """By path: the key of a field, or `document/…`."""
    found: dict[str, Scalar] = {
        each["key"]: each["value"] for each in fields_of(apple) if isinstance(each["value"], str)
    }
    found.update(_leaves(DOCUMENT, apple.get(DOCUMENT, {})))
    return found


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Scalar]]:
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _leaves(f"{path}{_SEPARATOR}{name}", each)
    elif isinstance(value, list):
        for at, each in enumerate(value):
            yield from _leaves(f"{path}{_SEPARATOR}{at}", each)
    elif isinstance(value, str | int):
        yield path, value


def make_dynamic(apple: Mapping[str, Any], path: str, taken: set[str]) -> str:
    """Show the constant at `path` from a value of the pass; returns the name of that value."""
    if not path.startswith(DOCUMENT + _SEPARATOR):
        for each in fields_of(apple):
            if each["key"] == path:
                each["value"] = {"source": f"field.{path}"}
        return path
    name = unique = "d_" + _NOT_IN_NAMES.sub("_", path.split(_SEPARATOR, 1)[1])[-MAX_NAME:]
    number = 2
    while unique in taken:
        unique = f"{name[: MAX_NAME - 4]}_{number}"
        number += 1
    taken.add(unique)
    *parents, last = path.split(_SEPARATOR)
    place: Any = apple
    for part in parents:
        place = place[int(part)] if isinstance(place, list) else place[part]
    place[int(last) if isinstance(place, list) else last] = {"source": f"field.{unique}"}
    return unique
