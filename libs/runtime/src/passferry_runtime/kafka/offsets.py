"""Which offsets of a partition are finished, without gaps."""

from __future__ import annotations

from collections import deque


class OffsetTracker:
    """Tracks one partition in one assignment.

    Offsets come in delivery order, with gaps (compaction, control records), so the committable
    offset is the last finished one without an unfinished one before it, plus one.
    """

    def __init__(self) -> None:
        self._open: deque[int] = deque()
        self._finished: set[int] = set()
        self._committable: int | None = None
        #: After the last record that was started; None before the first.
        self.next: int | None = None
        self._committed: int | None = None

    def start(self, offset: int) -> None:
        self._open.append(offset)
        self.next = offset + 1

    def finish(self, offset: int) -> None:
        self._finished.add(offset)
        while self._open and self._open[0] in self._finished:
            done = self._open.popleft()
            self._finished.discard(done)
            self._committable = done + 1

    @property
    def dirty(self) -> int | None:
        """The offset to commit, when it is ahead of the committed one."""
        return self._committable if self._committable != self._committed else None

    def mark_committed(self, offset: int) -> None:
        self._committed = offset

    @property
    def unfinished(self) -> int:
        return len(self._open)
