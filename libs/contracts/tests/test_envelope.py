"""What is an event of its topic, and what is refused with which reason."""

import json
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from passferry_contracts.envelope import (
    Envelope,
    InvalidEvent,
    decode,
    encode_headers,
    encode_value,
)
from passferry_contracts.events.balances import PassRedeemed
from passferry_contracts.events.ledger import RedeemCommand
from passferry_contracts.registry import LEDGER_COMMANDS, PASS_REDEEMED, TOPICS

WORKSPACE_ID = UUID("0198c5a0-7b1e-7c3a-9f00-00000000cafe")
PASS_ID = UUID("0198c5a0-7b1e-7c3a-9f00-000000000101")
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
AT = datetime(2026, 5, 14, 7, 31, 5, 123456, tzinfo=UTC)


def redeemed(**changes):
    return PassRedeemed(
        **{
            "workspace_id": WORKSPACE_ID,
            "pass_id": PASS_ID,
            "external_id": "CF-000117",
            "program_id": UUID(int=16),
            "version": 3,
            "redemption_id": UUID(int=1025),
            "amount_minor": 40,
            "remaining_minor": 22,
            "unit": "points",
            "redeemed_at": AT,
            **changes,
        }
    )


def envelope(**changes):
    return Envelope(
        **{
            "id": "e-1",
            "source": "/passferry/ledger",
            "type": "pass.redeemed",
            "time": AT,
            "data": redeemed(),
            "subject": str(PASS_ID),
            "traceparent": TRACEPARENT,
            **changes,
        }
    )


def headers_with(**changes):
    """The headers of a valid event with some replaced, or left out where None."""
    headers = dict(encode_headers(envelope()))
    for name, value in changes.items():
        headers.pop(name, None)
        if value is not None:
            headers[name] = value
    return list(headers.items())


def body(**changes):
    fields = json.loads(encode_value(envelope()))
    for name, value in changes.items():
        if value is None:
            del fields[name]
        else:
            fields[name] = value
    return json.dumps(fields).encode()


def structured(**changes):
    event = envelope()
    document = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "time": "2026-05-14T07:31:05.123456Z",
        "subject": event.subject,
        "traceparent": event.traceparent,
        "partitionkey": event.key,
        "data": json.loads(encode_value(event)),
        **changes,
    }
    return json.dumps(document).encode()


def refusal(headers, value, topic=PASS_REDEEMED):
    with pytest.raises(InvalidEvent) as caught:
        decode(topic, headers, value)
    return caught.value


def test_what_is_encoded_is_decoded():
    sent = envelope()
    assert decode("pass.redeemed", encode_headers(sent), encode_value(sent)) == sent


def test_a_value_is_the_json_of_its_model_without_what_is_not_said():
    sent = envelope()
    assert encode_value(sent) == sent.data.model_dump_json(exclude_none=True).encode()
    assert b"null" not in encode_value(sent)


def test_binary_headers_are_cloudevents():
    headers = dict(encode_headers(envelope()))
    assert headers["ce_specversion"] == b"1.0"
    assert headers["ce_id"] == b"e-1"
    assert headers["ce_type"] == b"pass.redeemed"
    assert headers["ce_time"] == b"2026-05-14T07:31:05.123456Z"
    assert headers["ce_workspaceid"] == str(WORKSPACE_ID).encode()
    assert headers["ce_partitionkey"] == str(PASS_ID).encode()
    assert headers["content-type"] == b"application/json"
    assert headers["traceparent"] == TRACEPARENT.encode()


def test_sequences_compare_as_strings():
    versions = [2, 10, 9, 9223372036854775807]
    texts = [
        dict(encode_headers(envelope(data=redeemed(version=version))))["ce_sequence"]
        for version in versions
    ]
    assert sorted(texts) == [texts[versions.index(version)] for version in sorted(versions)]


def test_extension_names_are_lower_case_letters_and_digits_of_at_most_twenty():
    for name, _ in encode_headers(envelope()):
        if name.startswith("ce_"):
            extension = name.removeprefix("ce_")
            assert extension.isalnum()
            assert extension == extension.lower()
            assert len(extension) <= 20


def test_both_modes_decode_equal():
    content_type = [("Content-Type", b"Application/CloudEvents+json; charset=UTF-8")]
    assert decode(PASS_REDEEMED, content_type, structured()) == envelope()


def test_headers_are_read_in_any_case():
    headers = [(name.upper(), value) for name, value in encode_headers(envelope())]
    assert decode(PASS_REDEEMED, headers, body()) == envelope()


def test_unknown_attributes_and_extensions_are_ignored():
    headers = [*headers_with(), ("ce_tenantcolour", b"green"), ("x-proxy", b"\xff\xfe")]
    assert decode(PASS_REDEEMED, headers, body()) == envelope()
    mode = [("content-type", b"application/cloudevents+json")]
    assert decode(PASS_REDEEMED, mode, structured(tenantcolour="green", count=3)) == envelope()


