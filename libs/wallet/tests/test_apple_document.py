"""pass.json as typed models: every key is known, faults are named, unknown keys stay.
Apple's pass format: P3, P5, P6, P7, P9, P10, P11"""

from __future__ import annotations

import base64
import copy
import json
from decimal import Decimal

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from passferry_wallet.apple.document import (
    ApplePass,
    pass_json_bytes,
    read_pass_json,
    scheme_gaps,
)
from passferry_wallet.apple.document.parts import apple_name
from passferry_wallet.apple.pass_json import build_pass_json
from passferry_wallet.apple.rejections import PassContentRejected

KEY = base64.b64encode(
    ec.generate_private_key(ec.SECP256R1())
    .public_key()
    .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
).decode()

STORE_CARD = {
    "formatVersion": 1,
    "passTypeIdentifier": "pass.org.example.cafe",
    "teamIdentifier": "CAFE123456",
    "serialNumber": "serial-number-0001",
    "organizationName": "Café Ferry",
    "description": "Card",
    "storeCard": {"headerFields": [{"key": "points", "label": "POINTS", "value": 12}]},
}

EVENT = {
    **{name: value for name, value in STORE_CARD.items() if name != "storeCard"},
    "webServiceURL": "https://passes.example.org/w/1",
    "authenticationToken": "sixteen-characters-or-more",
    "sharingProhibited": True,
    "userInfo": {"anything": [1, {"goes": None}]},
    "associatedStoreIdentifiers": [123456789],
    "auxiliaryStoreIdentifiers": [987654321],
    "appLaunchURL": "cafe://ticket/1",
    "expirationDate": "2030-02-01T12:00+01:00",
    "voided": False,
    "relevantDate": "2030-01-31T19:00:00Z",
    "relevantDates": [
        {"date": "2030-01-31T19:00:00Z"},
        {"startDate": "2030-01-31T19:00:00Z", "endDate": "2030-02-01T19:00:00Z"},
    ],
    "maxDistance": 500,
    "locations": [{"latitude": 53.55, "longitude": 9.99, "altitude": 3, "relevantText": "Here"}],
    "beacons": [{"proximityUUID": "F8F589E9-C07E-58E5-9F2C-9F2E7C3A8A31", "major": 1, "minor": 2}],
    "backgroundColor": "rgb(1, 2, 3)",
    "foregroundColor": "#fff",
    "labelColor": "#abcdef",
    "stripColor": "#000",
    "footerBackgroundColor": "#123",
    "logoSymbolName": "ticket",
    "eventLogoText": "Ferry",
    "suppressHeaderDarkening": True,
    "suppressStripShine": True,
    "useAutomaticColors": True,
    "preferredStyleSchemes": ["posterEventTicket", "eventTicket"],
    "groupingIdentifier": "season",
    "barcodes": [
        {"format": "PKBarcodeFormatCode128", "message": "ABC", "messageEncoding": "iso-8859-1"},
        {"format": "PKBarcodeFormatQR", "message": "ABC", "altText": "ABC"},
    ],
    "barcode": {"format": "PKBarcodeFormatQR", "message": "ABC", "messageEncoding": "utf-8"},
    "nfc": {"message": "ABC", "encryptionPublicKey": KEY, "requiresAuthentication": True},
    "semantics": {
        "eventType": "PKEventTypeSports",
        "eventName": "Ferry against Tug",
        "venueName": "Harbour",
        "homeTeamAbbreviation": "FER",
        "awayTeamAbbreviation": "TUG",
        "eventStartDate": "2030-01-31T19:00:00+01:00",
        "venueLocation": {"latitude": 53.55, "longitude": 9.99},
        "seats": [{"seatRow": "A", "seatNumber": "1", "seatSectionColor": "#f00"}],
        "totalPrice": {"amount": "12.50", "currencyCode": "EUR"},
        "wifiAccess": [{"ssid": "harbour", "password": "plain"}],
        "artistIDs": ["1"],
        "somethingNew": {"kept": True},
    },
    "featuredActions": [{"identifier": "a", "type": "membershipBenefits"}],
    "upcomingPassInformation": [
        {
            "identifier": "match-2",
            "name": "Second match",
            "type": "event",
            "isActive": True,
            "dateInformation": {"date": "2030-03-01T19:00:00Z", "timeZone": "Europe/Berlin"},
            "images": {
                "headerImage": {
                    "urls": [
                        {"url": "https://a.example/i.png", "sha256": "ab" * 32, "scale": 2,
                         "size": 2097152}
                    ]
                },
                "venueMap": {"reuseExisting": True},
            },
            "urls": {"sellURL": "https://a.example/sell"},
            "backFields": [{"key": "u", "value": "v"}],
        }
    ],
    "directionsInformationURL": "https://a.example/way",
    "contactVenueEmail": "venue@example.org",
    "transitProviderWebsiteURL": "https://a.example/provider",
    "eventTicket": {
        "headerFields": [
            {"key": "price", "value": 12.50, "currencyCode": "EUR", "changeMessage": "Now %@"}
        ],
        "auxiliaryFields": [{"key": "row", "value": "A", "row": 1}],
        "additionalInfoFields": [
            {"key": "starts", "value": "2030-01-31T19:00:00Z", "dateStyle": "PKDateStyleShort",
             "timeStyle": "PKDateStyleShort", "isRelative": True, "ignoresTimeZone": True}
        ],
        "backFields": [
            {"key": "web", "value": "site", "dataDetectorTypes": [],
             "attributedValue": "<a href='https://a.example'>site</a>"}
        ],
    },
    "keyOfTomorrow": [1, 2.50, "three"],
}  # fmt: skip


