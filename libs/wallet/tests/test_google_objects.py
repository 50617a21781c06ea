"""Google's classes and objects against the API's own description. proves: A22"""

from __future__ import annotations

import importlib.resources
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passferry_wallet.google.objects import (
    VERTICALS,
    Balance,
    GoogleBarcode,
    GoogleClassContent,
    GoogleContentRejected,
    GoogleMessage,
    GoogleObjectContent,
    HoldersAllowed,
    MerchantLocation,
    ObjectState,
    TextModule,
    build_class,
    build_object,
    can_notify_on_update,
    payload_key,
    resource_names,
    vertical_of,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MEMBER = GoogleObjectContent(
    vertical="loyalty",
    issuer_id="3388000000012345678",
    class_suffix="0190-template",
    object_suffix="0190-pass",
    account_id="M-1",
    account_name="Zoë O'Hara",
    balance=Balance(amount_minor=40, label="Points"),
    barcode=GoogleBarcode(format="qr", message="M-1", alternate_text="M-1"),
    text_modules=(TextModule("terms", "Terms", "None"),),
    messages=(GoogleMessage(message_id="1", header="Hi", body="There", is_notifying=True),),
    valid_from=NOW,
    valid_until=NOW + timedelta(days=30),
    locations=(MerchantLocation(Decimal("52.5"), Decimal("13.4")),),
    title="Kaffee Ferry",
    header="Zoë",
)
PROGRAM = GoogleClassContent(
    vertical="loyalty",
    issuer_id="3388000000012345678",
    class_suffix="0190-template",
    issuer_name="Kaffee Ferry",
    title="Ferry Points",
    logo_url="https://passes.example.org/logo.png",
    hero_image_url="https://passes.example.org/hero.png",
    hex_background_color="#102030",
    callback_url="https://passes.example.org/w/1/google/callback",
    country_code="DE",
    text_modules=(TextModule("about", "About", "Us"),),
)
PLATFORM_SET = {"hasUsers", "hasLinkedDevice", "classReference", "kind", "version"}


@pytest.fixture(scope="session")
def schemas():
    folder = importlib.resources.files("googleapiclient.discovery_cache.documents")
    return json.loads(folder.joinpath("walletobjects.v1.json").read_text())["schemas"]


def violations(schemas, schema, value, path=""):
    """Where `value` breaks the discovery document's schema: unknown keys and wrong types."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"]]
    kind = schema.get("type")
    if kind == "object":
        for key, item in value.items():
            if key not in schema["properties"]:
                yield f"{path}.{key} unknown"
            else:
                yield from violations(schemas, schema["properties"][key], item, f"{path}.{key}")
    elif kind == "array":
        for item in value:
            yield from violations(schemas, schema["items"], item, f"{path}[]")
    elif kind == "string":
        if not isinstance(value, str) or ("enum" in schema and value not in schema["enum"]):
            yield f"{path} {value!r}"
    elif kind == "integer":
        if type(value) is not int or abs(value) >= 2**31:
            yield f"{path} {value!r}"
    elif kind == "number" and not isinstance(value, float):
        yield f"{path} {value!r}"


def required(schemas, name):
    """The document tells it in prose only."""
    properties = schemas[name]["properties"].items()
    return {key for key, item in properties if item.get("description", "").startswith("Required")}


def refused(build, content):
    with pytest.raises(GoogleContentRejected) as refusal:
        build(content)
    return refusal.value.code


@pytest.mark.parametrize("vertical", sorted(VERTICALS))
def test_bodies_are_what_the_api_describes_with_all_that_it_requires(schemas, vertical):
    class_name, object_name = (name[0].upper() + name[1:] for name in resource_names(vertical))
    for name, body in (
        (class_name, build_class(replace(PROGRAM, vertical=vertical))),
        (object_name, build_object(replace(MEMBER, vertical=vertical))),
    ):
        assert list(violations(schemas, {"$ref": name}, body)) == []
        assert required(schemas, name) <= body.keys()
        assert not PLATFORM_SET & body.keys()


def test_ids_are_of_the_issuer_and_stay_the_same():
    body = build_object(MEMBER)
    assert body["id"] == "3388000000012345678.0190-pass"
    assert body["classId"] == "3388000000012345678.0190-template" == build_class(PROGRAM)["id"]
    assert build_object(MEMBER) == body


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (replace(MEMBER, issuer_id="me"), "issuer_id_invalid"),
        (replace(MEMBER, object_suffix="with space"), "suffix_invalid"),
        (replace(MEMBER, object_suffix=""), "suffix_invalid"),
        (replace(MEMBER, object_suffix="x" * 200), "suffix_invalid"),
        (replace(MEMBER, account_name="\ud800"), "not_unicode"),
        (
            replace(MEMBER, barcode=GoogleBarcode(format="code128", message="ü")),
            "barcode_not_encodable",
        ),
        (
            replace(MEMBER, barcode=GoogleBarcode(format="i2of5", message="12")),
            "barcode_not_encodable",
        ),
        (replace(MEMBER, locations=MEMBER.locations * 11), "too_many"),
        (replace(MEMBER, text_modules=MEMBER.text_modules * 2), "duplicate"),
        (replace(MEMBER, valid_until=datetime(2030, 1, 1)), "date_without_zone"),
        (replace(MEMBER, valid_until=NOW), "interval_invalid"),
        (replace(MEMBER, vertical="generic", header=None), "required"),
        (replace(MEMBER, vertical="giftCard", account_id=None, barcode=None), "required"),
        (
            replace(MEMBER, balance=Balance(amount_minor=1, currency_code="euro")),
            "currency_invalid",
        ),
        (replace(MEMBER, balance=Balance(amount_minor=1, scale=12)), "number_invalid"),
    ],
)
def test_an_object_that_the_api_would_refuse_is_refused_here(content, code):
    assert refused(build_object, content) == code


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (replace(PROGRAM, logo_url=None), "required"),
        (replace(PROGRAM, logo_url="logo.png"), "url_invalid"),
        (replace(PROGRAM, hex_background_color="red"), "colour_invalid"),
    ],
)
def test_a_class_that_the_api_would_refuse_is_refused_here(content, code):
    assert refused(build_class, content) == code


# Balances


@given(amount=st.integers(-(10**12), 10**12), scale=st.integers(0, 6))
def test_money_is_told_in_exact_millionths(amount, scale):
    money = Balance(amount_minor=amount, scale=scale, currency_code="EUR")
    told = build_object(replace(MEMBER, vertical="giftCard", balance=money))["balance"]
    assert Decimal(told["micros"]) == Decimal(amount).scaleb(6 - scale)
    assert told["currencyCode"] == "EUR"


@pytest.mark.parametrize(("amount", "scale"), [(1, 7), (10**18, 2), (-(10**18), 2)])
def test_money_that_millionths_cannot_tell_is_refused_and_never_rounded(amount, scale):
    money = Balance(amount_minor=amount, scale=scale, currency_code="EUR")
    assert refused(build_object, replace(MEMBER, balance=money)) == "amount_not_tellable"


def test_millionths_are_text():
    money = Balance(amount_minor=1250, scale=2, currency_code="EUR")
    body = build_object(replace(MEMBER, balance=money))
    assert body["loyaltyPoints"]["balance"] == {
        "money": {"micros": "12500000", "currencyCode": "EUR"}
    }


@pytest.mark.parametrize(
    ("amount", "scale", "told"),
    [
        (40, 0, {"int": 40}),
        (2**31 - 1, 0, {"int": 2**31 - 1}),
        (2**31, 0, {"string": "2147483648"}),
        (-(2**31), 0, {"string": "-2147483648"}),
        (1250, 2, {"string": "12.50"}),
        (-5, 2, {"string": "-0.05"}),
    ],
)
def test_points_beyond_32_bits_or_with_decimals_are_text(amount, scale, told):
    balance = Balance(amount_minor=amount, scale=scale, label="Points")
    assert build_object(replace(MEMBER, balance=balance))["loyaltyPoints"]["balance"] == told


@pytest.mark.parametrize("vertical", ["offer", "eventTicket", "generic", "giftCard"])
def test_a_balance_without_a_field_of_its_own_is_shown_as_text(vertical):
    body = build_object(replace(MEMBER, vertical=vertical))
    shown = {"id": "balance", "header": "Points", "body": "40"}
    assert body["textModulesData"][0] == shown
    assert "balance" not in body


# States, messages, protocols


@pytest.mark.parametrize("state", list(ObjectState))
def test_the_state_is_told_in_every_body(state):
    assert build_object(replace(MEMBER, state=state))["state"] == state.name


def test_only_the_newest_ten_messages_are_kept():
    messages = tuple(
        GoogleMessage(message_id=str(number), header="h", body="b") for number in range(12)
    )
    body = build_object(replace(MEMBER, messages=messages))
    assert [message["id"] for message in body["messages"]] == [str(n) for n in range(2, 12)]
    assert {message["messageType"] for message in body["messages"]} == {"TEXT"}


def test_a_class_asks_for_review_each_time_and_a_coupon_is_for_one_person():
    assert build_class(PROGRAM)["reviewStatus"] == "UNDER_REVIEW"
    assert "reviewStatus" not in build_class(replace(PROGRAM, vertical="generic"))
    offer = replace(PROGRAM, vertical="offer")
    status = "multipleDevicesAndHoldersAllowedStatus"
    assert build_class(offer)[status] == "ONE_USER_ALL_DEVICES"
    shared = replace(offer, holders_allowed=HoldersAllowed.MULTIPLE_HOLDERS)
    assert build_class(shared)[status] == "MULTIPLE_HOLDERS"


def test_protocols_have_their_verticals():
    assert [vertical_of(p) for p in ("MEMBERSHIP", "COUPON", "EVENT_TICKET", "GIFT_CARD")] == [
        "loyalty", "offer", "eventTicket", "giftCard",
    ]  # fmt: skip
    assert resource_names("giftCard") == ("giftCardClass", "giftCardObject")
    assert payload_key("loyalty", "Class") == "loyaltyClasses"
    assert not can_notify_on_update("generic")
