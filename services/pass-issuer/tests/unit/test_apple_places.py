"""Whatever a pass holds, devices get the types that they want, or nobody gets the pass."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from passferry_contracts.types import PassStatus
from passferry_pass_issuer.adapters.wallet_renderer import WalletRenderer
from passferry_pass_issuer.domain.example_pass import example_pass
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_wallet.apple.document import read_pass_json

pytestmark = pytest.mark.unit

TEXTS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=40) | st.sampled_from(
    ["", " ", "12", "-1.5", "2030-01-31", "2030-01-31T12:00:00+01:00", "https://example.com/x", "#fff",
     "a\x00b", "\u202eevil", "<b>", "x" * 5_000],
)  # fmt: skip
VALUES = st.none() | st.booleans() | st.integers(-3, 200) | st.integers(-(2**63), 2**63 - 1) | TEXTS


@pytest.fixture
def subject_of(as_version):
    def find(body, fields: Mapping[str, Any], **changes: Any):
        example = example_pass(as_version(body), {}, "https://passes.example/w/1")
        values = {**example.field_values, **fields}
        return replace(example, field_values=values, **changes)

    return find


@pytest.fixture
def show(subject_of):
    """What devices read of the pass: our own reader of the whole format refuses what they do."""
    renderer = WalletRenderer()

    def draw(body, fields, **changes):
        drawn = renderer.render(subject_of(body, fields, **changes)).pass_json
        read_pass_json(drawn.encode())
        return json.loads(drawn)

    return draw


def asked(body, semantics, document):
    body["apple"] |= {"semantics": semantics, "document": document}
    return body


@given(st.data())
@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_value_makes_a_pass_that_devices_refuse(template_examples, subject_of, show, data):
    # proves: A2, A16 (Apple's pass format: P6, P11)
    body = data.draw(st.sampled_from([each for each in template_examples if "apple" in each]))
    names = sorted(subject_of(body, {}).field_values)
    given_values = {name: data.draw(VALUES, name) for name in names if data.draw(st.booleans())}
    moments = st.none() | st.datetimes(datetime(1, 1, 1), timezones=st.just(UTC))
    try:
        show(
            body,
            given_values,
            balance_minor=data.draw(st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 500)),
            unit=data.draw(st.sampled_from(["EUR", "JPY", "points", "entries"])),
            unit_scale=data.draw(st.integers(0, 6)),
            status=data.draw(st.sampled_from(PassStatus)),
            expires_at=data.draw(moments),
            latest_message=data.draw(st.none() | TEXTS),
        )
    except ContentRejected:
        return


@pytest.mark.parametrize(("value", "text"), [(12, "12"), (True, "True"), ("12", "12"), (-1, "-1")])
def test_a_number_becomes_text_where_text_is_wanted(show, template_example, value, text):
    # proves: A16 (Apple's pass format: P11)
    ticket = show(template_example("eventTicket"), {"seat": value})
    assert ticket["semantics"]["seats"][0]["seatNumber"] == text
    body = template_example("generic")
    body["apple"]["fields"]["primary"][0]["semantics"] = {
        "seats": [{"seatRow": {"source": "field.row"}}]
    }
    badge = show(body, {"row": value})
    assert badge["generic"]["primaryFields"][0]["semantics"] == {"seats": [{"seatRow": text}]}


def test_a_number_of_a_key_that_we_do_not_know_stays_a_number(show, template_example):
    body = asked(template_example("generic"), {"ofTomorrow": {"source": "field.n"}},
                 {"userInfo": {"n": {"source": "field.n"}}})  # fmt: skip
    badge = show(body, {"n": 12})
    assert badge["semantics"]["ofTomorrow"] == badge["userInfo"]["n"] == 12


MONEY = {"source": "balance", "format": "currency"}
PLAIN = {"source": "field.x"}


@pytest.mark.parametrize(
    ("semantics", "fields", "where"),
    [
        ({"balance": MONEY}, {}, "balance.currencyCode"),
        ({"eventName": MONEY}, {}, "eventName"),
        ({"balance": PLAIN}, {"x": 12}, "balance"),
        ({"flightNumber": PLAIN}, {"x": "12"}, "flightNumber"),
        ({"flightNumber": PLAIN}, {"x": True}, "flightNumber"),
        ({"flightNumber": {"source": "balance", "format": "decimal"}}, {}, "flightNumber"),
        ({"silenceRequested": PLAIN}, {"x": 1}, "silenceRequested"),
        ({"eventStartDate": PLAIN}, {"x": "2030-01-31"}, "eventStartDate"),
        ({"eventType": PLAIN}, {"x": "PKEventTypeParty"}, "eventType"),
        ({"performerNames": [PLAIN, {"source": "field.y"}]}, {"y": "a" * 9_000}, "performerNames.1"),
        ({"performerNames": PLAIN}, {"x": "a"}, "performerNames"),
        ({"venueLocation": {"latitude": PLAIN, "longitude": 1}}, {"x": 91}, "venueLocation.latitude"),
        ({"venueLocation": {"latitude": PLAIN, "longitude": {"source": "field.y"}}}, {"x": 9},
         "venueLocation.longitude"),
    ],
)  # fmt: skip
def test_what_cannot_stand_at_its_place_is_refused_with_its_path(
    show, template_example, semantics, fields, where
):
    body = asked(template_example("generic"), semantics, {})
    nothing = dict.fromkeys("xy")
    with pytest.raises(ContentRejected) as refused:
        show(body, {**nothing, **fields}, unit="points")
    assert refused.value.field == f"apple.semantics.{where}"
    with pytest.raises(ContentRejected) as refused:
        show(asked(body, {}, {"semantics": semantics}), {**nothing, **fields}, unit="points")
    assert refused.value.field == f"apple.document.semantics.{where}"


def test_the_documented_templates_draw_in_programs_that_count_points_and_entries(
    template_examples, show
):
    for body in template_examples:
        if body.get("apple") and body["protocol"] in {"MEMBERSHIP", "EVENT_TICKET"}:
            show(body, {}, unit="points", unit_scale=0)