def changed(path, value, base=EVENT):
    told = copy.deepcopy(base)
    inner = told
    *way, last = path.split(".")
    for part in way:
        inner = inner[int(part)] if isinstance(inner, list) else inner.setdefault(part, {})
    if isinstance(inner, list):
        inner[int(last)] = value
    else:
        inner[last] = value
    return json.dumps(told).encode()


def refused(data):
    with pytest.raises(PassContentRejected) as refusal:
        read_pass_json(data)
    return refusal.value


def test_every_documented_key_is_read_typed_and_written_again():
    content = read_pass_json(json.dumps(EVENT).encode())
    assert json.loads(pass_json_bytes(content)) == EVENT
    assert content.model_extra == {"keyOfTomorrow": [1, Decimal("2.5"), "three"]}
    assert content.semantics.model_extra == {"somethingNew": {"kept": True}}
    assert content.beacons[0].proximity_uuid.startswith("F8F589E9")
    assert content.event_ticket.header_fields[0].value == Decimal("12.5")


def test_numbers_keep_their_digits_and_keys_are_sorted():
    data = changed("locations.0", {"latitude": 0, "longitude": 0}).replace(
        b'"value": 12.5', b'"value": 12.50'
    )
    written = pass_json_bytes(read_pass_json(data))
    assert b'"value":12.50' in written
    assert list(json.loads(written)) == sorted(EVENT)
    assert pass_json_bytes(read_pass_json(written)) == written


def test_what_the_writer_writes_is_read(content):
    data = build_pass_json(content())
    assert pass_json_bytes(read_pass_json(data)) == data


@pytest.mark.parametrize(
    ("name", "apples"),
    [
        ("web_service_url", "webServiceURL"),
        ("proximity_uuid", "proximityUUID"),
        ("album_ids", "albumIDs"),
        ("airline_lounge_place_id", "airlineLoungePlaceID"),
        ("passenger_airline_ssrs", "passengerAirlineSSRs"),
        ("urls", "urls"),
        ("identifier", "identifier"),
        ("purchase_additional_baggage_url", "purchaseAdditionalBaggageURL"),
        ("app_launch_url", "appLaunchURL"),
    ],
)
def test_keys_are_spelt_as_apple_spells_them(name, apples):
    assert apple_name(name) == apples


