"""Bodies drawn from templates, against Google's own description of its API. proves: A22"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passferry_testing.google_simulator.discovery import load_discovery
from passferry_wallet.google.content import Amount, GoogleContentRejected
from passferry_wallet.google.drawing import compile_body
from passferry_wallet.google.objects import (
    VERTICALS,
    as_vertical,
    can_notify_on_update,
    payload_key,
    resource_names,
    told,
)
from passferry_wallet.google.shapes import check_body
from passferry_wallet.google.values import resource_id

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MEMBER = {"id": "1.pass", "classId": "1.card", "state": "ACTIVE"}


@dataclass(frozen=True)
class From:
    """A leaf whose value is the subject's of that name."""

    name: str


def reader_of(leaf: Any) -> Any:
    return (lambda subject: subject.get(leaf.name)) if isinstance(leaf, From) else None


def drawing(tree, vertical="loyalty", kind="Object"):
    return compile_body(
        vertical, kind, tree, reader_of=reader_of, language="en", where="google.object"
    )


def drawn(tree, vertical="loyalty", kind="Object", **subject):
    return drawing(tree, vertical, kind)(subject)


def refused(tree, vertical="loyalty", **subject):
    with pytest.raises(GoogleContentRejected) as refusal:
        drawn(tree, vertical, **subject)
    return refusal.value.code, refusal.value.field.removeprefix("google.object.")


def violations(body, schema="LoyaltyObject"):
    return load_discovery().violations(schema, MEMBER | body, complete=False)


# What comes from a pass


@pytest.mark.parametrize(
    ("tree", "value", "expected"),
    [
        ({"accountName": From("v")}, "Zoë", "Zoë"),
        ({"accountName": From("v")}, 7, "7"),
        ({"accountName": From("v")}, Amount(1250, 2), "12.50"),
        ({"accountName": From("v")}, Amount(-5, 2, "EUR"), "-0.05 EUR"),
        ({"accountName": From("v")}, NOW, "2026-03-01"),
        ({"disableExpirationNotification": From("v")}, "True", True),
        ({"groupingInfo": {"sortIndex": From("v")}}, "12", {"sortIndex": 12}),
        ({"groupingInfo": {"sortIndex": From("v")}}, Amount(7), {"sortIndex": 7}),
        (
            {"heroImage": From("v")},
            "https://a.example/x.png",
            {"sourceUri": {"uri": "https://a.example/x.png"}},
        ),
        (
            {"validTimeInterval": {"end": From("v")}},
            NOW,
            {"end": {"date": "2026-03-01T12:00:00+00:00"}},
        ),
        (
            {"merchantLocations": [{"latitude": From("v"), "longitude": 13.4}]},
            "52.5",
            [{"latitude": 52.5, "longitude": 13.4}],
        ),
        (
            {"barcode": {"type": "QR_CODE", "value": From("v"), "showCodeText": From("v")}},
            "M-1",
            {
                "type": "QR_CODE",
                "value": "M-1",
                "showCodeText": {"defaultValue": {"language": "en", "value": "M-1"}},
            },
        ),
    ],
)
def test_a_value_takes_the_form_that_its_place_wants(tree, value, expected):
    [name] = tree
    body = drawn(tree, v=value)
    assert body == {name: expected}
    assert violations(body) == []
    check_body("loyalty", "Object", MEMBER | body)


@pytest.mark.parametrize(
    ("tree", "value", "code", "where"),
    [
        ({"accountName": From("v")}, "\ud800", "not_unicode", "accountName"),
        ({"accountName": From("v")}, "x" * 9_000, "too_long", "accountName"),
        (
            {"groupingInfo": {"sortIndex": From("v")}},
            2**31,
            "number_invalid",
            "groupingInfo.sortIndex",
        ),
        (
            {"groupingInfo": {"sortIndex": From("v")}},
            "9" * 5_000,
            "number_invalid",
            "groupingInfo.sortIndex",
        ),
        (
            {"groupingInfo": {"sortIndex": From("v")}},
            "many",
            "number_invalid",
            "groupingInfo.sortIndex",
        ),
        (
            {"groupingInfo": {"sortIndex": From("v")}},
            "٣",
            "number_invalid",
            "groupingInfo.sortIndex",
        ),
        ({"disableExpirationNotification": From("v")}, "yes", "invalid",
         "disableExpirationNotification"),
        ({"heroImage": From("v")}, "javascript:alert(1)", "url_invalid", "heroImage"),
        ({"heroImage": From("v")}, "picture.png", "url_invalid", "heroImage"),
        (
            {"linksModuleData": {"uris": [{"uri": From("v")}]}},
            "JavaScript:alert(1)",
            "url_invalid",
            "linksModuleData.uris.0.uri",
        ),
        (
            {"validTimeInterval": {"end": From("v")}},
            datetime(2030, 1, 1),
            "date_without_zone",
            "validTimeInterval.end",
        ),
        ({"validTimeInterval": {"end": From("v")}}, "soon", "date_invalid",
         "validTimeInterval.end"),
        (
            {"validTimeInterval": {"start": "2026-03-01T12:00:00Z", "end": From("v")}},
            NOW,
            "interval_invalid",
            "validTimeInterval",
        ),
        (
            {"barcode": {"type": "CODE_128", "value": From("v")}},
            "ü",
            "barcode_not_encodable",
            "barcode.value",
        ),
        (
            {"barcode": {"type": "ITF_14", "value": From("v")}},
            "12",
            "barcode_not_encodable",
            "barcode.value",
        ),
        (
            {"merchantLocations": [{"latitude": From("v")}]},
            "91",
            "number_invalid",
            "merchantLocations.0.latitude",
        ),
        (
            {"merchantLocations": [{"latitude": From("v")}]},
            "nan",
            "number_invalid",
            "merchantLocations.0.latitude",
        ),
    ],
)  # fmt: skip
def test_a_value_that_google_would_refuse_is_refused_here(tree, value, code, where):
    assert refused(tree, v=value) == (code, where)


