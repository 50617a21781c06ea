"""Idempotency keys of commands by HTTP that are not decided yet."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from passferry_runtime.errors import Conflict

KeyName = tuple[UUID, str]


def command_in_flight() -> Conflict:
    return Conflict(
        "command_in_flight",
        "A request with this Idempotency-Key is outstanding.",
        retry_after_s=1,
    )


class KeysInFlight:
    """One for all ways of a process into the ledger; between processes, the store decides."""

    def __init__(self) -> None:
        self._names: set[KeyName] = set()

    def take(self, name: KeyName) -> bool:
        """False while somebody else has it."""
        if name in self._names:
            return False
        self._names.add(name)
        return True

    def give_back(self, names: Iterable[KeyName]) -> None:
        self._names.difference_update(names)