FAULTS = [
    ("formatVersion", 2, "formatVersion"),
    ("passTypeIdentifier", "com.example", "passTypeIdentifier"),
    ("organizationName", " ", "organizationName"),
    ("authenticationToken", "too-short", "authenticationToken"),
    ("backgroundColor", "blue", "backgroundColor"),
    ("backgroundColor", "rgb(256,0,0)", "backgroundColor"),
    ("expirationDate", "2030-01-31T19:00:00", "expirationDate"),
    ("expirationDate", "2030-01-31T19:00:00+0100", "expirationDate"),
    ("expirationDate", "2030-13-31T19:00:00Z", "expirationDate"),
    ("relevantDates.1.endDate", "2030-02-01T19:00:01Z", "relevantDates.1"),
    ("relevantDates.0", {}, "relevantDates.0"),
    ("locations", [{"latitude": 1, "longitude": 1}] * 11, "locations"),
    ("locations.0.latitude", 91, "locations.0.latitude"),
    ("beacons.0.major", 65536, "beacons.0.major"),
    ("beacons.0.proximityUUID", "x", "beacons.0.proximityUUID"),
    ("beacons", [{"proximityUUID": "F8F589E9-C07E-58E5-9F2C-9F2E7C3A8A31"}] * 11, "beacons"),
    ("maxDistance", 0, "maxDistance"),
    ("voided", "yes", "voided"),
    ("barcodes.0.format", "PKBarcodeFormatDots", "barcodes.0.format"),
    ("barcodes.0.message", "日本", "barcodes.0"),
    ("barcodes.1.message", "日本", "barcodes.1"),
    ("barcodes.1.messageEncoding", "utf-7", "barcodes.1"),
    ("nfc.message", "x" * 65, "nfc.message"),
    ("nfc.encryptionPublicKey", "AAAA", "nfc.encryptionPublicKey"),
    ("featuredActions", [{"identifier": "a", "type": "b"}] * 3, "featuredActions"),
    ("featuredActions.0", {"identifier": "a"}, "featuredActions.0.type"),
    ("semantics.eventType", "PKEventTypeParty", "semantics.eventType"),
    ("semantics.eventStartDate", "tomorrow", "semantics.eventStartDate"),
    ("semantics.totalPrice.amount", 12.5, "semantics.totalPrice.amount"),
    ("semantics.seats.0.seatRow", 1, "semantics.seats.0.seatRow"),
    ("semantics.flightNumber", "12", "semantics.flightNumber"),
    ("upcomingPassInformation.0.type", "film", "upcomingPassInformation.0.type"),
    ("upcomingPassInformation.0.images.headerImage.urls.0.url", "http://a.example/i.png",
     "upcomingPassInformation.0.images.headerImage.urls.0.url"),
    ("upcomingPassInformation.0.images.headerImage.urls.0.size", 2097153,
     "upcomingPassInformation.0.images.headerImage.urls.0.size"),
    ("sellURL", "javascript:alert(1)", "sellURL"),
    ("eventTicket.headerFields.0.value", "12.50", "eventTicket.headerFields.0"),
    ("eventTicket.headerFields.0.value", None, "eventTicket.headerFields.0.value"),
    ("eventTicket.headerFields.0.value", True, "eventTicket.headerFields.0.value"),
    ("eventTicket.headerFields.0.key", "row", "eventTicket.auxiliaryFields.0.key"),
    ("eventTicket.headerFields.0.textAlignment", "left", "eventTicket.headerFields.0.textAlignment"),
    ("eventTicket.additionalInfoFields.0.value", "soon", "eventTicket.additionalInfoFields.0"),
    ("eventTicket.additionalInfoFields.0.value", 5, "eventTicket.additionalInfoFields.0"),
    ("eventTicket.backFields.0.attributedValue", "<script>", "eventTicket.backFields.0.attributedValue"),
    ("eventTicket.auxiliaryFields.0.row", 2, "eventTicket.auxiliaryFields.0.row"),
    ("eventTicket.transitType", "PKTransitTypeAir", "eventTicket.transitType"),
    ("generic", {}, "style"),
    ("associatedStoreIdentifiers", [], "appLaunchURL"),
    ("barcodes", [{"format": "PKBarcodeFormatEAN13", "message": "4006381333931"}], "barcodes"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "where"), FAULTS)
