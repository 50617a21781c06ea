"""Reads lines and CSV records (RFC 4180) from pieces of a file, with little in memory.

A record that cannot be read spoils no other: it becomes a fault with its row number, and reading
goes on with the next line. Rows are numbered as an editor or a spreadsheet does, from 1.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

MAX_LINE_BYTES = 65_536
#: Of one record whose quoted values have line ends.
MAX_RECORD_LINES = 200
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True, slots=True)
class LineFault:
    """A row that is no row."""

    row: int
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Record:
    row: int
    values: list[str]


class LineSplitter:
    """Keeps at most one line; of a line that is too long, nothing."""

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._most = max_line_bytes
        self._rest = b""
        self._is_skipping = False
        self._is_begun = False

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        """Whole lines without their end; None stands for one that is too long."""
        *lines, rest = data.split(b"\n")
        for line in lines:
            yield self._finished(line)
        if self._is_skipping:
            return
        self._rest += rest
        if len(self._rest) > self._most:
            self._rest, self._is_skipping = b"", True

    def end(self) -> Iterator[bytes | None]:
        """What is left when the file does not end with a line end."""
        if self._rest or self._is_skipping:
            yield self._finished(b"")

    def _finished(self, last_part: bytes) -> bytes | None:
        line, self._rest = self._rest + last_part, b""
        if not self._is_begun:
            self._is_begun = True
            line = line.removeprefix(BYTE_ORDER_MARK)
        if self._is_skipping or len(line) > self._most:
            self._is_skipping = False
            return None
        return line.removesuffix(b"\r")


def decoded(row: int, line: bytes | None) -> str | LineFault:
    if line is None:
        return LineFault(row, "line_too_long", f"has over {MAX_LINE_BYTES} bytes in one line")
    try:
        return line.decode()
    except UnicodeDecodeError:
        return LineFault(row, "not_utf8", "is not UTF-8: save the file in that encoding")


class CsvReader:
    """Lines in, records out. Empty lines count as rows and are no records."""

    def __init__(self) -> None:
        self.delimiter = ","
        self._row = 0
        self._open: _OpenRecord | None = None
        self._waiting: deque[tuple[int, str]] = deque()

    def feed(self, line: bytes | None) -> Iterator[Record | LineFault]:
        self._row += 1
        text = decoded(self._row, line)
        if isinstance(text, LineFault):
            # Whatever it was a part of cannot be whole.
            yield from self.end()
            yield text
            return
        self._waiting.append((self._row, text))
        yield from self._read()

    def end(self) -> Iterator[Record | LineFault]:
        while self._open is not None:
            yield from self._give_up()
            yield from self._read()

    def _read(self) -> Iterator[Record | LineFault]:
        while self._waiting:
            row, text = self._waiting.popleft()
            if self._open is None:
                if not text:
                    continue
                if '"' not in text:
                    yield Record(row, text.split(self.delimiter))
                    continue
                self._open = _OpenRecord(row, self.delimiter)
            verdict = self._open.feed(text)
            if verdict is _OPEN:
                if len(self._open.lines) >= MAX_RECORD_LINES or self._open.size > MAX_LINE_BYTES:
                    yield from self._give_up()
                continue
            if verdict is _BROKEN:
                yield from self._give_up()
                continue
            record, self._open = self._open, None
            yield Record(record.row, record.values)

    def _give_up(self) -> Iterator[LineFault]:
        """The first line of the open record is at fault; the others may be records themselves."""
        if self._open is None:
            return
        record, self._open = self._open, None
        yield LineFault(record.row, "quotes_invalid", "has a quotation mark out of place")
        later = [(record.row + index, text) for index, text in enumerate(record.lines) if index]
        self._waiting.extendleft(reversed(later))


_OPEN, _BROKEN, _WHOLE = "open", "broken", "whole"


class _OpenRecord:
    """One record, read line by line; each character is looked at once."""

    def __init__(self, row: int, delimiter: str) -> None:
        self.row = row
        self.values: list[str] = []
        self.lines: list[str] = []
        self.size = 0
        self._delimiter = delimiter
        #: Parts of the quoted value that is not closed yet; None outside of quotes.
        self._quoted: list[str] | None = None

    def feed(self, text: str) -> str:
        self.lines.append(text)
        self.size += len(text)
        place = 0
        if self._quoted is not None:
            self._quoted.append("\n")
        while True:
            if self._quoted is None and text.startswith('"', place):
                self._quoted, place = [], place + 1
            if self._quoted is not None:
                end = self._quoted_end(text, place)
                if end is None:
                    return _OPEN
            else:
                end = text.find(self._delimiter, place)
                end = len(text) if end < 0 else end
                value = text[place:end]
                if '"' in value:
                    return _BROKEN
                self.values.append(value)
            if end == len(text):
                return _WHOLE
            if not text.startswith(self._delimiter, end):
                return _BROKEN
            place = end + 1

    def _quoted_end(self, text: str, place: int) -> int | None:
        """Where the quoted value has ended, or None when it goes on in the next line."""
        parts = self._quoted or []
        while True:
            mark = text.find('"', place)
            if mark < 0:
                parts.append(text[place:])
                self._quoted = parts
                return None
            parts.append(text[place:mark])
            if not text.startswith('"', mark + 1):
                self.values.append("".join(parts))
                self._quoted = None
                return mark + 1
            parts.append('"')
            place = mark + 2


def delimiter_of(header: str) -> str:
    """Spreadsheets of some countries write semicolons; no column has any of these in its name."""
    return max(DELIMITERS, key=header.count)
