"""What a pass looks like: exact, and the same bytes for the same facts."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from hashlib import sha1
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passferry_contracts.types import PassStatus, Protocol
from passferry_pass_issuer.adapters.wallet_renderer import WalletRenderer
from passferry_pass_issuer.domain.field_mapping import Scaled, evaluate
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.rendering_subject import (
    HolderFacts,
    ProgramFacts,
    RenderSubject,
    TemplateFacts,
)
from passferry_pass_issuer.domain.template_parsing import parse_template_content
from passferry_pass_issuer.domain.value_expression import ValueExpression

pytestmark = pytest.mark.unit

COUPON = {
    "apple": {
        "style": "coupon",
        "organization_name": "Café Ferry",
        "description": "Voucher",
        "background_color": "rgb(20, 60, 90)",
        "logo_text": "Café Ferry",
        "fields": {
            "primary": [
                {
                    "key": "remaining",
                    "label": "REMAINING",
                    "value": {"source": "balance", "format": "currency"},
                    "change_message": "%@ left",
                }
            ],
            "secondary": [
                {"key": "code", "label": "CODE", "value": {"source": "pass.code"}},
                {"key": "drink", "value": {"source": "field.drink"}},
                {"key": "until", "value": {"source": "pass.expires_at", "format": "date"}},
            ],
        },
        "barcode": {
            "format": "code128",
            "message": {"source": "pass.code"},
            "alternate_text": {"source": "pass.code"},
        },
    },
    "google": {
        "issuer_name": "Café Ferry",
        "title": "Voucher",
        "logo_url": "https://passes.example/logo.png",
        "balance_format": "currency",
        "barcode": {"format": "qr"},
    },
}


def template(content=None, **changes) -> TemplateFacts:
    facts = TemplateFacts(
        workspace_id=UUID(int=1),
        template_id=UUID(int=4),
        template_version=1,
        pass_type_identifier="pass.com.example.cafe",
        team_identifier="CAFE123456",
        google_issuer_id="3388000000012345678",
        content=parse_template_content(content or COUPON),
        asset_sha1={"icon.png": "aa" * 20, "logo.png": "bb" * 20},
    )
    return replace(facts, **changes)


def subject(**changes) -> RenderSubject:
    facts = RenderSubject(
        workspace_id=UUID(int=1),
        pass_id=UUID(int=2),
        external_id="m-1",
        serial_number="serial-0000000001",
        authentication_token="token-token-token-token",
        code="CAFE-0001",
        status=PassStatus.ACTIVE,
        status_reason=None,
        balance_minor=10_000,
        unit="EUR",
        unit_scale=2,
        field_values={},
        expires_at=None,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        program=ProgramFacts(program_id=UUID(int=3), name="Voucher", protocol=Protocol.COUPON),
        template=template(),
        holder=HolderFacts(holder_id=UUID(int=5), full_name="Zoë O'Hara"),
        web_service_url="https://passes.example/w/1",
    )
    return replace(facts, **changes)


def rendered(**changes):
    return WalletRenderer().render(subject(**changes))


def shown(**changes):
    return json.loads(rendered(**changes).pass_json)


def test_equal_facts_give_equal_bytes():
    # proves: P3
    first, second = rendered(), rendered()
    assert first == second
    assert first.pass_json.encode() == second.pass_json.encode()
    manifest = json.loads(first.manifest)
    assert manifest["pass.json"] == sha1(first.pass_json.encode()).hexdigest()
    assert manifest["icon.png"] == "aa" * 20


@pytest.mark.parametrize(
    "change",
    [
        {"balance_minor": 9_999},
        {"status": PassStatus.VOIDED},
        {"code": "CAFE-0002"},
        {"expires_at": datetime(2030, 1, 1, tzinfo=UTC)},
        {"field_values": {"drink": "Tea"}},
        {"template": template(asset_sha1={"icon.png": "cc" * 20})},
    ],
)
def test_whatever_people_see_changes_the_content_hash(change):
    assert rendered(**change).content_sha256 != rendered().content_sha256


def test_what_nobody_sees_does_not_change_the_content_hash():
    # proves: W14
    unseen = {"field_values": {"internal_note": "vip"}}
    assert rendered(**unseen).content_sha256 == rendered().content_sha256


@pytest.mark.parametrize(
    ("balance", "text"), [(7_000, b'"value":70'), (7_050, b'"value":70.5'), (0, b'"value":0')]
)
def test_money_is_an_exact_number_with_its_currency(balance, text):
    # proves: A1, P6
    rendering = rendered(balance_minor=balance)
    [remaining] = json.loads(rendering.pass_json)["coupon"]["primaryFields"]
    assert remaining["currencyCode"] == "EUR"
    assert text in rendering.pass_json.encode()


@given(st.integers(min_value=-(2**63) + 1, max_value=2**63 - 1), st.integers(0, 6))
def test_scaled_amounts_lose_nothing(minor, scale):
    expression = ValueExpression(source="balance", format="decimal")
    value = evaluate(expression, subject(balance_minor=minor, unit_scale=scale))
    assert isinstance(value, Scaled)
    sign, digits = ("-" if minor < 0 else ""), str(abs(minor)).rjust(scale + 1, "0")
    whole, fraction = digits[: len(digits) - scale], digits[len(digits) - scale :]
    assert str(value) == f"{sign}{whole}" + (f".{fraction}" if scale else "")


def test_a_coupon_shows_its_code_as_code128_with_a_qr_code_behind_it():
    # proves: A2, A3
    card = shown()
    first, second = card["barcodes"]
    assert first == {
        "format": "PKBarcodeFormatCode128",
        "message": "CAFE-0001",
        "messageEncoding": "iso-8859-1",
        "altText": "CAFE-0001",
    }
    assert second["format"] == "PKBarcodeFormatQR"
    assert card["barcode"]["message"] == "CAFE-0001"
    assert card["coupon"]["secondaryFields"][0] == {
        "key": "code",
        "label": "CODE",
        "value": "CAFE-0001",
    }


def test_a_pass_that_ended_says_so_and_drops_its_barcode():
    # proves: A4
    card = shown(status=PassStatus.VOIDED, status_reason="exhausted")
    assert card["voided"] is True
    assert not {"barcode", "barcodes"}.intersection(card)


@pytest.mark.parametrize(
    ("status", "reason", "state"),
    [
        (PassStatus.ACTIVE, None, "ACTIVE"),
        (PassStatus.VOIDED, "exhausted", "COMPLETED"),
        (PassStatus.VOIDED, "lost", "INACTIVE"),
        (PassStatus.EXPIRED, None, "EXPIRED"),
        (PassStatus.DELETED, "requested", "INACTIVE"),
    ],
)
def test_google_is_told_how_a_pass_ended(status, reason, state):
    body = rendered(status=status, status_reason=reason).google_object
    assert body["state"] == state
    # Told as null: a PATCH would leave the old one on the phone.
    assert "barcode" in body
    assert (body["barcode"] is not None) == (status is PassStatus.ACTIVE)


def test_both_wallets_are_drawn_from_one_pass():
    # proves: J81
    rendering = rendered(balance_minor=1_050)
    issuer, ids = "3388000000012345678", f"{UUID(int=1)}-{UUID(int=2)}"
    assert rendering.google_object_id == f"{issuer}.{ids}" == rendering.google_object["id"]
    assert rendering.google_object["classId"] == f"{issuer}.{UUID(int=1)}-{UUID(int=4)}"
    card = json.loads(rendering.pass_json)
    assert card["webServiceURL"] == "https://passes.example/w/1"
    assert card["authenticationToken"] == "token-token-token-token"


def test_a_template_for_one_wallet_draws_only_that():
    apple = rendered(template=template({"apple": COUPON["apple"]}, google_issuer_id=None))
    assert (apple.google_object, apple.google_object_id) == (None, None)
    google = rendered(template=template({"google": COUPON["google"]}, pass_type_identifier=None))
    assert (google.pass_json, google.manifest) == (None, None)


def test_two_templates_look_as_their_owners_want():
    # proves: C10
    other = json.loads(json.dumps(COUPON))
    other["apple"] |= {"background_color": "#ffeedd", "organization_name": "Buchladen"}
    mine, theirs = (
        shown(),
        shown(
            template=template(
                other, pass_type_identifier="pass.com.example.books", team_identifier="BOOKS12345"
            )
        ),
    )
    for name in ("backgroundColor", "organizationName", "passTypeIdentifier", "teamIdentifier"):
        assert mine[name] != theirs[name]


def test_a_code_that_its_barcode_cannot_hold_is_refused_with_its_field():
    # proves: A21
    with pytest.raises(ContentRejected) as refused:
        rendered(code="日本")
    assert "barcode" in refused.value.field


@pytest.mark.parametrize(
    ("expression", "values", "expected"),
    [
        ({"source": "field.drink"}, {}, None),
        ({"source": "field.drink", "default": "Water"}, {}, "Water"),
        ({"source": "field.drink", "default": "Water"}, {"drink": ""}, "Water"),
        ({"source": "field.drink"}, {"drink": "Tea"}, "Tea"),
        ({"source": "field.count", "format": "integer"}, {"count": "12"}, 12),
        ({"source": "field.count", "format": "integer"}, {"count": "-7"}, -7),
        ({"source": "field.count", "format": "integer"}, {"count": "many"}, "many"),
        ({"source": "field.count", "format": "integer"}, {"count": "1_000"}, "1_000"),
        ({"source": "field.count", "format": "integer"}, {"count": " 7 "}, " 7 "),
        ({"source": "field.count", "format": "integer"}, {"count": "٣"}, "٣"),
        ({"source": "balance", "format": "integer"}, {}, 100),
        ({"source": "balance", "format": "text"}, {}, "100.00"),
        ({"source": "text", "text": "Welcome"}, {}, "Welcome"),
        ({"source": "pass.status"}, {}, "active"),
        ({"source": "program.name"}, {}, "Voucher"),
        ({"source": "holder.full_name"}, {}, "Zoë O'Hara"),
        ({"source": "holder.email", "default": "–"}, {}, "–"),
        (
            {"source": "field.day", "format": "date"},
            {"day": "2030-05-01"},
            datetime(2030, 5, 1, tzinfo=UTC),
        ),
        ({"source": "field.day", "format": "date"}, {"day": "soon"}, "soon"),
    ],
)
def test_a_field_shows_what_its_expression_says(expression, values, expected):
    assert evaluate(ValueExpression(**expression), subject(field_values=values)) == expected


def test_a_birthday_is_shown_as_a_day():
    born = HolderFacts(holder_id=UUID(int=5), birthday=date(1990, 5, 17))
    expression = ValueExpression(source="holder.birthday")
    assert evaluate(expression, subject(holder=born)) == "1990-05-17"


def day_pass(expression, *, styles=None, **changes):
    """What a field of Apple's and a text of Google's show of one value."""
    content = json.loads(json.dumps(COUPON))
    field = {"key": "day", "value": expression, **(styles or {})}
    content["apple"]["fields"]["secondary"] = [field]
    module = {"key": "day", "header": "Day", "body": expression}
    content["google"]["text_modules"] = [module]
    drawn = rendered(template=template(content), **changes)
    [field] = json.loads(drawn.pass_json)["coupon"]["secondaryFields"]
    return field, drawn.google_object["textModulesData"][-1]["body"]


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-06-01T00:30:00+02:00", "2026-06-01"),
        ("2026-05-31T23:30:00-07:00", "2026-05-31"),
        ("2026-06-01", "2026-06-01"),
        ("9999-12-31T23:59:59-14:00", "9999-12-31"),
    ],
)
def test_the_day_of_a_time_is_the_one_that_its_own_zone_has(text, day):
    expression = {"source": "field.start", "format": "date"}
    _, told = day_pass(expression, field_values={"start": text})
    assert told == day


NEW_YEAR_IN_TOKYO = datetime(2029, 12, 31, 15, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("holder_zone", "program_zone", "day"),
    [
        ("Asia/Tokyo", "America/New_York", "2030-01-01"),
        (None, "Asia/Tokyo", "2030-01-01"),
        (None, "UTC", "2029-12-31"),
        (None, None, "2029-12-31"),
    ],
)
def test_our_own_times_are_told_in_the_days_of_the_holder(holder_zone, program_zone, day):
    facts = {
        "expires_at": NEW_YEAR_IN_TOKYO,
        "holder": HolderFacts(holder_id=UUID(int=5), time_zone=holder_zone),
        "program": replace(subject().program, time_zone=program_zone),
    }
    field, told = day_pass({"source": "pass.expires_at"}, **facts)
    assert (field["value"], told) == (day, day)
    field, told = day_pass({"source": "pass.expires_at", "format": "date"}, **facts)
    assert datetime.fromisoformat(field["value"]) == NEW_YEAR_IN_TOKYO
    assert told == day


def test_a_time_at_the_end_of_the_calendar_is_told_in_any_zone():
    holder = HolderFacts(holder_id=UUID(int=5), time_zone="Asia/Tokyo")
    ends = datetime(9999, 12, 31, 23, 59, tzinfo=UTC)
    _, told = day_pass({"source": "pass.expires_at"}, expires_at=ends, holder=holder)
    assert told == "9999-12-31"


def test_a_day_without_a_time_is_the_same_day_on_every_phone():
    holder = HolderFacts(holder_id=UUID(int=5), birthday=date(1990, 5, 17))
    born = {"source": "holder.birthday", "format": "date"}
    field, _ = day_pass(born, holder=holder)
    assert (field["value"][:10], field["ignoresTimeZone"]) == ("1990-05-17", True)
    given = {"source": "field.day", "format": "date"}
    field, _ = day_pass(given, field_values={"day": "2030-05-01"})
    assert field["ignoresTimeZone"] is True
    # A moment is one, and a template that says otherwise is taken at its word.
    field, _ = day_pass(given, field_values={"day": "2030-05-01T12:00:00Z"})
    assert "ignoresTimeZone" not in field
    field, _ = day_pass(born, styles={"ignores_time_zone": False}, holder=holder)
    assert "ignoresTimeZone" not in field


def test_a_change_of_the_mapping_alters_the_pass_only_where_it_is_mapped():
    # proves: J85
    other = json.loads(json.dumps(COUPON))
    other["apple"]["fields"]["secondary"][1]["value"] = {"source": "field.snack", "default": "–"}
    values = {"drink": "Tea", "snack": "Cake"}
    before = shown(field_values=values)
    after = shown(field_values=values, template=template(other))
    without = shown(field_values={"drink": "Tea"}, template=template(other))
    drinks = [card["coupon"]["secondaryFields"][1].pop("value") for card in (before, after)]
    assert drinks == ["Tea", "Cake"]
    assert without["coupon"]["secondaryFields"][1].pop("value") == "–"
    assert before == after == without