# What is absent


def test_what_a_pass_no_longer_has_is_told_as_null_and_parts_of_it_too():
    tree = {
        "accountName": From("name"),
        "groupingInfo": {"groupingId": From("group"), "sortIndex": From("index")},
    }
    draw = drawing(tree)
    assert draw({"name": "Zoë", "group": "g", "index": 1}) == {
        "accountName": "Zoë",
        "groupingInfo": {"groupingId": "g", "sortIndex": 1},
    }
    body = draw({"group": "g"})
    assert body == {"accountName": None, "groupingInfo": {"groupingId": "g", "sortIndex": None}}
    assert draw({}) == {"accountName": None, "groupingInfo": None}
    assert told(body) == {"groupingInfo": {"groupingId": "g"}}
    check_body("loyalty", "Object", MEMBER | body)


def test_an_object_without_any_of_its_values_is_left_out_whole():
    label = {"label": "Points", "balance": {"int": From("points")}}
    words = {"defaultValue": {"language": "de", "value": From("words")}}
    tree = {
        "loyaltyPoints": label,
        "barcode": {"type": "QR_CODE", "value": "1", "showCodeText": words},
    }
    assert drawn(tree)["loyaltyPoints"] is None
    assert told(drawn(tree)) == {"barcode": {"type": "QR_CODE", "value": "1"}}
    assert drawn(tree, points=3)["loyaltyPoints"] == {"label": "Points", "balance": {"int": 3}}


def test_items_of_lists_come_and_go_and_hold_no_nulls():
    module = {"id": "drink", "header": "Favourite", "body": From("drink")}
    fixed = {"id": "terms", "header": "Terms", "body": "None"}
    draw = drawing({"textModulesData": [module, fixed]})
    assert draw({})["textModulesData"] == [fixed]
    assert draw({"drink": "Tea"})["textModulesData"] == [module | {"body": "Tea"}, fixed]
    assert drawn({"textModulesData": [module]})["textModulesData"] is None


def test_a_required_member_without_a_value_is_refused_with_its_path():
    assert refused({"passengerName": From("name")}, "flight") == ("required", "passengerName")


# What a template says itself


@pytest.mark.parametrize(
    ("tree", "code", "where"),
    [
        ({"accountNname": "x"}, "unknown", "accountNname"),
        ({"hasUsers": True}, "unknown", "hasUsers"),
        ({"accountName": 7}, "invalid", "accountName"),
        ({"accountName": {"x": 1}}, "invalid", "accountName"),
        ({"accountName": ["x"]}, "invalid", "accountName"),
        ({"loyaltyPoints": 7}, "invalid", "loyaltyPoints"),
        ({"loyaltyPoints": "x"}, "invalid", "loyaltyPoints"),
        ({"textModulesData": "x"}, "invalid", "textModulesData"),
        ({"textModulesData": From("x")}, "invalid", "textModulesData"),
        ({"groupingInfo": {"sortIndex": True}}, "invalid", "groupingInfo.sortIndex"),
        ({"groupingInfo": {"sortIndex": 1.5}}, "invalid", "groupingInfo.sortIndex"),
        ({"barcode": {"type": "qr", "value": "1"}}, "invalid", "barcode.type"),
        ({"barcode": {"type": "QR_CODE"}}, "required", "barcode"),
        ({"loyaltyPoints": {"balance": {"int": 1, "string": "1"}}}, "invalid",
         "loyaltyPoints.balance"),
        ({"merchantLocations": [{"latitude": 1.0}] * 11}, "too_many", "merchantLocations"),
        ({"messages": [{"header": "h"}] * 11}, "too_many", "messages"),
        ({"textModulesData": [{"id": "a"}, {"id": "a"}]}, "duplicate", "textModulesData"),
        ({"merchantLocations": [{"latitude": float("inf")}]}, "number_invalid",
         "merchantLocations.0.latitude"),
    ],
)  # fmt: skip
def test_a_template_that_google_would_refuse_is_refused_before_any_pass_is_drawn(tree, code, where):
    with pytest.raises(GoogleContentRejected) as refusal:
        drawing(tree)
    assert (refusal.value.code, refusal.value.field) == (code, f"google.object.{where}")