def test_kafkas_own_traceparent_serves_where_the_event_has_none():
    headers = headers_with(ce_traceparent=None)
    assert decode(PASS_REDEEMED, headers, body()).traceparent == TRACEPARENT
    mode = [
        ("content-type", b"application/cloudevents+json"),
        ("traceparent", TRACEPARENT.encode()),
    ]
    without = json.loads(structured())
    del without["traceparent"]
    assert decode(PASS_REDEEMED, mode, json.dumps(without).encode()).traceparent == TRACEPARENT


def test_a_broken_traceparent_loses_the_trace_and_not_the_event():
    headers = headers_with(ce_traceparent=b"00-nonsense", traceparent=None)
    assert decode(PASS_REDEEMED, headers, body()).traceparent is None


def test_a_time_with_another_zone_is_the_same_moment():
    headers = headers_with(ce_time=b"2026-05-14T09:31:05.123456+02:00")
    assert decode(PASS_REDEEMED, headers, body()).time == AT
    east = envelope(time=AT.astimezone(timezone(timedelta(hours=9))))
    assert dict(encode_headers(east))["ce_time"] == b"2026-05-14T07:31:05.123456Z"


def test_fields_of_a_newer_producer_are_ignored_by_consumers():
    assert decode(PASS_REDEEMED, headers_with(), body(colour="green")) == envelope()


def test_fields_that_the_contract_does_not_know_are_refused_by_producers():
    with pytest.raises(ValidationError, match="colour"):
        redeemed(colour="green")


def test_an_event_cannot_be_changed_after_it_was_made():
    with pytest.raises(ValidationError):
        redeemed().amount_minor = 4000


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amount_minor", 12.5),
        ("amount_minor", "12"),
        ("amount_minor", True),
        ("amount_minor", 0),
        ("amount_minor", 2**63),
        ("workspace_id", "not-a-uuid"),
        ("external_id", ""),
        ("external_id", "x" * 129),
        ("reference", "NUL\u0000inside"),
        ("unit", "points!"),
        ("redeemed_at", "2026-05-14T07:31:59"),
        ("redeemed_at", "0001-01-01T00:00:00+23:59"),
        ("redeemed_at", "yesterday"),
    ],
)
def test_a_wrong_field_is_named_and_its_content_is_not_repeated(field, value):
    error = refusal(headers_with(), body(**{field: value}))
    assert error.code == "schema_invalid"
    assert error.detail.startswith(f"{field}: ")
    if len(str(value)) > 2:
        assert str(value) not in error.detail


def test_a_missing_field_is_named():
    error = refusal(headers_with(), body(pass_id=None))
    assert (error.code, error.detail) == ("schema_invalid", "pass_id: Field required")


def test_a_secret_in_a_refused_event_is_not_in_the_error_or_its_cause():
    error = refusal(headers_with(), body(unit="s3cr3t-value!"))
    assert "s3cr3t" not in f"{error} {error.__cause__!r}"
    assert error.__suppress_context__


def test_a_command_that_names_no_pass_is_refused():
    command = {"workspace_id": str(WORKSPACE_ID), "idempotency_key": "k", "amount_minor": 1}
    headers = headers_with(ce_type=b"ledger.redeem")
    error = refusal(headers, json.dumps(command).encode(), LEDGER_COMMANDS)
    assert error.detail == "body: Value error, name the pass by pass_id or external_id"


def test_an_adjustment_of_nothing_is_refused():
    command = {
        "workspace_id": str(WORKSPACE_ID),
        "external_id": "CF-000117",
        "idempotency_key": "k",
        "amount_minor": 0,
    }
    headers = headers_with(ce_type=b"ledger.adjust")
    error = refusal(headers, json.dumps(command).encode(), LEDGER_COMMANDS)
    assert error.detail == "amount_minor: Value error, the amount must not be zero"


@pytest.mark.parametrize(
    "value", [b"", b"{", b"\xff\xfe", b"{'a': 1}", b"[" * 100_000, b'{"unit": "\\ud800"}']
)
def test_a_value_that_is_not_json_is_undecodable(value):
    assert refusal(headers_with(), value).code == "undecodable"
    mode = [("content-type", b"application/cloudevents+json")]
    assert refusal(mode, value).code in {"undecodable", "not_cloudevents"}


@pytest.mark.parametrize("value", [b"null", b"[]", b'"text"', b"7"])
def test_json_that_is_not_an_object_is_refused(value):
    assert refusal(headers_with(), value).code == "schema_invalid"
    mode = [("content-type", b"application/cloudevents+json")]
    assert refusal(mode, value).code == "undecodable"


def test_a_structured_event_without_data_is_refused():
    mode = [("content-type", b"application/cloudevents+json")]
    assert refusal(mode, structured(data=None)).code == "schema_invalid"


@pytest.mark.parametrize("attribute", ["ce_id", "ce_source", "ce_type", "ce_specversion"])
def test_a_missing_attribute_is_named(attribute):
    for absent in (None, b""):
        error = refusal(headers_with(**{attribute: absent}), body())
        assert error.code == "not_cloudevents"
        assert attribute.removeprefix("ce_") in error.detail


def test_an_older_specification_is_refused():
    assert refusal(headers_with(ce_specversion=b"0.3"), body()).code == "not_cloudevents"


