"""Reading JSON member by member."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from passferry_pass_issuer.domain.refusals import ContentRejected

MAX_TEXT = 2_000
MAX_NAME = 200

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")

T = TypeVar("T")


class Node:
    """A JSON object that knows where it is, and which of its members were read."""

    def __init__(self, value: object, path: str) -> None:
        if not isinstance(value, Mapping):
            raise ContentRejected("invalid", path or "content", "must be an object")
        self._value: Mapping[str, Any] = value
        self.path = path
        self._read: set[str] = set()

    def at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def get(self, name: str) -> Any:
        self._read.add(name)
        return self._value.get(name)

    def text(self, name: str, *, most: int = MAX_NAME) -> str:
        value = self.optional_text(name, most=most)
        if not value:
            raise ContentRejected("required", self.at(name), "is required")
        return value

    def optional_text(
        self, name: str, *, most: int = MAX_NAME, pattern: re.Pattern[str] | None = None
    ) -> str | None:
        value = self.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise ContentRejected("invalid", self.at(name), "must be text")
        if len(value) > most:
            raise ContentRejected("too_long", self.at(name), f"is longer than {most} characters")
        if _CONTROL.search(value):
            raise ContentRejected("invalid", self.at(name), "has control characters")
        if pattern is not None and not pattern.match(value):
            raise ContentRejected("invalid", self.at(name), "has not the form that is expected")
        return value

    def choice(self, name: str, allowed: Sequence[str]) -> str:
        value = self.optional_choice(name, allowed)
        if value is None:
            raise ContentRejected("required", self.at(name), "is required")
        return value

    def optional_choice(self, name: str, allowed: Sequence[str]) -> str | None:
        value = self.get(name)
        if value is not None and value not in allowed:
            raise ContentRejected("invalid", self.at(name), f"must be one of {', '.join(allowed)}")
        return value if value is None else str(value)

    def whole_number(self, name: str, least: int, most: int) -> int:
        value = self.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ContentRejected("invalid", self.at(name), f"must be from {least} to {most}")
        return value

    def flag(self, name: str) -> bool:
        value = self.get(name)
        if value is not None and not isinstance(value, bool):
            raise ContentRejected("invalid", self.at(name), "must be true or false")
        return bool(value)

    def optional_flag(self, name: str) -> bool | None:
        return None if self.get(name) is None else self.flag(name)

    def optional_integer(self, name: str, *, least: int, most: int) -> int | None:
        value = self.get(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ContentRejected(
                "invalid", self.at(name), f"must be a number from {least} to {most}"
            )
        return value

    def strings(self, name: str, allowed: Sequence[str], *, most: int) -> tuple[str, ...] | None:
        """A list of words; None when it is not there."""
        value = self.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) > most:
            raise ContentRejected("invalid", self.at(name), f"must be a list of at most {most}")
        for item in value:
            if item not in allowed:
                raise ContentRejected("invalid", self.at(name), f"must hold {', '.join(allowed)}")
        return tuple(str(item) for item in value)

    def members(self) -> list[str]:
        """The names that were given, in order."""
        return [str(name) for name in self._value]

    def optional_child(self, name: str, read: Callable[[Node], T]) -> T | None:
        value = self.get(name)
        if value is None:
            return None
        node = Node(value, self.at(name))
        result = read(node)
        node.refuse_the_rest()
        return result

    def children(self, name: str, read: Callable[[Node], T], *, most: int) -> tuple[T, ...]:
        value = self.get(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise ContentRejected("invalid", self.at(name), "must be a list")
        if len(value) > most:
            raise ContentRejected("too_many", self.at(name), f"has more than {most} items")
        found = []
        for position, item in enumerate(value):
            node = Node(item, f"{self.at(name)}.{position}")
            found.append(read(node))
            node.refuse_the_rest()
        return tuple(found)

    def refuse_the_rest(self) -> None:
        # A misspelt member that is silently ignored would be found on the phones.
        for name in self._value:
            if name not in self._read:
                raise ContentRejected("unknown", self.at(str(name)[:64]), "is not known here")
