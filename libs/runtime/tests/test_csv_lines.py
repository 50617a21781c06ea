"""Nothing that somebody wrote is run by a spreadsheet."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passferry_runtime.csv_lines import csv_lines

pytestmark = pytest.mark.unit


def read(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))


@pytest.mark.parametrize(
    "start", [*"=+-@\t\r\n", *"\uff1d\uff0b\uff0d\uff20", " =", "\u00a0+", "\u3000@"]
)
def test_no_text_begins_a_formula(start: str) -> None:
    text = f'{start}HYPERLINK("http://x","y")'
    assert read(csv_lines([[text]])) == [[f"'{text}"]]


def test_numbers_stay_numbers() -> None:
    assert csv_lines([[-5, 0, None, "-5"]]) == b"-5,0,,'-5\r\n"


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
        min_size=2,
        max_size=5,
    )
)
def test_every_text_is_read_back_whole(texts: list[str]) -> None:
    [row] = read(csv_lines([texts]))
    assert [each.removeprefix("'") for each in row] == [each.removeprefix("'") for each in texts]
