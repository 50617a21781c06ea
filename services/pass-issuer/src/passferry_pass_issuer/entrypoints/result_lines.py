"""Results of a job as lines of CSV or NDJSON; the last line says that nothing is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import orjson

from passferry_pass_issuer.application.job_ports import ShownResult
from passferry_runtime.csv_lines import csv_lines

Line = dict[str, Any]


class Lines(Protocol):
    media_type: str

    def head(self) -> bytes: ...

    def part(self, lines: Sequence[Line]) -> bytes: ...

    def tail(self) -> bytes: ...


class CsvLines:
    """RFC 4180 in UTF-8; the last line has `end` for a row, and in the next column how many
    there are."""

    media_type = "text/csv; charset=utf-8; header=present"

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns
        self._count = 0

    def head(self) -> bytes:
        return csv_lines([self._columns])

    def part(self, lines: Sequence[Line]) -> bytes:
        self._count += len(lines)
        return csv_lines([[line[name] for name in self._columns] for line in lines])

    def tail(self) -> bytes:
        return csv_lines([["end", self._count, *("" for _ in self._columns[2:])]])


class JsonLines:
    """One object per line; the last is `{"lines": …, "complete": true}`."""

    media_type = "application/x-ndjson"

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns
        self._count = 0

    def head(self) -> bytes:
        return b""

    def part(self, lines: Sequence[Line]) -> bytes:
        self._count += len(lines)
        return b"".join(
            orjson.dumps(
                {name: line[name] for name in self._columns}, option=orjson.OPT_APPEND_NEWLINE
            )
            for line in lines
        )

    def tail(self) -> bytes:
        summary = {"lines": self._count, "complete": True}
        return orjson.dumps(summary, option=orjson.OPT_APPEND_NEWLINE)


def refusal_line(shown: ShownResult) -> Line:
    refusal = shown.result.refusal
    return {
        "row": shown.result.number,
        "field": refusal.field if refusal else None,
        "code": refusal.code if refusal else None,
        "detail": refusal.detail if refusal else None,
        "pass_id": str(shown.result.pass_id) if shown.result.pass_id else None,
    }


REFUSAL_COLUMNS = ("row", "field", "code", "detail")
RESULT_COLUMNS = ("row", "outcome", "external_id", "pass_id", "link", "field", "code", "detail")
CHANGE_COLUMNS = ("row", "outcome", "external_id", "pass_id", "field", "code", "detail")
PASS_REFUSAL_COLUMNS = ("pass_id", "field", "code", "detail")
