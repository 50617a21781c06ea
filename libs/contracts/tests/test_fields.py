"""Types of fields that events and requests share."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from pydantic import TypeAdapter, ValidationError

from passferry_contracts.fields import Day, Instant

INSTANT, DAY = TypeAdapter(Instant), TypeAdapter(Day)


@pytest.mark.parametrize(
    "text", ["2027-01-01T00:00:00Z", "2027-01-01 01:00:00+01:00", "2026-12-31T19:00-05:00"]
)
def test_a_time_is_read_to_utc(text):
    assert INSTANT.validate_python(text) == datetime(2027, 1, 1, tzinfo=UTC)
    assert INSTANT.validate_json(f'"{text}"') == datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [0, 1, 1.5, True, "1", "46388", "20270101", "20270101T000000Z", "2027-01-01", "2027-01-011"],
)
def test_what_could_be_a_count_of_something_is_no_time(value):
    with pytest.raises(ValidationError):
        INSTANT.validate_python(value)


def test_a_day_is_a_date_and_no_count_either():
    assert DAY.validate_python("1990-05-17") == DAY.validate_python(date(1990, 5, 17))
    for value in (0, "0", "33010", "19900517", 32_000.0):
        with pytest.raises(ValidationError):
            DAY.validate_python(value)