def test_a_text_stands_for_localised_words_images_and_links():
    body = drawn({"ticketType": "Parkett", "heroImage": "https://a.example/1.png"}, "eventTicket")
    assert body["ticketType"] == {"defaultValue": {"language": "en", "value": "Parkett"}}
    assert body["heroImage"] == {"sourceUri": {"uri": "https://a.example/1.png"}}


# Balances


@given(amount=st.integers(-(10**12), 10**12), scale=st.integers(0, 6))
def test_money_is_told_in_exact_millionths(amount, scale):
    body = drawn({"balance": From("v")}, "giftCard", v=Amount(amount, scale, "EUR"))
    assert Decimal(body["balance"]["micros"]) == Decimal(amount).scaleb(6 - scale)
    assert body["balance"]["currencyCode"] == "EUR"


@pytest.mark.parametrize(("amount", "scale"), [(1, 7), (10**18, 2), (-(10**18), 2)])
def test_money_that_millionths_cannot_tell_is_refused_and_never_rounded(amount, scale):
    money = Amount(amount, scale, "EUR")
    assert refused({"balance": From("v")}, "giftCard", v=money)[0] == "amount_not_tellable"


def test_money_has_a_currency():
    assert refused({"balance": From("v")}, "giftCard", v=Amount(1))[0] == "invalid"
    assert (
        refused({"balance": From("v")}, "giftCard", v=Amount(1, 2, "eu"))[0] == "currency_invalid"
    )
    assert refused({"accountName": From("v")}, v=Amount(1, 12))[0] == "number_invalid"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Amount(40), {"int": 40}),
        (Amount(2**31 - 1), {"int": 2**31 - 1}),
        (Amount(2**31), {"string": "2147483648"}),
        (Amount(-(2**31)), {"string": "-2147483648"}),
        (Amount(1250, 2), {"string": "12.50"}),
        (Amount(-5, 2), {"string": "-0.05"}),
        (Amount(1250, 2, "EUR"), {"money": {"micros": "12500000", "currencyCode": "EUR"}}),
        (40, {"int": 40}),
        ("many", {"string": "many"}),
    ],
)
def test_points_are_a_number_where_32_bits_hold_it(value, expected):
    body = drawn({"loyaltyPoints": {"balance": From("v")}}, v=value)
    assert body["loyaltyPoints"]["balance"] == expected
    assert violations(body) == []


# Whatever people write


_zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(words=st.text(max_size=200), number=st.integers(-(2**40), 2**40),
       moment=st.datetimes(timezones=_zones))  # fmt: skip
def test_whatever_is_shown_fits_googles_description_or_is_refused(words, number, moment):
    tree = {
        "accountName": From("words"),
        "accountId": From("number"),
        "loyaltyPoints": {"label": From("words"), "balance": From("number")},
        "validTimeInterval": {"start": From("moment")},
        "textModulesData": [{"id": "m", "header": From("moment"), "body": From("words")}],
        "linksModuleData": {"uris": [{"uri": "tel:+49401234", "description": From("words")}]},
    }
    body = drawn(tree, words=words, number=number, moment=moment)
    assert violations(body) == []
    check_body("loyalty", "Object", MEMBER | body)


@given(
    value=st.text(max_size=60),
    kind=st.sampled_from(
        ["QR_CODE", "CODE_128", "EAN_8", "EAN_13", "UPC_A", "ITF_14", "CODABAR", "DATA_MATRIX"]
    ),
)
def test_a_barcode_is_drawn_or_refused(value, kind):
    try:
        body = drawn({"barcode": {"type": kind, "value": From("v")}}, v=value)
    except GoogleContentRejected:
        return
    assert body["barcode"] in (None, {"type": kind, "value": value})


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("EAN_8", "96385074", "96385075"),
        ("EAN_13", "4006381333931", "4006381333932"),
        ("UPC_A", "036000291452", "036000291453"),
        ("ITF_14", "00012345600012", "00012345600013"),
    ],
)
def test_check_digits_are_checked(kind, good, bad):
    tree = {"barcode": {"type": kind, "value": From("v")}}
    assert drawn(tree, v=good)["barcode"]["value"] == good
    assert refused(tree, v=bad) == ("barcode_not_encodable", "barcode.value")


# Names and messages


@pytest.mark.parametrize(
    ("issuer", "suffix", "code"),
    [
        ("me", "x", "issuer_id_invalid"),
        ("1", "with space", "suffix_invalid"),
        ("1", "", "suffix_invalid"),
        ("1", "x" * 200, "suffix_invalid"),
        ("1", "a/b", "suffix_invalid"),
    ],
)
def test_a_name_that_google_would_refuse_is_refused_here(issuer, suffix, code):
    with pytest.raises(GoogleContentRejected) as refusal:
        resource_id(issuer, suffix)
    assert refusal.value.code == code


def test_verticals_have_their_names():
    assert resource_names("giftCard") == ("giftCardClass", "giftCardObject")
    assert payload_key("loyalty", "Class") == "loyaltyClasses"
    assert [each for each in VERTICALS if not can_notify_on_update(each)] == ["generic"]
    with pytest.raises(GoogleContentRejected):
        as_vertical("parking")
