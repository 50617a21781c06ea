"""Rows of a CSV or NDJSON file, read as the file comes in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import orjson
from pydantic import ValidationError

from passferry_pass_issuer.application.accept_bulk import Row
from passferry_pass_issuer.domain.issuing import MAX_FIELDS, is_field_name
from passferry_pass_issuer.domain.jobs import Outcome, Refusal, RowResult
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.row_lines import (
    CsvReader,
    LineFault,
    LineSplitter,
    Record,
    decoded,
    delimiter_of,
)

CSV = "text/csv"
NDJSON = "application/x-ndjson"
#: Pieces of a body that are looked at together.
PIECE_BYTES = 65_536
MAX_HEADER_COLUMNS = 16 + MAX_FIELDS
FIELD_COLUMN = "field."
ANY_FIELD = "field.<name>"


class RowFormat(Protocol):
    """What the rows of a file mean."""

    @property
    def columns(self) -> Sequence[str]:
        """Names of the header; `field.<name>` stands for all that begin so."""

    @property
    def alternatives(self) -> Sequence[frozenset[str]]:
        """Pairs of columns that say the same."""

    def nested(self, cells: Mapping[str, str]) -> dict[str, Any]:
        """The members of an object, from the cells of a row that say something. Raises
        `ContentRejected`."""

    def row(self, number: int, given: Mapping[str, Any]) -> Row:
        """Raises `ValidationError` or `ContentRejected`."""


class RowReader(Protocol):
    def feed(self, piece: bytes) -> Iterator[Row]:
        """Raises `ContentRejected` when the file as a whole cannot be used."""

    def end(self) -> Iterator[Row]: ...


def refused(number: int, field: str, code: str, detail: str) -> RowResult:
    refusal = Refusal(field=field[:200], code=code, detail=detail[:500])
    return RowResult(number=number, outcome=Outcome.REFUSED, refusal=refusal)


def _checked(row_format: RowFormat, number: int, given: Mapping[str, Any]) -> Row:
    """Says of each row what the same request by itself would be told, as far as it can be said
    without looking anything up."""
    try:
        return row_format.row(number, given)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in fault["loc"]) or "row"
        return refused(number, where, "invalid", fault["msg"])
    except ContentRejected as refusal:
        return refused(number, refusal.field, refusal.code, refusal.detail)


class NdjsonRows:
    """One object per line, with the members of the same request by itself."""

    def __init__(self, row_format: RowFormat) -> None:
        self._format = row_format
        self._lines = LineSplitter()
        self._row = 0

    def feed(self, piece: bytes) -> Iterator[Row]:
        for line in self._lines.feed(piece):
            yield from self._read(line)

    def end(self) -> Iterator[Row]:
        for line in self._lines.end():
            yield from self._read(line)

    def _read(self, line: bytes | None) -> Iterator[Row]:
        self._row += 1
        text = decoded(self._row, line)
        if isinstance(text, LineFault):
            yield refused(text.row, "row", text.code, text.detail)
            return
        if not text.strip():
            return
        try:
            given = orjson.loads(text)
        except orjson.JSONDecodeError:
            yield refused(self._row, "row", "not_json", "is not valid JSON")
            return
        if not isinstance(given, dict):
            yield refused(self._row, "row", "invalid", "is no object")
            return
        yield _checked(self._format, self._row, given)


class CsvRows:
    """RFC 4180 with a header; an empty cell says nothing."""

    def __init__(self, row_format: RowFormat) -> None:
        self._format = row_format
        self._lines = LineSplitter()
        self._records = CsvReader()
        self._columns: list[str] | None = None
        self._is_begun = False

    def feed(self, piece: bytes) -> Iterator[Row]:
        for line in self._lines.feed(piece):
            yield from self._read(line)

    def end(self) -> Iterator[Row]:
        for line in self._lines.end():
            yield from self._read(line)
        for each in self._records.end():
            yield from self._row_of(each)
        if self._columns is None:
            raise ContentRejected("header_missing", "header", "the file has no first line")

    def _read(self, line: bytes | None) -> Iterator[Row]:
        if not self._is_begun and line:
            self._is_begun = True
            self._records.delimiter = delimiter_of(line.decode(errors="replace"))
        for each in self._records.feed(line):
            yield from self._row_of(each)

    def _row_of(self, each: Record | LineFault) -> Iterator[Row]:
        if self._columns is None:
            if isinstance(each, LineFault):
                raise ContentRejected("header_invalid", "header", each.detail)
            self._columns = _columns(each.values, self._format)
        elif isinstance(each, LineFault):
            yield refused(each.row, "row", each.code, each.detail)
        elif len(each.values) != len(self._columns):
            detail = f"has {len(each.values)} values, and the header {len(self._columns)}"
            yield refused(each.row, "row", "columns_differ", detail)
        else:
            cells = {
                name: cell for name, cell in zip(self._columns, each.values, strict=True) if cell
            }
            yield self._checked(each.row, cells)

    def _checked(self, row: int, cells: Mapping[str, str]) -> Row:
        if not cells:
            return refused(row, "row", "empty", "has no value at all")
        try:
            given = self._format.nested(cells)
        except ContentRejected as refusal:
            return refused(row, refusal.field, refusal.code, refusal.detail)
        return _checked(self._format, row, given)


def _is_known(name: str, row_format: RowFormat) -> bool:
    if name.startswith(FIELD_COLUMN) and ANY_FIELD in row_format.columns:
        return is_field_name(name.removeprefix(FIELD_COLUMN))
    return name in row_format.columns


def _columns(header: Sequence[str], row_format: RowFormat) -> list[str]:
    """Raises `ContentRejected` for names that we do not know: their cells would do nothing."""
    names = [name.strip() for name in header]
    if len(names) > MAX_HEADER_COLUMNS:
        raise ContentRejected("header_invalid", "header", f"has over {MAX_HEADER_COLUMNS} columns")
    for place, name in enumerate(names, 1):
        if not _is_known(name, row_format):
            known = ", ".join(row_format.columns)
            raise ContentRejected(
                "header_invalid", "header", f"column {place} has another name than {known}"
            )
        if names.index(name) != place - 1:
            raise ContentRejected("header_invalid", "header", f"names column {place} twice")
    for pair in row_format.alternatives:
        if pair <= set(names):
            both = " and ".join(sorted(pair))
            raise ContentRejected("header_invalid", "header", f"has {both}, which say the same")
    return names


READERS: Mapping[str, Callable[[RowFormat], RowReader]] = {CSV: CsvRows, NDJSON: NdjsonRows}