def test_a_fault_names_its_path(path, value, where):
    refusal = refused(changed(path, value))
    assert refusal.field == where
    assert refusal.detail
    assert "sixteen-characters-or-more" not in str(refusal)


@pytest.mark.parametrize("missing", ["webServiceURL", "authenticationToken"])
def test_address_and_token_come_both_or_not_at_all(missing):
    told = {name: value for name, value in EVENT.items() if name != missing}
    assert refused(json.dumps(told).encode()).code == "web_service_incomplete"


def test_a_poster_needs_the_generic_style_beside_it():
    base = {name: value for name, value in STORE_CARD.items() if name != "storeCard"}
    fields = {"headerFields": [{"key": "a", "value": 1}]}
    alone = base | {"posterGeneric": fields | {"footerFields": [{"key": "f", "value": 2}]}}
    assert refused(json.dumps(alone).encode()).field == "posterGeneric"
    assert read_pass_json(json.dumps(alone | {"generic": fields}).encode()).poster_generic


def test_a_boarding_pass_needs_its_transit_type():
    base = {name: value for name, value in STORE_CARD.items() if name != "storeCard"}
    assert refused(json.dumps(base | {"boardingPass": {}}).encode()).code == "transit_type_invalid"
    air = base | {"boardingPass": {"transitType": "PKTransitTypeAir"}}
    assert read_pass_json(json.dumps(air).encode()).boarding_pass.transit_type == "PKTransitTypeAir"


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"[]", b"\xff\xfe{}", b'{"a": NaN}', b'{"a": 1, "a": 2}', b"[" * 100_000,
        b'{"a": ' + b"9" * 5_000 + b"}", b" " * 300_000,
    ],
)  # fmt: skip
def test_what_is_no_sound_json_is_refused(data):
    assert refused(data).code in {"not_json", "too_large", "model_type", "model_attributes_type"}


def test_a_complete_poster_ticket_lacks_nothing():
    images = frozenset({"artwork.png"})
    assert scheme_gaps(read_pass_json(json.dumps(EVENT).encode()), images) == []


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        ("semantics", {}, "semantics.eventName"),
        ("semantics.homeTeamAbbreviation", None, "semantics.homeTeamAbbreviation"),
        ("nfc.requiresAuthentication", False, "nfc.requiresAuthentication"),
        ("preferredStyleSchemes", ["posterEventTicket"], "preferredStyleSchemes"),
        ("logoText", "Ferry", "logoText"),
    ],
)
def test_what_a_poster_ticket_lacks_is_said(path, value, where):
    content = read_pass_json(changed(path, value))
    assert where in {gap.path for gap in scheme_gaps(content, frozenset({"artwork.png"}))}
    assert "files" in {gap.path for gap in scheme_gaps(content, frozenset())}


def test_what_a_semantic_boarding_pass_lacks_is_said():
    base = {name: value for name, value in STORE_CARD.items() if name != "storeCard"}
    told = base | {
        "boardingPass": {"transitType": "PKTransitTypeAir"},
        "preferredStyleSchemes": ["semanticBoardingPass", "boardingPass"],
        "semantics": {"airlineCode": "FE", "passengerName": {"givenName": "Zoë"}},
    }
    gaps = {gap.path for gap in scheme_gaps(read_pass_json(json.dumps(told).encode()), frozenset())}
    assert "semantics.flightNumber" in gaps
    assert not {"semantics.airlineCode", "semantics.passengerName"} & gaps


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.sampled_from(sorted(EVENT)), json_values)
@settings(max_examples=300, deadline=None)
def test_whatever_stands_under_a_key_is_read_or_refused(name, value):
    try:
        content = read_pass_json(json.dumps(EVENT | {name: value}).encode())
    except PassContentRejected:
        return
    assert isinstance(content, ApplePass)
    assert json.loads(pass_json_bytes(content)) == json.loads(json.dumps(EVENT | {name: value}))
