"""pass.json: what it says, and what it refuses to say. proves: A1, A2, A3, A4, A15, A16, A21, A22
(Apple's pass format: P3, P5, P6, P7, P9, P10, P11)"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from passferry_wallet.apple.pass_content import (
    Barcode,
    Beacon,
    CurrencyAmount,
    ExactNumber,
    FeaturedAction,
    Location,
    Nfc,
    PassColours,
    PassField,
    RelevantDate,
)
from passferry_wallet.apple.pass_json import (
    MAX_PASS_JSON_BYTES,
    PassContentRejected,
    build_pass_json,
)

NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)
HERE = Location(latitude=Decimal("52.5"), longitude=Decimal("13.4"))


def p256_key(curve=None) -> str:
    key = ec.generate_private_key(curve or ec.SECP256R1()).public_key()
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(key.public_bytes(*form)).decode()


@pytest.fixture(scope="session")
def write(content):
    """`write(**changes)` builds the sample pass with changes and reads it back."""

    def build(**changes):
        return json.loads(build_pass_json(content(**changes)), parse_float=Decimal)

    return build


@pytest.fixture(scope="session")
def write_field(write):
    """The one field of the back, as written."""

    def build(group="back", key="it", **parts):
        written = write(fields={group: (PassField(key=key, **parts),)})
        return written["storeCard"][f"{group}Fields"][0]

    return build


def refused(build, *arguments, **changes):
    with pytest.raises(PassContentRejected) as refusal:
        build(*arguments, **changes)
    return refusal.value.code


def test_a_pass_says_what_its_content_says(write):
    written = write()
    assert written["formatVersion"] == 1
    assert written["passTypeIdentifier"] == "pass.org.example.cafe"
    assert written["storeCard"]["headerFields"] == [
        {
            "key": "balance",
            "label": "Balance",
            "value": Decimal("12.50"),
            "currencyCode": "EUR",
            "changeMessage": "Now %@",
        }
    ]
    assert written["storeCard"]["secondaryFields"][0]["value"] == "Zoë O'Hara 山田"
    assert written["backgroundColor"] == "rgb(10,20,30)"
    assert written["expirationDate"] == "2030-01-31T12:00:00Z"
    assert written["locations"] == [
        {"latitude": Decimal("52.5200"), "longitude": Decimal("13.4050")}
    ]
    assert "voided" not in written


def test_equal_content_gives_equal_bytes_sorted_and_without_spaces(content):
    first = build_pass_json(content())
    reordered = content(document={"userInfo": {"b": 1, "a": 2}})
    assert build_pass_json(content()) == first
    assert build_pass_json(reordered) == build_pass_json(
        content(document={"userInfo": {"a": 2, "b": 1}})
    )
    assert list(json.loads(first)) == sorted(json.loads(first))
    compact = json.dumps(json.loads(first), ensure_ascii=False, separators=(",", ":"))
    # Standard json shortens 12.50; all the rest is the same.
    assert re.sub(rb"(\.\d*[1-9])0+\b", rb"\1", first) == compact.encode()


@pytest.mark.parametrize("style", ["storeCard", "coupon", "eventTicket", "generic", "boardingPass"])
def test_a_pass_has_exactly_one_style(write, style):
    # proves: A15
    written = write(style=style, transit_type="Air" if style == "boardingPass" else None)
    styles = {"boardingPass", "coupon", "eventTicket", "generic", "storeCard", "posterGeneric"}
    assert styles & written.keys() == {style}


def test_a_poster_brings_the_generic_style_for_older_systems(write):
    fields = {
        "header": (PassField(key="a", value=1),),
        "secondary": (PassField(key="b", value=2),),
        "footer": (PassField(key="c", value=3),),
    }
    written = write(style="posterGeneric", fields=fields)
    assert written["posterGeneric"].keys() == {"headerFields", "footerFields"}
    assert written["generic"].keys() == {"headerFields", "secondaryFields"}


def test_a_boarding_pass_has_a_transit_type_and_no_other_pass_has_one(write):
    assert refused(write, style="boardingPass") == "transit_type_invalid"
    assert refused(write, transit_type="Air") == "transit_type_invalid"
    assert refused(write, style="boardingPass", transit_type="Tram") == "transit_type_invalid"


def test_an_unknown_style_or_group_is_refused(write):
    assert refused(write, style="loyalty") == "style_invalid"
    assert refused(write, fields={"side": ()}) == "unknown"
    assert refused(write, fields={"footer": (PassField(key="a", value=1),)}) == "style_invalid"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"web_service_url": None}, "web_service_incomplete"),
        ({"authentication_token": None}, "web_service_incomplete"),
        ({"authentication_token": "fifteen-letters"}, "invalid"),
        ({"web_service_url": "https://example.org/w/1/v1/"}, "url_invalid"),
        ({"web_service_url": "ftp://example.org"}, "url_invalid"),
        ({"web_service_url": 'https://example.org/"'}, "url_invalid"),
        ({"serial_number": ""}, "invalid"),
        ({"serial_number": "x" * 129}, "invalid"),
        ({"serial_number": "with spaces in it and more"}, "invalid"),
        ({"pass_type_identifier": "com.example"}, "invalid"),
        ({"team_identifier": "team123456"}, "invalid"),
        ({"organization_name": " \x00"}, "required"),
        ({"description": ""}, "required"),
    ],
)
def test_an_identity_that_devices_would_refuse_is_refused(write, identity, changes, code):
    assert refused(write, identity=identity(**changes)) == code


def test_a_pass_without_updates_has_neither_address_nor_token(write, identity):
    written = write(identity=identity(web_service_url=None, authentication_token=None))
    assert not {"webServiceURL", "authenticationToken"} & written.keys()


def test_an_identity_does_not_print_its_token(identity):
    assert "a-token-of" not in repr(identity())


# Values


@pytest.mark.parametrize(
    ("amount", "scale", "told"),
    [
        (1250, 2, b"12.50"),
        (5, 2, b"0.05"),
        (0, 2, b"0.00"),
        (-5, 2, b"-0.05"),
        (-12345, 3, b"-12.345"),
        (7, 0, b"7"),
        (2**63 - 1, 2, b"92233720368547758.07"),
    ],
)
def test_money_is_a_number_with_all_its_digits(content, amount, scale, told):
    """proves: A1, A22"""
    field = PassField(key="balance", value=CurrencyAmount(amount, "EUR", scale))
    written = build_pass_json(content(fields={"header": (field,)}))
    assert b'"currencyCode":"EUR","key":"balance","value":' + told + b"}" in written


@given(amount=st.integers(-(2**63) + 1, 2**63 - 1), scale=st.integers(0, 9))
@settings(max_examples=200, deadline=None)
def test_every_amount_is_exact(write_field, amount, scale):
    """proves: A22"""
    value = write_field(value=ExactNumber(amount, scale))["value"]
    assert value == Decimal(amount).scaleb(-scale)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (CurrencyAmount(1, "euro"), "currency_invalid"),
        (CurrencyAmount(1, "EUR", -1), "number_invalid"),
        (CurrencyAmount(1, "EUR", 10), "number_invalid"),
        (2**63, "number_too_large"),
        (True, "number_invalid"),
        (datetime(2030, 1, 1), "date_without_zone"),
        ("x" * 8193, "too_long"),
        ("\ud800", "not_unicode"),
    ],
)
def test_a_value_that_cannot_be_told_is_refused(write_field, value, code):
    assert refused(write_field, value=value) == code


@pytest.mark.parametrize(
    ("moment", "told"),
    [
        (NOON, "2030-01-31T12:00:00Z"),
        (NOON.replace(microsecond=999_999), "2030-01-31T12:00:00Z"),
        (NOON.replace(tzinfo=timezone(timedelta(0))), "2030-01-31T12:00:00Z"),
        (
            NOON.replace(tzinfo=timezone(timedelta(hours=5, minutes=30))),
            "2030-01-31T12:00:00+05:30",
        ),
        (NOON.replace(tzinfo=timezone(timedelta(hours=-8))), "2030-01-31T12:00:00-08:00"),
    ],
)
def test_dates_carry_their_zone(write_field, moment, told):
    """proves: A16"""
    assert write_field(value=moment, date_style="Short")["value"] == told


@pytest.mark.parametrize(
    "text",
    [
        "2030-01-31",
        "2030-01-31T12:00",
        "2030-01-31T12:00:00",
        "2030-01-31T12:00:00+0100",
        "2030-02-31T12:00:00Z",
        "tomorrow",
        "２０３０-01-31T12:00:00Z",
    ],
)
def test_a_text_under_a_date_style_is_a_date_with_its_zone(write_field, text):
    assert refused(write_field, value=text, date_style="Short").startswith("date_")


@pytest.mark.parametrize("text", ["2030-01-31T12:00Z", "2030-01-31T12:00:00.125+01:00"])
def test_a_zoned_date_may_come_as_text(write_field, text):
    assert write_field(value=text, time_style="Full")["value"] == text


@given(st.text(st.characters(codec="utf-8"), max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_is_told_as_it_is_but_for_characters_that_disturb(write_field, text):
    told = write_field(value=text, label=text)
    assert told["value"] == told["label"]
    lost = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff]")
    assert told["value"] == lost.sub("", text.replace("\r\n", "\n"))


@pytest.mark.parametrize(
    "name", ["Zoë", "O'Hara", "山田 太郎", "עברית", "नमस्ते", "👩‍👩‍👧", "a\tb\nc"]
)
def test_names_of_all_scripts_stay_whole(write_field, name):
    assert write_field(value=name)["value"] == name


def test_marks_that_reverse_what_is_read_are_taken_out(write_field):
    assert write_field(value="100\u202e EUR\x1b[0m\r\nx")["value"] == "100 EUR[0m\nx"


# Fields


def test_keys_are_unique_in_the_whole_pass(write):
    fields = {"header": (PassField(key="a", value=1),), "back": (PassField(key="a", value=2),)}
    assert refused(write, fields=fields) == "duplicate"


@pytest.mark.parametrize(
    ("group", "parts", "code"),
    [
        ("back", {"value": 1, "change_message": "changed"}, "change_message_invalid"),
        ("primary", {"value": 1, "text_alignment": "Left"}, "style_invalid"),
        ("header", {"value": 1, "data_detector_types": ()}, "style_invalid"),
        ("back", {"value": 1, "row": 1}, "style_invalid"),
        ("back", {"value": 1, "date_style": "Short"}, "style_invalid"),
        ("back", {"value": 1, "is_relative": True}, "style_invalid"),
        ("back", {"value": CurrencyAmount(1, "EUR"), "number_style": "Decimal"}, "style_invalid"),
        ("back", {"value": "x", "number_style": "Decimal"}, "style_invalid"),
        ("back", {"value": 1, "key": "with space"}, "key_invalid"),
    ],
)
def test_a_field_with_parts_that_do_not_belong_together_is_refused(write_field, group, parts, code):
    assert refused(write_field, group, **parts) == code


def test_styles_get_the_names_that_devices_know(write_field):
    date = write_field(
        value=NOON, date_style="Medium", time_style="None", is_relative=True,
        ignores_time_zone=True, data_detector_types=("Link",),
    )  # fmt: skip
    assert date == {
        "key": "it",
        "value": "2030-01-31T12:00:00Z",
        "dateStyle": "PKDateStyleMedium",
        "timeStyle": "PKDateStyleNone",
        "isRelative": True,
        "ignoresTimeZone": True,
        "dataDetectorTypes": ["PKDataDetectorTypeLink"],
    }
    number = write_field(
        "auxiliary", value=5, number_style="Percent", text_alignment="Right", row=1
    )
    assert number == {
        "key": "it",
        "value": 5,
        "numberStyle": "PKNumberStylePercent",
        "textAlignment": "PKTextAlignmentRight",
        "row": 1,
    }


@pytest.mark.parametrize(
    "markup",
    [
        "<b>bold</b>",
        "<a href='javascript:alert(1)'>x</a>",
        "<a href='https://example.org' onclick='x'>x</a>",
        "<a href='https://example.org'>x",
        "<script>1</script>",
        "1 < 2",
    ],
)
def test_markup_other_than_safe_links_is_refused(write_field, markup):
    assert refused(write_field, value="x", attributed_value=markup) == "markup_invalid"


def test_links_in_attributed_values_are_kept(write_field):
    markup = "See <a href='https://example.org/a?b=c'>here</a> or <a href=\"tel:+49\">call</a>"
    assert write_field(value="x", attributed_value=markup)["attributedValue"] == markup


# Barcodes


def test_code_128_is_followed_by_a_qr_code_for_the_watch_and_old_systems(write):
    """proves: A2"""
    written = write()
    code128, qr = written["barcodes"]
    assert code128 == {
        "format": "PKBarcodeFormatCode128",
        "message": "CARD0001",
        "messageEncoding": "iso-8859-1",
        "altText": "CARD0001",
    }
    assert qr == code128 | {"format": "PKBarcodeFormatQR"}
    assert written["barcode"] == qr


@pytest.mark.parametrize(
    ("barcode", "name"),
    [
        (Barcode(format="ean13", message="4006381333931"), "PKBarcodeFormatEAN13"),
        (Barcode(format="code39", message="CODE-39"), "PKBarcodeFormatCode39"),
        (Barcode(format="codabar", message="A12345B"), "PKBarcodeFormatCodabar"),
        (Barcode(format="i2of5", message="123456"), "PKBarcodeFormatI2of5"),
    ],
)
def test_a_new_symbology_never_stands_alone(write, barcode, name):
    shown = [item["format"] for item in write(barcodes=(barcode,))["barcodes"]]
    assert shown == [name, "PKBarcodeFormatQR"]


def test_a_barcode_that_every_device_shows_needs_no_other(write):
    written = write(barcodes=(Barcode(format="aztec", message="x"),))
    assert written["barcodes"] == [written["barcode"]]


@pytest.mark.parametrize(
    ("barcode", "code"),
    [
        (Barcode(format="code128", message=""), "barcode_empty"),
        (Barcode(format="code128", message="Grün"), "barcode_not_encodable"),
        (Barcode(format="code128", message="x" * 81), "barcode_too_long"),
        (Barcode(format="code128", message="a\nb"), "barcode_not_encodable"),
        (Barcode(format="qr", message="山"), "barcode_not_encodable"),
        (Barcode(format="qr", message="\ud800", message_encoding="utf-8"), "barcode_not_encodable"),
        (Barcode(format="qr", message="x", message_encoding="rot13"), "encoding_unknown"),
        (Barcode(format="ean13", message="4006381333930"), "barcode_not_encodable"),
        (Barcode(format="upc", message="1"), "barcode_unknown"),
    ],
)
def test_a_message_that_no_scanner_could_read_is_refused(write, barcode, code):
    """proves: A21"""
    assert refused(write, barcodes=(barcode,)) == code


def test_a_message_beyond_latin_needs_utf_8(write):
    written = write(barcodes=(Barcode(format="qr", message="山", message_encoding="utf-8"),))
    assert written["barcode"]["message"] == "山"


def test_a_voided_pass_says_so_and_has_no_barcode(write):
    """proves: A4"""
    written = write(is_voided=True)
    assert written["voided"] is True
    assert not {"barcode", "barcodes"} & written.keys()


# Relevance, NFC and the rest


def test_relevant_dates_are_told_in_the_new_way_and_the_old(write):
    """proves: A16"""
    dates = (RelevantDate(start=NOON), RelevantDate(start=NOON, end=NOON + timedelta(hours=24)))
    written = write(relevant_dates=dates)
    assert written["relevantDate"] == "2030-01-31T12:00:00Z"
    assert written["relevantDates"] == [
        {"date": "2030-01-31T12:00:00Z", "relevantDate": "2030-01-31T12:00:00Z"},
        {"startDate": "2030-01-31T12:00:00Z", "endDate": "2030-02-01T12:00:00Z"},
    ]


def test_dates_that_are_not_given_are_not_told(write):
    """proves: A16"""
    written = write(expires_at=None)
    assert not {"relevantDate", "relevantDates", "expirationDate"} & written.keys()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"locations": (HERE,) * 11}, "too_many"),
        ({"beacons": (Beacon(proximity_uuid="x"),) * 11}, "too_many"),
        ({"beacons": (Beacon(proximity_uuid="not a uuid"),)}, "invalid"),
        ({"featured_actions": (FeaturedAction(identifier="a", type="b"),) * 3}, "too_many"),
        ({"barcodes": (Barcode(format="qr", message="x"),) * 5}, "too_many"),
        ({"locations": (replace(HERE, latitude=Decimal("90.1")),)}, "number_invalid"),
        ({"locations": (replace(HERE, longitude=Decimal("NaN")),)}, "number_invalid"),
        ({"locations": (replace(HERE, longitude=Decimal("1E-999")),)}, "number_invalid"),
        ({"relevant_dates": (RelevantDate(start=NOON, end=NOON),)}, "interval_invalid"),
        (
            {"relevant_dates": (RelevantDate(start=NOON, end=NOON + timedelta(hours=25)),)},
            "interval_invalid",
        ),
        ({"expires_at": datetime(2030, 1, 1)}, "date_without_zone"),
        ({"colours": PassColours(background="rgb(256,0,0)")}, "colour_invalid"),
        ({"colours": PassColours(label="red")}, "colour_invalid"),
        ({"max_distance_m": 0}, "number_invalid"),
        ({"app_launch_url": "cafe://open"}, "app_missing"),
        ({"grouping_identifier": "a"}, "grouping_invalid"),
        ({"fields": {"header": (PassField(key="a", value=1),) * 4}}, "too_many"),
        ({"document": {"userInfo": {"x": "y" * MAX_PASS_JSON_BYTES}}}, "too_large"),
        ({"document": {"userInfo": {"x": object()}}}, "not_json"),
        ({"document": {"serialNumber": "other"}}, "duplicate"),
        ({"document": {"voided": False}}, "duplicate"),
        ({"document": {"barcodes": []}}, "duplicate"),
    ],
)
def test_what_breaks_a_limit_is_refused_with_its_reason(write, changes, code):
    assert refused(write, **changes) == code


def test_a_refusal_names_the_place(write):
    with pytest.raises(PassContentRejected) as refusal:
        write(locations=(HERE, replace(HERE, latitude=Decimal(91))))
    assert refusal.value.field == "locations.1.latitude"


def test_all_that_is_optional_can_be_told(write):
    written = write(
        beacons=(Beacon(proximity_uuid="0" * 8 + "-0000" * 3 + "-" + "0" * 12, major=65535),),
        featured_actions=(
            FeaturedAction(identifier="a", type="membershipBenefits", url="https://example.org"),
        ),
        associated_store_identifiers=(123,),
        app_launch_url="cafe://open",
        max_distance_m=100,
        is_sharing_prohibited=True,
        document={"suppressStripShine": True},
    )
    assert written["beacons"][0]["major"] == 65535
    assert written["featuredActions"][0]["url"] == "https://example.org"
    assert written["appLaunchURL"] == "cafe://open"
    assert written["sharingProhibited"] is True
    assert written["suppressStripShine"] is True


@pytest.mark.parametrize(
    ("message", "is_fine"),
    [
        *[("x" * 64, True), ("x" * 65, False), ("é" * 33, False), ("", False)],
        # Nothing is left of it.
        *[("\ufeff", False), ("\u2029\u202e", False)],
    ],
)
def test_an_nfc_message_has_at_most_64_bytes(write, identity, message, is_fine):
    nfc = Nfc(message=message, encryption_public_key=p256_key())
    who = identity(has_nfc_certificate=True)
    if is_fine:
        assert write(identity=who, nfc=nfc)["nfc"]["message"] == message
    else:
        assert refused(write, identity=who, nfc=nfc) == "nfc_message_invalid"


def test_nfc_needs_its_certificate_and_a_p256_key(write, identity):
    nfc = Nfc(message="x", encryption_public_key=p256_key())
    assert refused(write, nfc=nfc) == "nfc_certificate_missing"
    who = identity(has_nfc_certificate=True)
    for key in ("not base64", "AAAA", p256_key(ec.SECP384R1())):
        wrong = replace(nfc, encryption_public_key=key)
        assert refused(write, identity=who, nfc=wrong) == "nfc_key_invalid"
