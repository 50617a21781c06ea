"""The examples of docs/google-passes.md, whole, against Google's own description of its API.

proves: A22, C10, J86
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passferry_contracts.types import PassStatus, Protocol
from passferry_pass_issuer.adapters.google_classes import WalletGoogleClasses
from passferry_pass_issuer.adapters.wallet_renderer import WalletRenderer
from passferry_pass_issuer.domain.example_pass import example_pass
from passferry_pass_issuer.domain.google_linting import lint_google
from passferry_pass_issuer.domain.google_states import google_state
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.template_checks import TemplateVersion, check_publishable
from passferry_pass_issuer.domain.template_parsing import parse_template_content
from passferry_testing.google_simulator.catalogue import TYPES
from passferry_testing.google_simulator.discovery import load_discovery
from passferry_testing.google_simulator.simulator import GoogleSimulator
from passferry_wallet.google.objects import VERTICALS, told
from passferry_wallet.google.taking_back import taking_back

pytestmark = pytest.mark.unit

PAGE = Path(__file__).parents[4] / "docs/google-passes.md"
ISSUER = "3388000000012345678"
NOW = datetime(2026, 5, 14, 12, tzinfo=UTC)
ENDS = [
    (PassStatus.ACTIVE, None, "ACTIVE"),
    (PassStatus.VOIDED, "exhausted", "COMPLETED"),
    (PassStatus.VOIDED, "used", "COMPLETED"),
    (PassStatus.VOIDED, "redeemed", "COMPLETED"),
    (PassStatus.VOIDED, "fraud", "INACTIVE"),
    (PassStatus.VOIDED, "erased", "INACTIVE"),
    (PassStatus.VOIDED, None, "INACTIVE"),
    (PassStatus.VOIDED, "expired", "EXPIRED"),
    (PassStatus.EXPIRED, None, "EXPIRED"),
    (PassStatus.DELETED, "used", "INACTIVE"),
]


def examples():
    blocks = re.findall(
        r"^### (\w+)\n\n```json\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    return {name: json.loads(block) for name, block in blocks}


EXAMPLES = examples()
verticals = pytest.mark.parametrize("vertical", sorted(EXAMPLES))


def version_of(vertical, /, **changes) -> TemplateVersion:
    example = EXAMPLES[vertical]
    content = {"google": example["google"] | changes}
    return TemplateVersion(
        workspace_id=UUID(int=1),
        template_id=UUID(int=4),
        template_version=1,
        status="draft",
        name="Example",
        platform="google",
        protocol=Protocol(example["protocol"]),
        pass_type_identifier=None,
        team_identifier=None,
        google_issuer_id=ISSUER,
        raw_content=content,
        content=parse_template_content(content),
        created_at=NOW,
        updated_at=NOW,
        published_at=None,
    )


def subject_of(version, **changes):
    return replace(example_pass(version, {}, "https://passes.example/w/1"), **changes)


CLASSES = WalletGoogleClasses("https://passes.example")
RENDERER = WalletRenderer()


def drawn(version, **changes):
    return RENDERER.render(subject_of(version, **changes)).google_object


def classes_of(version):
    return [CLASSES.class_body(version), *CLASSES.tier_class_bodies(version)]


def schema(vertical, kind):
    return f"{vertical[0].upper()}{vertical[1:]}{kind}"


def violations(vertical, kind, body):
    return load_discovery().violations(schema(vertical, kind), body, complete=True)


def refused(vertical, /, **changes):
    with pytest.raises(ContentRejected) as refusal:
        version = version_of(vertical, **changes)
        classes_of(version)
        CLASSES.check_object(version, drawn(version))
    return refusal.value.field


# Every vertical


def test_there_is_an_example_of_every_vertical():
    assert EXAMPLES.keys() == VERTICALS


@verticals
def test_classes_and_objects_are_what_google_describes(vertical):
    version = version_of(vertical)
    check_publishable(version, ())
    assert version.google_vertical == vertical
    for body in classes_of(version):
        assert violations(vertical, "Class", body) == []
    body = drawn(version)
    CLASSES.check_object(version, body)
    assert violations(vertical, "Object", body) == []
    assert violations(vertical, "Object", told(body)) == []


@verticals
@pytest.mark.parametrize(("status", "reason", "state"), ENDS)
def test_every_state_of_every_vertical_is_what_google_describes(vertical, status, reason, state):
    # proves: A26, J93
    version = version_of(vertical)
    body = drawn(version, status=status, status_reason=reason)
    assert body["state"] == state == google_state(status, reason)
    assert violations(vertical, "Object", body) == []
    CLASSES.check_object(version, body)
    doors = {"barcode", "rotatingBarcode", "smartTapRedemptionValue"} & body.keys()
    assert doors
    assert all((body[door] is not None) == (state == "ACTIVE") for door in doors)


@verticals
def test_the_strict_simulator_takes_every_class_object_and_change(vertical):
    version = version_of(vertical)
    catalogue = GoogleSimulator().catalogue
    kinds = [TYPES[schema(vertical, kind).lower()] for kind in ("Class", "Object")]
    for body in classes_of(version):
        catalogue.insert(kinds[0], body, issuer_id=ISSUER)
        catalogue.patch(kinds[0], body["id"], body, issuer_id=ISSUER)
    body = drawn(version)
    held = catalogue.insert(kinds[1], body, issuer_id=ISSUER)
    for status, reason, state in ENDS:
        change = drawn(version, status=status, status_reason=reason)
        catalogue.patch(kinds[1], body["id"], change, issuer_id=ISSUER)
        assert held.body["state"] == state
        assert ("barcode" in held.body) == (state == "ACTIVE")


@verticals
def test_what_a_pass_loses_is_lost_at_google_too(vertical):
    version = version_of(vertical)
    catalogue = GoogleSimulator().catalogue
    kinds = [TYPES[schema(vertical, kind).lower()] for kind in ("Class", "Object")]
    for body in classes_of(version):
        catalogue.insert(kinds[0], body, issuer_id=ISSUER)
    catalogue.insert(kinds[1], drawn(version), issuer_id=ISSUER)
    bare = drawn(version, field_values={}, expires_at=None)
    held = catalogue.patch(kinds[1], bare["id"], bare, issuer_id=ISSUER)
    assert without_empty(held.body) == without_empty(told(bare))


def without_empty(node):
    if isinstance(node, dict):
        kept = {name: without_empty(value) for name, value in node.items()}
        return {name: value for name, value in kept.items() if value != {}}
    return node


_zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
_scalars = st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.text(max_size=60)


@verticals
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_whatever_a_pass_holds_is_drawn_as_google_describes_it_or_refused(vertical, data):
    version = version_of(vertical)
    names = sorted(version.content.field_names())
    values = data.draw(st.fixed_dictionaries(dict.fromkeys(names, _scalars)))
    holder = replace(
        subject_of(version).holder, full_name=data.draw(st.none() | st.text(max_size=200))
    )
    try:
        body = drawn(
            version,
            field_values=values,
            holder=holder,
            balance_minor=data.draw(st.integers(-(2**63) + 1, 2**63 - 1)),
            unit_scale=data.draw(st.integers(0, 6)),
            expires_at=data.draw(st.none() | st.datetimes(timezones=_zones)),
            status=data.draw(st.sampled_from(list(PassStatus))),
        )
    except ContentRejected as refusal:
        assert refusal.field.startswith("google.object.")  # noqa: PT017  # either is right
        return
    assert violations(vertical, "Object", body) == []
    CLASSES.check_object(version, body)


# One example in all its parts


def test_the_named_members_of_a_loyalty_card_arrive():
    version = version_of("loyalty")
    plain, silver, gold = classes_of(version)
    assert plain["localizedProgramName"] == {
        "defaultValue": {"language": "en", "value": "Ferry Points"},
        "translatedValues": [{"language": "de", "value": "Fährpunkte"}],
    }
    assert [each["rewardsTier"] for each in (plain, silver, gold)] == ["Basic", "Silver", "Gold"]
    assert [each["hexBackgroundColor"] for each in (silver, gold)] == ["#143c5a", "#d4af37"]
    assert gold["securityAnimation"] == {"animationType": "FOIL_SHIMMER"}
    assert gold["id"] == f"{plain['id']}-gold"
    assert [each["id"] for each in plain["linksModuleData"]["uris"]] == ["shop", "call"]
    assert plain["messages"][0]["messageType"] == "TEXT"
    assert plain["reviewStatus"] == "UNDER_REVIEW"
    assert plain["redemptionIssuers"] == [ISSUER]
    body = drawn(version, tier="Gold", field_values={"stamps": 7, "page": "https://a.example/"})
    assert body["classId"] == gold["id"]
    assert body["secondaryLoyaltyPoints"] == {"label": "Stamps", "balance": {"int": 7}}
    assert body["loyaltyPoints"]["balance"] == {"string": "12.34"}
    assert body["linksModuleData"]["uris"][0]["uri"] == "https://a.example/"
    assert body["passConstraints"] == {
        "screenshotEligibility": "INELIGIBLE",
        "nfcConstraint": ["BLOCK_PAYMENT"],
    }
    assert body["disableExpirationNotification"] is False
    assert body["groupingInfo"] == {"groupingId": "Example", "sortIndex": None}
    assert body["rotatingBarcode"] is None
    keyed = drawn(version, field_values={"totp_key": "a1b2"})["rotatingBarcode"]["totpDetails"]
    assert keyed["parameters"] == [{"key": "a1b2", "valueLength": 8}]
    assert [each["id"] for each in body["textModulesData"]] == ["terms"]


def test_what_the_named_members_say_wins_over_a_piece_and_lists_are_joined():
    version = version_of(
        "giftCard",
        text_modules=[{"key": "mine", "header": "Mine", "body": "1"}],
        object={
            "cardNumber": "never",
            "textModulesData": [{"id": "piece", "header": "Piece", "body": "2"}],
        },
    )
    body = drawn(version)
    assert body["cardNumber"] == "EXAMPLE0001"
    assert [each["id"] for each in body["textModulesData"]] == ["mine", "piece"]


def test_a_draft_that_is_changed_under_the_same_number_is_drawn_anew():
    first, second = version_of("generic"), version_of("generic", title="Another")
    titles = [drawn(each)["cardTitle"]["defaultValue"]["value"] for each in (first, second, first)]
    assert titles == ["Library card", "Another", "Library card"]


# What is refused, and where


@pytest.mark.parametrize(
    ("vertical", "changes", "where"),
    [
        ("loyalty", {"vertical": "parking"}, "google.vertical"),
        ("loyalty", {"title": {"text": "x", "translations": {"klingon!": "y"}}},
         "google.title.translations"),
        ("loyalty", {"title": {"text": "x", "other": 1}}, "google.title.other"),
        ("loyalty", {"locations": [{"latitude": 1, "longitude": 1}] * 11}, "google.locations"),
        ("loyalty", {"locations": [{"latitude": 91, "longitude": 1}]},
         "google.locations.0.latitude"),
        ("loyalty", {"barcode": {"format": "dots"}}, "google.barcode.format"),
        ("loyalty", {"class": {"id": "3388000000012345678.stolen"}}, "google.class.id"),
        ("loyalty", {"class": {"callbackOptions": {"url": "https://evil.example"}}},
         "google.class.callbackOptions"),
        ("loyalty", {"object": {"classId": "1.x"}}, "google.object.classId"),
        ("loyalty", {"object": {"state": "ACTIVE"}}, "google.object.state"),
        ("loyalty", {"object": {"notifyPreference": "NOTIFY_ON_UPDATE"}},
         "google.object.notifyPreference"),
        ("loyalty", {"object": {"hasUsers": True}}, "google.object.hasUsers"),
        ("loyalty", {"class": {"accountIdLabel": {"source": "pass.code"}}},
         "google.class.accountIdLabel"),
        ("loyalty", {"class": {"accountIdLabel": None}}, "google.class.accountIdLabel"),
        ("loyalty", {"object": {"accountName": {"source": "holder.password"}}},
         "google.object.accountName.source"),
        ("loyalty", {"object": {"a" * 65: 1}}, "google.object"),
        ("loyalty", {"logo_url": None}, "google.class.programLogo"),
        ("loyalty", {"notifications": {"expiry": True}}, "google.object.notifications"),
        ("loyalty", {"links": [{"key": "x", "address": "javascript:alert(1)",
                                "description": "x"}]}, "google.class.linksModuleData.uris.0.uri"),
        ("loyalty", {"app_link": {"display_text": "x"}}, "google.app_link.web_uri"),
        ("loyalty", {"smart_tap": {"redemption_issuers": ["x"]}},
         "google.smart_tap.redemption_issuers"),
        ("loyalty", {"rotating_barcode": {"format": "qr", "value_pattern": "x"}},
         "google.rotating_barcode.value_pattern"),
        ("loyalty", {"rotating_barcode": {"format": "qr", "value_pattern": "{totp_value_0}",
                                          "keys": [{"value": "secret"}]}},
         "google.rotating_barcode.keys"),
        ("loyalty", {"tiers": {"source": {"source": "pass.tier"}, "levels": []}},
         "google.tiers.levels"),
        ("loyalty", {"tiers": {"source": {"source": "pass.tier"},
                               "levels": [{"key": "a b", "value": "x"}]}},
         "google.tiers.levels.0.key"),
        ("loyalty", {"tiers": {"source": {"source": "pass.tier"},
                               "levels": [{"key": "a", "value": "x", "class": {"seats": 1}}]}},
         "google.tiers.a.class.seats"),
        ("offer", {"rewards_tier": "Gold"}, "google.class.rewardsTier"),
        ("offer", {"secondary_balance": {"label": "x", "value": "1"}},
         "google.object.secondaryLoyaltyPoints"),
        ("offer", {"text_modules": [{"key": "balance", "header": "x", "body": "y"}]},
         "google.object.textModulesData"),
        ("flight", {"class": {}}, "google.class.destination"),
        ("flight", {"object": {"seatInfo": {"seat": "1"}}}, "google.object.seatInfo"),
        ("transit", {"object": {}, "valid_from": None}, "google.object.tripType"),
        ("transit", {"object": {"tripType": "ROUND"}}, "google.object.tripType"),
        ("eventTicket", {"object": {"seatInfo": {"seats": "1"}}}, "google.object.seatInfo.seats"),
        ("eventTicket", {"class": {"venue": {"name": "x"}}}, "google.class.venue.address"),
        ("giftCard", {"balance_format": "integer", "object": {"balance": {"micros": 5}}}, "google.object.balance.micros"),
        ("generic", {"object": {"genericType": {"source": "field.kind"}}},
         "google.object.genericType"),
    ],
)  # fmt: skip
def test_a_fault_is_named_by_its_path(vertical, changes, where):
    assert refused(vertical, **changes) == where


def test_pieces_are_bounded():
    deep: dict = {}
    for _ in range(50):
        deep = {"a": deep}
    assert refused("loyalty", object=deep).startswith("google.object.a")
    wide = {"textModulesData": [{"id": str(number)} for number in range(2_000)]}
    assert refused("loyalty", object=wide).startswith("google.object.textModulesData")


_pieces = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["source", "default", "format", "barcode", "type", "value", "loyaltyPoints",
                 "balance", "int", "textModulesData", "heroImage", "validTimeInterval", "end"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(piece=st.dictionaries(st.sampled_from(["barcode", "loyaltyPoints", "heroImage"]), _pieces))
def test_whatever_piece_is_given_is_drawn_as_google_describes_it_or_refused(piece):
    try:
        version = version_of("loyalty", object=piece)
        body = drawn(version)
        CLASSES.check_object(version, body)
    except ContentRejected:
        return
    assert violations("loyalty", "Object", body) == []


# The linter


def findings(vertical, /, **changes):
    version = version_of(vertical, **changes)
    return lint_google(version.content.google, version.google_vertical)


@verticals
def test_the_examples_have_no_errors(vertical):
    assert [each for each in findings(vertical) if each.severity == "error"] == []


@pytest.mark.parametrize(
    ("vertical", "changes", "severity", "path", "code"),
    [
        ("loyalty", {"logo_url": None}, "error", "google.logo_url", "required"),
        ("flight", {"class": {}}, "error", "google.class.origin", "required"),
        ("transit", {"object": {}}, "error", "google.object.tripType", "required"),
        ("transit", {"logo_url": None}, "error", "google.logo_url", "required"),
        ("loyalty", {"balance_label": "Bonus points"}, "warning", "google.balance_label",
         "too_long"),
        ("loyalty", {"rewards_tier": "Platinum"}, "warning", "google.rewards_tier", "too_long"),
        ("loyalty", {"rewards_tier": {"text": "Gold", "translations": {"de": "Goldener Kunde"}}},
         "warning", "google.rewards_tier.translations.de", "too_long"),
        ("loyalty", {"account_id": "x" * 21}, "warning", "google.account_id", "too_long"),
        ("loyalty", {"logo_url": "http://passes.example/logo.png"}, "warning",
         "google.class.programLogo", "image_not_https"),
        ("loyalty", {"title": {"text": "x", "translations": {"en": "x"}}}, "warning",
         "google.title.translations.en", "duplicate"),
        ("loyalty", {"barcode": None, "rotating_barcode": None, "smart_tap": None}, "warning",
         "google.barcode", "barcode_missing"),
        ("loyalty", {"notifications": {"expiry": True}}, "error", "google.notifications",
         "unknown"),
        ("loyalty", {"class": {"wordMark": "https://a.example/x.png"}}, "warning",
         "google.class.wordMark", "deprecated"),
        ("loyalty", {"class": {"imageModulesData": [{"id": "2"}]}}, "warning",
         "google.class.imageModulesData", "too_many_shown"),
        ("loyalty", {"object": {"merchantLocations": [{"latitude": 1.0, "longitude": 1.0}] * 10}},
         "error", "google.object.merchantLocations", "too_many"),
        ("loyalty", {"class": {"valueAddedModuleData": [{"header": "x" * 61}]}}, "warning",
         "google.class.valueAddedModuleData.0.header", "too_long"),
        ("offer", {"holders_allowed": "MULTIPLE_HOLDERS"}, "warning", "google.holders_allowed",
         "shared_value"),
        ("offer", {"logo_url": None}, "warning", "google.logo_url", "logo_missing"),
        ("generic", {"notifications": None}, "warning", "google.notifications", "never_notifies"),
        ("generic", {"notifications": {"expiry": True, "upcoming": True}}, "warning",
         "google.notifications", "one_only"),
    ],
)  # fmt: skip
def test_the_linter_finds(vertical, changes, severity, path, code):
    found = findings(vertical, **changes)
    assert (severity, path, code) in {(each.severity, each.path, each.code) for each in found}
    assert all(each.message.endswith(".") for each in found)


def test_a_protocol_has_its_vertical_where_the_template_names_none():
    # proves: C10
    for vertical in ("loyalty", "giftCard", "offer", "eventTicket"):
        assert version_of(vertical, vertical=None).google_vertical == vertical


@verticals
def test_what_was_sent_to_a_pass_leaves_it_when_it_is_deleted_and_not_before(vertical):
    # proves: J93, C10
    version = version_of(vertical)
    deleted = drawn(version, status=PassStatus.DELETED, status_reason="erased")
    assert deleted["messages"] is None
    for status in (PassStatus.ACTIVE, PassStatus.VOIDED, PassStatus.EXPIRED):
        assert "messages" not in drawn(version, status=status)


@verticals
def test_a_bare_object_ends_at_google_and_names_nobody(vertical):
    # proves: J93
    version = version_of(vertical)
    catalogue = GoogleSimulator().catalogue
    kinds = [TYPES[schema(vertical, kind).lower()] for kind in ("Class", "Object")]
    for body in classes_of(version):
        catalogue.insert(kinds[0], body, issuer_id=ISSUER)
    subject = subject_of(version, status=PassStatus.DELETED, status_reason="erased")
    shown = drawn(version)
    held = catalogue.insert(kinds[1], shown, issuer_id=ISSUER)
    bare = RENDERER.render_bare(subject).google_object
    assert violations(vertical, "Object", told(bare)) == []
    told_of_the_end = taking_back(vertical, "Object", shown, bare)
    catalogue.patch(kinds[1], bare["id"], told_of_the_end, issuer_id=ISSUER)
    assert held.body["state"] == "INACTIVE"
    left = json.dumps(held.body, ensure_ascii=False)
    personal = (subject.holder.full_name, subject.holder.email, subject.code, subject.external_id)
    assert not [each for each in personal if each in left]
    assert "barcode" not in held.body
