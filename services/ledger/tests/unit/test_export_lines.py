"""Exported entries as text: exact, safe in spreadsheets, complete or visibly not."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest

from passferry_ledger.domain.views import EntryView
from passferry_ledger.entrypoints.export_lines import COLUMNS, CsvLines, JsonLines

NOON = datetime(2026, 5, 14, 12, tzinfo=UTC)


def entry(**changes: Any) -> EntryView:
    facts: dict[str, Any] = dict.fromkeys(COLUMNS)
    facts.update(
        entry_id=UUID(int=1),
        pass_id=UUID(int=2),
        program_id=UUID(int=3),
        version=1,
        kind="redeem",
        change_minor=-(2**63 - 1),
        held_change_minor=0,
        balance_after_minor=-5,
        held_after_minor=0,
        unit="points",
        unit_scale=0,
        recorded_by="key:till",
        occurred_at=NOON.astimezone(timezone(timedelta(hours=2))),
        recorded_at=NOON,
    )
    return EntryView(**(facts | changes))


def read_csv(*entries: EntryView) -> list[dict[str, str]]:
    lines = CsvLines()
    data = lines.head() + lines.entries(entries) + lines.tail()
    return list(csv.DictReader(io.StringIO(data.decode(), newline=""), strict=True))


def test_csv_has_whole_numbers_times_in_utc_and_a_last_line_with_the_count() -> None:
    first, second, end = read_csv(entry(), entry(entry_id=UUID(int=9)))
    assert (first["line"], first["number"], second["number"]) == ("entry", "1", "2")
    assert (first["change_minor"], first["balance_after_minor"]) == ("-9223372036854775807", "-5")
    assert first["occurred_at"] == first["recorded_at"] == "2026-05-14T12:00:00Z"
    assert first["reference"] == ""
    assert (end["line"], end["number"], set(end.values())) == ("end", "2", {"end", "2", ""})


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_no_text_in_csv_begins_a_formula(start: str) -> None:
    text = f'{start}HYPERLINK("http://x","y")'
    row = read_csv(entry(reference=text, merchant_name=text, recorded_by=text))[0]
    assert row["reference"] == row["merchant_name"] == row["recorded_by"] == f"'{text}"


def test_csv_quotes_what_needs_it_by_rfc_4180() -> None:
    text = 'Café "Zürich", first\nfloor'
    lines = CsvLines()
    data = lines.entries([entry(location=text)])
    assert b'"Caf\xc3\xa9 ""Z\xc3\xbcrich"", first\nfloor"' in data
    assert data.endswith(b"\r\n")
    assert read_csv(entry(location=text))[0]["location"] == text
    assert {len(row) for row in csv.reader(io.StringIO(lines.head().decode()))} == {
        len(COLUMNS) + 2
    }


def test_json_lines_end_with_a_summary_that_counts_entries_and_lines() -> None:
    lines = JsonLines()
    both = [entry(change_minor=-5), entry(change_minor=5, pass_id=UUID(int=8))]
    data = (
        lines.head()
        + lines.entries(both[:1])
        + lines.entries([both[1], entry(entry_id=UUID(int=9))])
    )
    told = [json.loads(line) for line in (data + lines.tail()).splitlines()]
    assert told.pop() == {"entries": 2, "lines": 3, "complete": True}
    assert [line["change_minor"] for line in told] == [-5, 5, -(2**63 - 1)]
    assert set(told[0]) == set(COLUMNS)
    assert told[0]["recorded_at"] == "2026-05-14T12:00:00Z"


def test_an_export_of_nothing_is_complete_too() -> None:
    lines = JsonLines()
    assert json.loads(lines.head() + lines.tail()) == {"entries": 0, "lines": 0, "complete": True}
    assert [row["line"] for row in read_csv()] == ["end"]
