"""Exported entries as lines of text, and the last line that says nothing is missing.

One line is one entry from the side of one pass, so that an entry between two passes has two. What
can still change of an entry (how much of it was reversed) is not in it: reversals are lines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

import orjson

from passferry_ledger.domain.views import EntryView
from passferry_runtime.csv_lines import csv_lines

COLUMNS = (
    "entry_id",
    "pass_id",
    "program_id",
    "version",
    "kind",
    "change_minor",
    "held_change_minor",
    "balance_after_minor",
    "held_after_minor",
    "unit",
    "unit_scale",
    "reference",
    "reason",
    "merchant_id",
    "merchant_name",
    "location",
    "terminal",
    "purchase_minor",
    "purchase_unit",
    "recorded_by",
    "reverses",
    "hold_id",
    "occurred_at",
    "recorded_at",
)
ENTRY, END = "entry", "end"


class Lines(Protocol):
    media_type: str

    def head(self) -> bytes: ...

    def entries(self, entries: Sequence[EntryView]) -> bytes: ...

    def tail(self) -> bytes:
        """The summary, once all entries were written."""
        ...


class CsvLines:
    """RFC 4180 in UTF-8. The first column says what the line is: `entry`, or of the last one `end`;
    the second counts the entries' lines, and repeats the count on the last."""

    media_type = "text/csv; charset=utf-8; header=present"

    def __init__(self) -> None:
        self._count = 0

    def head(self) -> bytes:
        return csv_lines([("line", "number", *COLUMNS)])

    def entries(self, entries: Sequence[EntryView]) -> bytes:
        first = self._count + 1
        self._count += len(entries)
        return csv_lines(
            [
                (ENTRY, number, *(_value(getattr(entry, name)) for name in COLUMNS))
                for number, entry in enumerate(entries, first)
            ]
        )

    def tail(self) -> bytes:
        return csv_lines([(END, self._count, *("" for _ in COLUMNS))])


class JsonLines:
    """One object per line; the last is `{"entries": …, "lines": …, "complete": true}`."""

    media_type = "application/x-ndjson"

    def __init__(self) -> None:
        self._lines = 0
        self._entries = 0
        self._last: UUID | None = None

    def head(self) -> bytes:
        return b""

    def entries(self, entries: Sequence[EntryView]) -> bytes:
        self._lines += len(entries)
        for entry in entries:
            # The two lines of a transfer follow one another.
            self._entries += entry.entry_id != self._last
            self._last = entry.entry_id
        return b"".join(
            orjson.dumps(
                {name: _value(getattr(entry, name)) for name in COLUMNS},
                option=orjson.OPT_APPEND_NEWLINE,
            )
            for entry in entries
        )

    def tail(self) -> bytes:
        summary = {"entries": self._entries, "lines": self._lines, "complete": True}
        return orjson.dumps(summary, option=orjson.OPT_APPEND_NEWLINE)


FORMATS: dict[str, Callable[[], Lines]] = {"csv": CsvLines, "ndjson": JsonLines}


def _value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, UUID):
        return str(value)
    return value
