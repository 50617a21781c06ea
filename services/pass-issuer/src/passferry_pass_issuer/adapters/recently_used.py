"""What was used last, kept in memory within a bound."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Kept = TypeVar("Kept")


class RecentlyUsed(Generic[Key, Kept]):
    """At most so many, of so many bytes together; what was not used for longest goes first.

    The newest is kept whatever its size: its user holds it anyway.
    """

    def __init__(self, *, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._kept: OrderedDict[Key, tuple[Kept, int]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size(self) -> int:
        """Bytes of all, as they were told."""
        return self._bytes

    def get(self, key: Key) -> Kept | None:
        found = self._kept.get(key)
        if found is None:
            return None
        self._kept.move_to_end(key)
        return found[0]

    def keep(self, key: Key, kept: Kept, *, size: int) -> None:
        """In the place of what has this key; once more when it has grown."""
        _, former_size = self._kept.pop(key, (None, 0))
        self._kept[key] = kept, size
        self._bytes += size - former_size
        while len(self._kept) > 1 and (
            self._bytes > self._most_bytes or len(self._kept) > self._most
        ):
            _, (_, gone) = self._kept.popitem(last=False)
            self._bytes -= gone
