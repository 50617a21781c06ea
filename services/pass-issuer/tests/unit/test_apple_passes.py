"""Passes of every style: drawn, signed, and read back by a reader that shares no code with us."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from passferry_contracts.types import PassStatus
from passferry_pass_issuer.adapters.apple_examination import examiner
from passferry_pass_issuer.adapters.wallet_renderer import WalletRenderer
from passferry_pass_issuer.application.edit_templates import TemplateFile
from passferry_pass_issuer.domain.apple_linting import IdentityFacts, lint_apple
from passferry_pass_issuer.domain.apple_template import LINKS, AppleContent
from passferry_pass_issuer.domain.example_pass import example_pass
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.rendering_subject import HolderFacts
from passferry_pass_issuer.domain.template_parsing import parse_template_content
from passferry_pass_issuer.domain.value_expression import SOURCES
from passferry_testing.pass_reader import read_passes
from passferry_wallet.apple.assets import IMAGE_LIMITS
from passferry_wallet.apple.bundle import build_pkpasses
from passferry_wallet.apple.document import read_pass_json
from passferry_wallet.apple.rejections import PassContentRejected

pytestmark = pytest.mark.unit

STYLES = ["storeCard", "coupon", "eventTicket", "boardingPass", "generic", "posterGeneric"]


def told(body, **changes):
    """pass.json of the example pass."""
    return json.loads(drawn(body, **changes), parse_float=Decimal)


def drawn(body, as_version=None, **changes):
    version = as_version(body)
    subject = example_pass(version, {}, "https://passes.example/w/1")
    return WalletRenderer().render(replace(subject, **changes)).pass_json


@pytest.fixture
def tell(as_version):
    return lambda body, **changes: told(body, as_version=as_version, **changes)


@pytest.fixture
def examine(as_version):
    def look(body, names=("artwork.png",)):
        files = [TemplateFile(name=name, sha256="", sha1="a" * 40, size=1) for name in names]
        return examiner("https://passes.example")(as_version(body), files)

    return look


def test_the_page_has_an_example_of_every_style(template_examples):
    assert [each["apple"]["style"] for each in template_examples] == STYLES


def test_the_page_names_every_source_link_and_member(templates_page):
    members = {each.name for each in fields(AppleContent)} - {"max_distance_m"}
    members -= {"is_sharing_prohibited"}
    words = {*members, *SOURCES, *LINKS, *IMAGE_LIMITS, "max_distance_m", "sharing_prohibited"}
    assert {word for word in words if f"`{word}`" not in templates_page} == set()


@pytest.mark.parametrize("style", STYLES)
def test_a_pass_of_every_style_is_signed_read_back_and_rebuilt_with_the_same_bytes(
    apple_press, template_example, style
):
    # proves: A13, A15, J81 (Apple's pass format: P1, P2, P3, P4, P5, P14)
    body = template_example(style)
    data = apple_press.press(body)
    apple_press.verify_with_openssl(data)
    read = apple_press.read(body)
    assert style in read.pass_json
    assert read.files["pass.json"] == apple_press.read(body).files["pass.json"]
    assert read.files["manifest.json"] == apple_press.read(body).files["manifest.json"]
    assert {"icon.png", "icon@2x.png", "icon@3x.png"} <= read.files.keys()
    assert read.web_service_url == "https://passes.example/w/1"
    assert read_pass_json(read.files["pass.json"])


@pytest.mark.parametrize("style", STYLES)
def test_the_examples_of_the_page_lint_without_errors_and_lack_nothing(
    template_example, examine, style
):
    body = template_example(style)
    apple = parse_template_content({"apple": body["apple"]}).apple
    findings = examine(body) + lint_apple(
        apple, [], IdentityFacts(has_nfc=True, team_identifier="A", template_team="A")
    )
    images = {f"files.{role}{mark}.png" for role in ("icon", "logo") for mark in ("", "@2x", "@3x")}
    assert {each.path for each in findings if each.severity == "error"} == images
    assert not [each for each in findings if each.code == "style_scheme_incomplete"]
    assert not [each for each in findings if each.code == "key_unknown"]


def test_a_store_card_says_all_that_its_template_says(tell, template_example):
    # proves: A2, A3 (Apple's pass format: P6)
    card = tell(template_example("storeCard"))
    groups = card["storeCard"]
    assert groups["headerFields"][0] == {
        "key": "points", "label": "POINTS", "value": 12,
        "changeMessage": "You have %@ points", "textAlignment": "PKTextAlignmentRight",
    }  # fmt: skip
    assert groups["auxiliaryFields"][0]["dateStyle"] == "PKDateStyleMedium"
    assert groups["backFields"][1]["attributedValue"].startswith("<a href=")
    assert groups["backFields"][1]["dataDetectorTypes"] == ["PKDataDetectorTypeLink"]
    assert [each["format"] for each in card["barcodes"]] == [
        "PKBarcodeFormatCode128", "PKBarcodeFormatQR",
    ]  # fmt: skip
    assert card["beacons"][0]["major"] == 1
    assert card["maxDistance"] == 200
    assert card["appLaunchURL"] == "cafe-ferry://card"
    assert card["userInfo"] == {"card": "example-1"}
    assert card["semantics"] == {"membershipProgramName": "Café card"}


def test_a_poster_ticket_says_what_it_means(tell, template_example):
    # proves: A16 (Apple's pass format: P11)
    ticket = tell(template_example("eventTicket"))
    assert ticket["preferredStyleSchemes"] == ["posterEventTicket", "eventTicket"]
    moment = "2030-01-01T12:00:00Z"
    assert ticket["relevantDates"] == [{"date": moment, "relevantDate": moment}]
    assert ticket["relevantDate"] == "2030-01-01T12:00:00Z"
    assert ticket["nfc"]["requiresAuthentication"] is True
    assert ticket["semantics"]["seats"] == [
        {"seatSection": "N", "seatRow": "7", "seatNumber": "12"}
    ]
    assert ticket["semantics"]["totalPrice"] == {"amount": "12.34", "currencyCode": "EUR"}
    assert ticket["sellURL"] == "https://example.com/sell/1"
    assert ticket["directionsInformationURL"] == "https://example.com/way"
    assert ticket["eventTicket"]["auxiliaryFields"][0]["row"] == 0
    assert ticket["upcomingPassInformation"][0]["type"] == "event"


def test_what_a_pass_has_no_value_for_is_left_out_with_the_object_that_was_all_of_it(
    tell, template_example
):
    ticket = tell(template_example("eventTicket"), field_values={"starts": "2030-01-01T12:00:00Z"})
    assert ticket["semantics"]["seats"] == []
    assert "sellURL" not in ticket
    assert ticket["semantics"]["eventName"] == "Ferry against Tug"


def test_a_number_where_apple_wants_a_text_is_written_as_one(tell, template_example):
    example = template_example("eventTicket")
    seats = {"starts": "2030-01-01T12:00:00Z", "seat": 12, "row": 7, "block": True}
    ticket = tell(example, field_values=seats)
    said = [value for seat in ticket["semantics"]["seats"] for value in seat.values()]
    assert said
    assert all(isinstance(value, str) for value in said)
    read_pass_json(json.dumps(ticket, default=float).encode())
    # Where it wants a number, it stays one.
    assert tell(template_example("boardingPass"))["semantics"]["flightNumber"] == 123


def test_a_semantic_boarding_pass_has_numbers_dates_and_names(tell, template_example):
    flight = tell(template_example("boardingPass"))
    assert flight["boardingPass"]["transitType"] == "PKTransitTypeAir"
    assert flight["semantics"]["flightNumber"] == 123
    assert flight["semantics"]["originalDepartureDate"] == "2030-01-31T12:00:00+01:00"
    assert flight["semantics"]["passengerName"] == {"givenName": "Zoë", "familyName": "Hafen"}
    assert flight["relevantDates"] == [
        {"startDate": "2030-01-31T11:20:00+01:00", "endDate": "2030-01-31T15:00:00Z"}
    ]
    bags = flight["boardingPass"]["auxiliaryFields"][1]
    assert (bags["value"], bags["numberStyle"]) == (1, "PKNumberStyleDecimal")
    assert flight["transitProviderPhoneNumber"] == "+49 40 000000"


def test_a_poster_has_its_twin_and_its_new_barcode_a_fallback(tell, template_example):
    # Apple's pass format: P9, P10
    poster = tell(template_example("posterGeneric"))
    assert poster["posterGeneric"].keys() == {"headerFields", "primaryFields", "footerFields"}
    assert poster["generic"].keys() == {"headerFields", "primaryFields", "secondaryFields"}
    assert [each["format"] for each in poster["barcodes"]] == [
        "PKBarcodeFormatEAN13", "PKBarcodeFormatQR",
    ]  # fmt: skip
    assert poster["barcode"]["format"] == "PKBarcodeFormatQR"
    assert poster["featuredActions"][0]["type"] == "membershipBenefits"


# The document


def with_document(template_example, **document):
    body = template_example("generic")
    return body | {"apple": body["apple"] | {"document": document}}


def test_a_document_is_merged_under_what_the_members_say(tell, template_example):
    body = with_document(
        template_example,
        logoText="not this one",
        keyOfTomorrow={"deep": [{"source": "holder.full_name"}, {"source": "field.none"}]},
        generic={"auxiliaryFields": [{"key": "extra", "value": {"source": "balance"}}],
                 "primaryFields": []},
        userInfo={"source": "elsewhere", "n": 1.5},
    )  # fmt: skip
    badge = tell(body, field_values={})
    assert badge["logoText"] == "Ferry Works"
    assert badge["keyOfTomorrow"] == {"deep": ["Zoë O'Hara"]}
    assert badge["generic"]["auxiliaryFields"] == [{"key": "extra", "value": Decimal("12.34")}]
    assert badge["generic"]["primaryFields"][0]["key"] == "name"
    assert badge["userInfo"] == {"source": "elsewhere", "n": Decimal("1.5")}


SIGNS = st.characters(blacklist_categories=["Cs"])
TEXTS = st.text(SIGNS, max_size=300) | st.sampled_from(
    [
        '"quoted" \\ and \n lines',
        "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd",
        "\u200fRTL\u200e",
        "\U0001f469\u200d\U0001f469\u200d\U0001f467",
        "x" * 8_000,
        "\u202eevil",
        "a\r\nb",
    ]
)

expressions = st.fixed_dictionaries(
    {"source": st.sampled_from(["balance", "holder.full_name", "field.a", "pass.expires_at"])},
    optional={
        "default": st.integers(-5, 5) | st.text(max_size=5),
        "format": st.sampled_from(["text", "integer", "decimal", "currency", "date"]),
    },
)
pieces = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | expressions,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["semantics", "generic", "backFields", "key", "value", "url", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["semantics", "generic", "userInfo", "x"]), pieces), TEXTS)
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_a_document_holds_is_drawn_as_json_or_refused(
    tell, template_example, document, text
):
    body = with_document(template_example, **document)
    try:
        card = tell(body, field_values={"a": text})
    except ContentRejected:
        return
    assert card["serialNumber"] == "example-serial-number-1"
    assert card["generic"]["primaryFields"][0]["key"] == "name"


def test_one_pass_leaves_no_trace_in_the_next(tell, template_example, as_version):
    body = with_document(
        template_example, semantics={"a": {"source": "field.a"}}, userInfo={"b": 1}
    )
    body["apple"]["semantics"] = {"eventName": "Constant"}
    version, renderer = as_version(body), WalletRenderer()
    subject = example_pass(version, {}, "https://passes.example/w/1")
    first = renderer.render(subject).pass_json
    renderer.render(replace(subject, field_values={"a": "other"}))
    assert renderer.render(subject).pass_json == first == WalletRenderer().render(subject).pass_json
    without = json.loads(renderer.render(replace(subject, field_values={})).pass_json)
    assert without["semantics"] == {"eventName": "Constant"}


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ({"serialNumber": "x"}, "apple.document.serialNumber"),
        ({"authenticationToken": "x"}, "apple.document.authenticationToken"),
        ({"webServiceURL": "https://evil.example"}, "apple.document.webServiceURL"),
        ({"passTypeIdentifier": "pass.other"}, "apple.document.passTypeIdentifier"),
        ({"voided": False}, "apple.document.voided"),
        ({"barcodes": []}, "apple.document.barcodes"),
        ({"nfc": {}}, "apple.document.nfc"),
        ({"coupon": {}}, "apple.document.coupon"),
        ({"a": {"source": "field.__class__"}}, "apple.document.a.source"),
        ({"a": "x\x00"}, "apple.document.a"),
        ({"a": "x" * 8193}, "apple.document.a"),
        ({"a": 2**63}, "apple.document.a"),
        ({"a": float("nan")}, "apple.document.a"),
    ],
)
def test_what_a_document_may_not_say_is_refused_with_its_path(template_example, document, where):
    body = with_document(template_example, **document)
    with pytest.raises(ContentRejected) as refused:
        parse_template_content({"apple": body["apple"]})
    assert refused.value.field == where


def test_a_document_is_bounded_in_depth_and_parts(template_example):
    deep = {}
    for _ in range(50):
        deep = {"a": deep}
    for document in ({"a": deep}, {"a": [1] * 5_000}):
        with pytest.raises(ContentRejected, match="12 deep"):
            parse_template_content({"apple": with_document(template_example, **document)["apple"]})


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ({"semantics": {"eventType": "PKEventTypeParty"}}, "pass.json.semantics.eventType"),
        ({"semantics": {"flightNumber": {"source": "field.n"}}},
         "apple.document.semantics.flightNumber"),
        ({"semantics": {"flightNumber": {"source": "holder.full_name", "format": "integer"}}},
         "apple.document.semantics.flightNumber"),
        ({"relevantDate": {"source": "holder.full_name", "format": "date"}},
         "apple.document.relevantDate"),
        ({"sellURL": {"source": "holder.full_name"}}, "apple.document.sellURL"),
        ({"sellURL": "javascript:alert(1)"}, "pass.json.sellURL"),
        ({"featuredActions": [{"identifier": "a", "type": "b"}] * 3}, "pass.json.featuredActions"),
        ({"generic": {"backFields": [
            {"key": "k", "value": "v", "attributedValue": {"source": "field.markup"}}]}},
         "apple.document.generic.backFields.0.attributedValue"),
    ],
)  # fmt: skip
def test_an_example_that_devices_would_refuse_is_an_error_with_its_path(
    template_example, examine, document, where
):
    # Apple's pass format: P11
    body = with_document(template_example, **document)
    body["apple"]["example_values"] = {"markup": "<script>alert(1)</script>", "n": "12"}
    assert [(each.severity, each.path) for each in examine(body)] == [("error", where)]


def test_a_key_that_apple_does_not_document_is_kept_and_doubted(template_example, examine):
    found = examine(with_document(template_example, keyOfTomorrow=1))
    assert [(each.severity, each.path) for each in found] == [
        ("warning", "pass.json.keyOfTomorrow")
    ]


def test_a_newer_look_that_lacks_something_is_doubted(template_example, examine):
    body = template_example("eventTicket")
    del body["apple"]["semantics"]["venueName"]
    found = examine(body, names=())
    assert {each.path for each in found} == {"pass.json.semantics.venueName", "pass.json.files"}


# Life, dates and relevance


@pytest.mark.parametrize("status", [each for each in PassStatus if each is not PassStatus.ACTIVE])
def test_a_pass_of_any_style_that_ended_has_nothing_that_readers_take(
    tell, template_example, status
):
    # proves: A4
    assert "nfc" in tell(template_example("eventTicket"))
    for style in STYLES:
        card = tell(template_example(style), status=status)
        assert card["voided"] is True
        assert not {"barcode", "barcodes", "nfc"} & card.keys()


def test_an_interval_of_more_than_a_day_is_refused(tell, template_example):
    body = template_example("boardingPass")
    body["apple"]["example_values"]["arrival"] = "2030-02-01T11:20:01+01:00"
    with pytest.raises(ContentRejected) as refused:
        tell(body)
    assert refused.value.field == "relevant_dates.0"


def test_a_date_that_is_none_is_refused_where_devices_need_one(tell, template_example):
    body = template_example("boardingPass")
    body["apple"]["example_values"]["boarding"] = "soon"
    with pytest.raises(ContentRejected) as refused:
        tell(body)
    assert refused.value.field.startswith("apple.")


def test_a_template_says_when_its_passes_end():
    now = datetime(2026, 5, 14, 12, tzinfo=UTC)
    base = {"style": "coupon", "organization_name": "a", "description": "b"}
    after = parse_template_content({"apple": base | {"expires_after_days": 30}})
    fixed = parse_template_content({"apple": base | {"expires_at": "2030-01-31T12:00:00+01:00"}})
    assert after.expiry_of(now) == now + timedelta(days=30)
    assert fixed.expiry_of(now) == datetime(2030, 1, 31, 11, tzinfo=UTC)
    assert parse_template_content({"apple": base}).expiry_of(now) is None


@pytest.mark.parametrize(
    ("apple", "where"),
    [
        ({"style": "boardingPass"}, "apple.transit_type"),
        ({"transit_type": "Air"}, "apple.transit_type"),
        ({"preferred_style_schemes": ["shiny"]}, "apple.preferred_style_schemes"),
        ({"barcodes": [{"format": "qr"}] * 5}, "apple.barcodes"),
        ({"barcodes": [{"format": "qr"}], "barcode": {"format": "qr"}}, "apple.barcode"),
        ({"beacons": [{"major": 1}]}, "apple.beacons.0.proximity_uuid"),
        ({"beacons": [{"proximity_uuid": "x"}]}, "apple.beacons.0.proximity_uuid"),
        ({"relevant_dates": [{"start": "2030-01-01T00:00Z"}]}, "apple.relevant_dates.0.end"),
        ({"nfc": {"message": "x"}}, "apple.nfc.encryption_public_key"),
        ({"max_distance_m": 0}, "apple.max_distance_m"),
        ({"featured_actions": [{"identifier": "a", "type": "b"}] * 3}, "apple.featured_actions"),
        ({"links": {"sell": "https://a.example"}}, "apple.links.sell"),
        ({"associated_store_identifiers": ["1"]}, "apple.associated_store_identifiers"),
        ({"expires_after_days": 0}, "apple.expires_after_days"),
        ({"expires_at": "2030-01-01T00:00:00"}, "apple.expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-14:00"}, "apple.expires_at"),
        ({"expires_after_days": 1, "expires_at": "2030-01-01T00:00Z"}, "apple.expires_at"),
        ({"strings": {"../de": {}}}, "apple.strings"),
        ({"strings": {"de\n": {}}}, "apple.strings"),
        ({"strings": {"de": {"a": 1}}}, "apple.strings.de.a"),
        ({"strings": {f"a{chr(97 + n // 26)}{chr(97 + n % 26)}": {} for n in range(31)}},
         "apple.strings"),
        ({"semantics": []}, "apple.semantics"),
        ({"document": {"source": "balance"}}, "apple.document"),
        ({"example_values": {"a": []}}, "apple.example_values.a"),
        ({"fields": {"auxiliary": [{"key": "a", "value": "b", "row": 2}]}},
         "apple.fields.auxiliary.0.row"),
        ({"fields": {"back": [{"key": "a", "value": "b", "data_detectors": ["Smell"]}]}},
         "apple.fields.back.0.data_detectors"),
        ({"fields": {"back": [{"key": "a", "value": "b", "number_style": "Roman"}]}},
         "apple.fields.back.0.number_style"),
    ],
)  # fmt: skip
def test_a_fault_of_the_newer_members_names_its_path(apple, where):
    base = {"style": "coupon", "organization_name": "a", "description": "b"}
    with pytest.raises(ContentRejected) as refused:
        parse_template_content({"apple": base | apple})
    assert refused.value.field == where


# Translations and bundles


def test_translations_are_files_that_devices_read(apple_press, template_example):
    # Apple's pass format: P8
    read = apple_press.read(template_example("storeCard"))
    assert read.strings["de"]["You have %@ points"] == "Du hast %@ Punkte"
    assert read.strings["de"].keys() == read.strings["fr"].keys()
    assert "de.lproj/logo.png" in read.files


translations = st.dictionaries(
    st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=30),
    st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"), max_size=60),
    max_size=8,
)


@given(translations)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_translation_comes_back_as_it_was(apple_press, template_example, told):
    # Apple's pass format: P8
    told = {
        key: value for key, value in told.items()
        if not any(ord(sign) < 32 and sign not in "\t\n" for sign in value) and "\x7f" not in value
    }  # fmt: skip
    body = template_example("generic")
    body["apple"]["strings"] = {"de": told}
    assert apple_press.read(body).strings["de"] == told


def test_a_bundle_of_passes_holds_one_to_ten(apple_press, template_example):
    # Apple's pass format: P13
    data = apple_press.press(template_example("coupon"))
    passes = read_passes(build_pkpasses([data] * 10), root_pem=apple_press.root_pem)
    assert len(passes) == 10
    for count in (0, 11):
        with pytest.raises(PassContentRejected):
            build_pkpasses([data] * count)
    with pytest.raises(PassContentRejected, match="too_large"):
        build_pkpasses([bytes(16 * 1024 * 1024)] * 10)


# Properties: what is written is what is read

#: What is taken out of texts, because it hides or turns what people read.
HIDDEN = {*map(chr, (*range(9), *range(11, 32), *range(127, 160))), "\ufeff",
          *map(chr, range(0x2028, 0x202F)), *map(chr, range(0x2066, 0x206A))}  # fmt: skip


def seen(text):
    return "".join(sign for sign in text.replace("\r\n", "\n") if sign not in HIDDEN)


@given(TEXTS)
@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_text_is_read_back_as_people_see_it(apple_press, template_example, text):
    # Apple's pass format: P8
    holder = HolderFacts(holder_id=example_holder(), full_name=text)
    read = apple_press.read(template_example("generic"), holder=holder)
    assert read.fields["name"] == (seen(text) if text else "Visitor")


def example_holder():
    from uuid import UUID

    return UUID(int=1)


def test_a_text_of_ten_thousand_characters_is_refused_with_its_field(tell, template_example):
    holder = HolderFacts(holder_id=example_holder(), full_name="x" * 10_000)
    with pytest.raises(ContentRejected) as refused:
        tell(template_example("generic"), holder=holder)
    assert refused.value.field == "fields.name"


@given(st.integers(-(2**63) + 1, 2**63 - 1), st.integers(0, 6))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_amount_is_read_back_exactly(tell, template_example, amount, scale):
    # proves: A1, A22 (Apple's pass format: P6)
    [field] = tell(template_example("coupon"), balance_minor=amount, unit_scale=scale)["coupon"][
        "primaryFields"
    ]
    assert Decimal(field["value"]) == Decimal(amount).scaleb(-scale)
    assert field["currencyCode"] == "EUR"


zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(
    min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1), timezones=zones
)


@given(moments)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_moment_keeps_its_zone(apple_press, template_example, moment):
    # proves: A16 (Apple's pass format: P7)
    moment = moment.replace(microsecond=0)
    read = apple_press.read(template_example("coupon"), expires_at=moment)
    told = read.pass_json["expirationDate"]
    assert datetime.fromisoformat(told) == moment
    assert datetime.fromisoformat(told).utcoffset() == moment.utcoffset()
    assert datetime.fromisoformat(read.fields["until"]) == moment


@pytest.mark.parametrize("style", STYLES)
def test_a_bare_pass_of_any_style_ended_and_shows_nothing_of_its_own(
    template_example, as_version, style
):
    # proves: J93
    version = as_version(template_example(style))
    example = example_pass(version, {}, "https://passes.example/w/1")
    subject = replace(example, status=PassStatus.DELETED)
    told = json.loads(WalletRenderer().render_bare(subject).pass_json)
    assert told["voided"] is True
    assert (told["serialNumber"], "authenticationToken" in told) == (subject.serial_number, True)
    assert not {"barcode", "barcodes", "nfc", "expirationDate"} & told.keys()
    left = json.dumps(told, ensure_ascii=False)
    personal = (subject.holder.full_name, subject.holder.email, subject.code, subject.external_id)
    assert not [each for each in personal if each in left]
    read_pass_json(json.dumps(told).encode())