@pytest.mark.parametrize("value", [b"x" * 201, b"a\x00b", b"a\nb"])
@pytest.mark.parametrize("attribute", ["ce_id", "ce_source", "ce_subject", "ce_type"])
def test_an_attribute_that_could_not_be_stored_is_refused(attribute, value):
    error = refusal(headers_with(**{attribute: value}), body())
    assert error.code == "not_cloudevents"
    assert attribute.removeprefix("ce_") in error.detail


def test_half_a_surrogate_in_a_structured_id_is_refused():
    mode = [("content-type", b"application/cloudevents+json")]
    assert refusal(mode, structured(id="\ud800")).code == "not_cloudevents"


@pytest.mark.parametrize("time", [b"yesterday", b"2026-05-14T07:31:05", b"2026-13-14T07:31:05Z"])
def test_a_bad_time_is_refused(time):
    error = refusal(headers_with(ce_time=time), body())
    assert error.code == "not_cloudevents"
    assert "time" in error.detail
    assert time.decode() not in error.detail


def test_a_type_of_another_topic_is_unknown_here():
    error = refusal(headers_with(ce_type=b"pass.created"), body())
    assert (error.code, error.detail) == (
        "type_unknown",
        "pass.created is not of pass.redeemed",
    )


def test_a_record_without_value_is_a_tombstone():
    assert refusal(headers_with(), None).code == "tombstone"


def test_a_record_beyond_its_topics_bound_is_refused_before_it_is_parsed():
    bound = PASS_REDEEMED.max_record_bytes
    padded = body() + b" " * (bound - len(body()))
    assert decode(PASS_REDEEMED, headers_with(), padded) == envelope()
    error = refusal(headers_with(), padded + b" ")
    assert (error.code, error.detail) == ("oversize", f"{bound + 1} bytes, at most {bound}")


def test_free_form_json_is_bounded_in_depth_and_characters():
    def created(fields):
        value = {
            "business_id": "bookshop-7",
            "external_id": "BK-1",
            "version": 1,
            "occurred_at": "2026-05-14T07:31:05Z",
            "program_id": str(UUID(int=1)),
            "fields": fields,
        }
        headers = headers_with(ce_type=b"pass.created")
        return decode("pass.inbound", headers, json.dumps(value).encode())

    nested = {}
    for _ in range(16):
        nested = {"deeper": nested}
    for fields in (nested, {"a": "NUL\u0000"}, {"a": [{"NUL\u0000": 1}]}, {"a": float("nan")}):
        with pytest.raises(InvalidEvent) as caught:
            created(fields)
        assert caught.value.code == "schema_invalid"
        assert caught.value.detail.startswith("fields")
    kept = {"note": "two lines\r\nand a tab\t", "list": [1, 2.5, None, True, {"a": "ö"}]}
    assert created(kept).data.fields == kept


def test_a_command_is_keyed_by_its_pass_and_else_by_the_external_id():
    common = {"workspace_id": WORKSPACE_ID, "idempotency_key": "k", "amount_minor": 1}
    by_id = RedeemCommand(**common, pass_id=PASS_ID, external_id="CF-1")
    assert by_id.partition_key() == str(PASS_ID)
    assert RedeemCommand(**common, external_id="CF-1").partition_key() == "CF-1"


_header_names = st.sampled_from(
    ["ce_id", "ce_source", "ce_type", "ce_specversion", "ce_time", "content-type", "traceparent"]
)
_header_values = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [
            b"1.0",
            b"pass.redeemed",
            b"application/json",
            b"application/cloudevents+json",
            b"2026-05-14T07:31:05Z",
            b"0001-01-01T00:00:00+23:59",
        ]
    ),
)
_json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
_values = st.one_of(
    st.binary(max_size=200),
    _json_values.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(st.sampled_from(sorted(PassRedeemed.model_fields)), _json_values).map(
        lambda changes: json.dumps({**json.loads(encode_value(envelope())), **changes}).encode()
    ),
)


@given(
    st.sampled_from(sorted(TOPICS)),
    st.lists(st.tuples(_header_names, _header_values), max_size=8),
    _values,
)
def test_whatever_comes_is_an_event_or_refused(topic, headers, value):
    # Any other exception would look like a passing failure and hold up the records behind it.
    outcome = decoded_or_refusal(topic, headers, value)
    if isinstance(outcome, InvalidEvent):
        assert len(outcome.detail) <= 700
    else:
        assert outcome.type in {model.event_type for model in TOPICS[topic].events}


@given(_values)
def test_whatever_comes_as_a_redemption_is_an_event_or_refused(value):
    outcome = decoded_or_refusal(PASS_REDEEMED, headers_with(), value)
    if isinstance(outcome, InvalidEvent):
        assert outcome.code in {"undecodable", "schema_invalid"}
    else:
        assert decode(PASS_REDEEMED, encode_headers(outcome), encode_value(outcome)) == outcome


def decoded_or_refusal(topic, headers, value):
    try:
        return decode(topic, headers, value)
    except InvalidEvent as refused:
        return refused
