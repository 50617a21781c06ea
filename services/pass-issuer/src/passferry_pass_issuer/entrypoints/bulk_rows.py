"""Rows of a CSV or NDJSON file as requests to issue, read as the file comes in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import orjson
from pydantic import ValidationError

from passferry_pass_issuer.application.accept_bulk import Row, check_repeatable
from passferry_pass_issuer.application.job_ports import StagedRow
from passferry_pass_issuer.domain.issuing import MAX_FIELDS
from passferry_pass_issuer.domain.jobs import Outcome, Refusal, RowResult
from passferry_pass_issuer.domain.program import Program
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.row_lines import (
    CsvReader,
    LineFault,
    LineSplitter,
    Record,
    decoded,
    delimiter_of,
)
from passferry_pass_issuer.entrypoints.http_passes import NewPassBody

CSV = "text/csv"
NDJSON = "application/x-ndjson"
#: Pieces of a body that are looked at together.
PIECE_BYTES = 65_536
MAX_HEADER_COLUMNS = 16 + MAX_FIELDS
FIELD_COLUMN = "field."
HOLDER_COLUMN = "holder."
#: `opening_balance` is in the program's unit, such as 12.50; `…_minor` is a whole number.
COLUMNS = (
    "external_id",
    "holder.external_id",
    "holder.full_name",
    "holder.email",
    "holder.birthday",
    "holder.locale",
    "code",
    "opening_balance",
    "opening_balance_minor",
    "expires_at",
)
_AMOUNT = re.compile(r"^(-?)([0-9]{1,18})(?:\.([0-9]{1,6}))?$")
_WHOLE = re.compile(r"^-?[0-9]{1,18}$")


class RowReader(Protocol):
    def feed(self, piece: bytes) -> Iterator[Row]:
        """Raises `ContentRejected` when the file as a whole cannot be used."""

    def end(self) -> Iterator[Row]: ...


def _refused(number: int, field: str, code: str, detail: str) -> RowResult:
    refusal = Refusal(field=field[:200], code=code, detail=detail[:500])
    return RowResult(number=number, outcome=Outcome.REFUSED, refusal=refusal)


class _Checker:
    """Says of each row what the same request by itself would be told, as far as it can be said
    without looking anything up."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._program_id = str(program.program_id)

    def checked(self, number: int, given: Mapping[str, Any]) -> Row:
        named = given.get("program_id", self._program_id)
        if named != self._program_id:
            return _refused(number, "program_id", "invalid", "is another than the file's")
        try:
            body = NewPassBody.model_validate({**given, "program_id": self._program_id})
            request = body.asked()
        except ValidationError as error:
            fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
            where = ".".join(str(part) for part in fault["loc"]) or "row"
            return _refused(number, where, "invalid", fault["msg"])
        except ContentRejected as refusal:
            return _refused(number, refusal.field, refusal.code, refusal.detail)
        unrepeatable = check_repeatable(self.program, number, request)
        return unrepeatable or StagedRow(number=number, request=request)


class NdjsonRows:
    """One object per line, with the members of a pass as it is issued by itself."""

    def __init__(self, program: Program) -> None:
        self._checker = _Checker(program)
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
            yield _refused(text.row, "row", text.code, text.detail)
            return
        if not text.strip():
            return
        try:
            given = orjson.loads(text)
        except orjson.JSONDecodeError:
            yield _refused(self._row, "row", "not_json", "is not valid JSON")
            return
        if not isinstance(given, dict):
            yield _refused(self._row, "row", "invalid", "is no object")
            return
        yield self._checker.checked(self._row, given)


class CsvRows:
    """RFC 4180 with a header; an empty cell says nothing."""

    def __init__(self, program: Program) -> None:
        self._checker = _Checker(program)
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
            self._columns = _columns(each.values)
        elif isinstance(each, LineFault):
            yield _refused(each.row, "row", each.code, each.detail)
        elif len(each.values) != len(self._columns):
            detail = f"has {len(each.values)} values, and the header {len(self._columns)}"
            yield _refused(each.row, "row", "columns_differ", detail)
        else:
            cells = {
                name: cell for name, cell in zip(self._columns, each.values, strict=True) if cell
            }
            yield self._checked(each.row, cells)

    def _checked(self, row: int, cells: Mapping[str, str]) -> Row:
        if not cells:
            return _refused(row, "row", "empty", "has no value at all")
        try:
            given = _nested(cells, self._checker.program.unit_scale)
        except ContentRejected as refusal:
            return _refused(row, refusal.field, refusal.code, refusal.detail)
        return self._checker.checked(row, given)


def _columns(header: Sequence[str]) -> list[str]:
    """Raises `ContentRejected` for names that we do not know: their cells would do nothing."""
    names = [name.strip() for name in header]
    if len(names) > MAX_HEADER_COLUMNS:
        raise ContentRejected("header_invalid", "header", f"has over {MAX_HEADER_COLUMNS} columns")
    for place, name in enumerate(names, 1):
        if name not in COLUMNS and not name.startswith(FIELD_COLUMN):
            known = ", ".join((*COLUMNS, "field.<name>"))
            raise ContentRejected(
                "header_invalid", "header", f"column {place} has another name than {known}"
            )
        if names.index(name) != place - 1:
            raise ContentRejected("header_invalid", "header", f"names column {place} twice")
    if {"opening_balance", "opening_balance_minor"} <= set(names):
        raise ContentRejected("header_invalid", "header", "has two columns of the opening balance")
    return names


def _nested(cells: Mapping[str, str], unit_scale: int) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name, cell in cells.items():
        if name.startswith(HOLDER_COLUMN):
            given.setdefault("holder", {})[name.removeprefix(HOLDER_COLUMN)] = cell
        elif name.startswith(FIELD_COLUMN):
            given.setdefault("fields", {})[name.removeprefix(FIELD_COLUMN)] = cell
        elif name == "opening_balance":
            given["opening_balance_minor"] = _minor(cell, unit_scale)
        elif name == "opening_balance_minor":
            given[name] = _whole(cell)
        else:
            given[name] = cell
    return given


def _whole(cell: str) -> int:
    if not _WHOLE.match(cell):
        raise ContentRejected("invalid", "opening_balance_minor", "is a whole number")
    return int(cell)


def _minor(cell: str, unit_scale: int) -> int:
    """Exact: the digits of the amount as a whole number of minor units."""
    matched = _AMOUNT.match(cell)
    fraction = (matched[3] or "") if matched else ""
    if matched is None or len(fraction) > unit_scale:
        places = (
            f"a number with at most {unit_scale} decimal places" if unit_scale else "a whole number"
        )
        raise ContentRejected("invalid", "opening_balance", f"is {places}, such as 12")
    return int(matched[1] + matched[2] + fraction.ljust(unit_scale, "0"))


READERS: Mapping[str, Callable[[Program], RowReader]] = {CSV: CsvRows, NDJSON: NdjsonRows}
