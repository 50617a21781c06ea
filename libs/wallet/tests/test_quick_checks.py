"""A quick check says yes to nothing that the typed model refuses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from passferry_wallet.apple.document import document_place, semantics_place
from passferry_wallet.apple.document.parts import Part
from passferry_wallet.apple.document.quick_checks import annotation_of, quick_check
from passferry_wallet.apple.pass_values import w3c_date, zoned_date_text
from passferry_wallet.apple.rejections import PassContentRejected


def kinds_of_parts(part: type[Part] = Part):
    for kind in part.__subclasses__():
        yield kind
        yield from kinds_of_parts(kind)


#: A member for each different thing that the models say of one.
PLACES = {
    str(annotation_of(field)): (f"{kind.__name__}.{field.alias}", annotation_of(field))
    for kind in kinds_of_parts()
    for field in kind.model_fields.values()
}
TEXTS = st.sampled_from(
    ["", " ", "Zoë", "\ud800", "https://x.example/\ud800", "a\nb", "a\x00b", "x" * 8_193, "EUR", "EU\n",
     "EUR\n", "12.34", "12.34\n", "-1", "٣", "1.1234567890", "#fff", "#fff\n", "rgb(1,2,3)", "rgb(256,0,0)",
     "2030-01-31T12:00:00Z", "2030-01-31T12:00:00Z\n", "2030-02-31T12:00Z", "2030-01-31",
     "https://example.com/x", "ftp://example.com", "PKEventTypeMovie", "PKTransitTypeAir",
     "f8f589e9-c07e-58e5-9f2c-9f2e7c3a8a31", "f8f589e9-c07e-58e5-9f2c-9f2e7c3a8a31\n", "pass.a", "x" * 201],
) | st.text(max_size=8)  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-200, 200)
    | st.sampled_from([0, 1, 2**53, 2**64, -(2**70)])
    | st.floats()
    | st.decimals(-200, 200)
    | st.sampled_from([Decimal("NaN"), Decimal("Infinity"), Decimal("90.0000001"), Decimal(90)])
    | TEXTS
    | st.binary(max_size=2)
)
KEYS = st.sampled_from(
    ["amount", "currencyCode", "currency_code", "latitude", "longitude", "givenName", "seatRow",
     "date", "ignoreTimeComponents", "transitType", "eventName", "balance", "unknown"],
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=4,
)


class PlainDay(datetime):
    """A kind of date that the encoder does not know."""


def model_check(annotation):
    """Whether the typed model takes a value, as strictly as it is asked there."""
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    adapter = TypeAdapter(annotation, config=None if is_model else ConfigDict(strict=True))

    def is_taken(value) -> bool:
        try:
            adapter.validate_python(value)
        except ValidationError:
            return False
        return True

    return is_taken


@pytest.mark.parametrize(("path", "annotation"), sorted(PLACES.values(), key=lambda each: each[0]))
def test_a_quick_yes_is_a_yes_of_the_model(path, annotation):
    # proves: A16, A21
    is_surely, is_taken = quick_check(annotation), model_check(annotation)

    @given(VALUES)
    @settings(max_examples=40, deadline=None)
    @example("EUR\n")
    @example("12.34\n")
    def holds(value):
        assert not is_surely(value) or is_taken(value), path

    holds()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("eventName", "Ferry against Tug"),
        ("eventStartDate", "2030-01-31T12:00:00+01:00"),
        ("eventType", "PKEventTypeSports"),
        ("flightNumber", 123),
        ("silenceRequested", False),
        ("venueLocation.latitude", Decimal("53.55")),
        ("venueLocation.longitude", -9),
        ("totalPrice", {"amount": "12.34", "currencyCode": "EUR"}),
        ("totalPrice.amount", "12.34"),
        ("totalPrice.currencyCode", "EUR"),
        ("passengerName.givenName", "Zoë"),
        ("ofTomorrow", [1, "x"]),
    ],
)
def test_what_passes_hold_is_seen_quickly(path, value, monkeypatch):
    # A check that never says yes would be right as well, and slow.
    place = semantics_place()
    for name in path.split("."):
        place = place.member(name)
    monkeypatch.setattr(type(place), "_adapter", None)
    place.check(value, "x")


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("relevantDate", "2030-01-31", "date_without_zone"),
        ("maxDistance", 0, "greater_than"),
        ("backgroundColor", "fff", "colour_invalid"),
        ("voided", 1, "bool_type"),
        ("logoText", "x" * 8_193, "too_long"),
        ("logoText", "\ud800", "not_unicode"),
    ],
)
def test_what_is_refused_is_refused_in_the_words_of_the_model(name, value, code):
    # proves: A21
    with pytest.raises(PassContentRejected) as refused:
        document_place().member(name).check(value, f"document.{name}")
    assert (refused.value.code, refused.value.field) == (code, f"document.{name}")


@given(
    st.datetimes(
        timezones=st.none()
        | st.timezones()
        | st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)
    )
)
@example(datetime(2030, 1, 31, 12, tzinfo=UTC))
@example(PlainDay(2030, 1, 31, tzinfo=UTC))
def test_what_the_writer_makes_of_a_date_is_a_date_to_the_model(moment):
    # proves: A16 (Apple's pass format: P6)
    try:
        written = w3c_date(moment, "x")
    except PassContentRejected:
        return
    assert semantics_place().member("eventStartDate").is_date
    found = datetime.fromisoformat(zoned_date_text(written, "x"))
    assert found.replace(tzinfo=None) == moment.replace(tzinfo=None, microsecond=0)
    assert found.utcoffset() == moment.utcoffset()
