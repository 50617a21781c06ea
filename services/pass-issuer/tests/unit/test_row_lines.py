"""Lines and CSV records out of pieces of a file."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passferry_pass_issuer.domain.row_lines import (
    MAX_LINE_BYTES,
    MAX_RECORD_LINES,
    CsvReader,
    LineFault,
    LineSplitter,
    Record,
    delimiter_of,
)

pytestmark = pytest.mark.unit


def lines_of(data, pieces=1, most=MAX_LINE_BYTES):
    splitter = LineSplitter(most)
    size = max(1, -(-len(data) // pieces))
    found = []
    for start in range(0, len(data), size):
        found += splitter.feed(data[start : start + size])
    return [*found, *splitter.end()]


def records_of(text, delimiter=","):
    reader = CsvReader()
    reader.delimiter = delimiter
    data = text if isinstance(text, bytes) else text.encode()
    found = []
    for line in lines_of(data):
        found += reader.feed(line)
    return [*found, *reader.end()]


def values_of(text, **options):
    return [each.values for each in records_of(text, **options) if isinstance(each, Record)]


def faults_of(text):
    return [(each.row, each.code) for each in records_of(text) if isinstance(each, LineFault)]


@given(st.lists(st.binary(max_size=20)), st.integers(1, 9))
def test_lines_are_the_same_however_the_file_is_cut(parts, pieces):
    data = b"\n".join(parts)
    assert lines_of(data, pieces) == lines_of(data, 1)


def test_line_ends_of_windows_and_a_byte_order_mark_are_no_content():
    assert lines_of(b"\xef\xbb\xbfa,b\r\nc,d\r\n", 4) == [b"a,b", b"c,d"]


def test_a_line_that_is_too_long_is_not_kept_and_the_next_one_is_read():
    splitter = LineSplitter(100)
    found = []
    for _ in range(1_000):
        found += splitter.feed(b"x" * 50)
        assert len(splitter._rest) <= 100
    found += splitter.feed(b"\nnext\n")
    assert found == [None, b"next"]


CELLS = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\r\x00"), max_size=12
)


@given(st.lists(st.lists(CELLS, min_size=2, max_size=4), min_size=1, max_size=6))
def test_what_a_csv_writer_wrote_is_read_back(rows):
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    assert values_of(text.getvalue()) == rows


def test_quoted_values_hold_delimiters_quotes_and_line_ends():
    assert values_of('a,"b, ""c""\r\nd",e\r\nf,g,h\r\n') == [
        ["a", 'b, "c"\nd', "e"],
        ["f", "g", "h"],
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_header_tells_the_delimiter(delimiter):
    header = delimiter.join(["external_id", "holder.full_name", "field.a"])
    assert delimiter_of(header) == delimiter
    assert values_of("a" + delimiter + "b", delimiter=delimiter) == [["a", "b"]]


def test_a_quotation_mark_out_of_place_spoils_one_row():
    assert values_of('a,5" pipe\nb,c\n') == [["b", "c"]]
    assert faults_of('a,5" pipe\nb,c\n') == [(1, "quotes_invalid")]
    assert faults_of('a,"b"x\nb,c\n') == [(1, "quotes_invalid")]


def test_a_quoted_value_that_never_ends_spoils_one_row():
    text = 'a,"b\n' + "c,d\n" * (MAX_RECORD_LINES + 50)
    assert faults_of(text) == [(1, "quotes_invalid")]
    assert len(values_of(text)) == MAX_RECORD_LINES + 50
    rows = [each.row for each in records_of(text)]
    assert rows == list(range(1, MAX_RECORD_LINES + 52))


def test_an_open_value_at_the_end_of_the_file_spoils_one_row():
    assert faults_of('a,b\nc,"d\ne,f') == [(2, "quotes_invalid")]
    assert values_of('a,b\nc,"d\ne,f') == [["a", "b"], ["e", "f"]]


def test_bytes_that_are_no_utf8_spoil_one_row():
    assert faults_of(b"a,b\nc,\xff\ne,f\n") == [(2, "not_utf8")]
    # Also within a value that goes over several lines: the line after it stands for itself.
    data = b'a,"b\n\xff\nc,d\n'
    assert faults_of(data) == [(1, "quotes_invalid"), (2, "not_utf8")]
    assert values_of(data) == [["c", "d"]]


def test_empty_lines_are_numbered_and_are_no_records():
    assert [(each.row, each.values) for each in records_of("a,b\n\n\nc,d\n")] == [
        (1, ["a", "b"]),
        (4, ["c", "d"]),
    ]


def test_a_record_of_very_many_quotes_is_read_in_one_pass():
    # Each line is looked at once: a hundred thousand of them end within the test's time.
    text = "".join(f'"{number}","a\nb"\n' for number in range(100_000))
    assert len(values_of(text)) == 100_000
