"""What is taken over of a pass.json and of an export, and what is listed instead."""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passferry_pass_issuer.domain.pass2u import RefusedPass, read_export
from passferry_pass_issuer.domain.pass_import import PassFiles, read_json
from passferry_pass_issuer.domain.pass_mapping import map_pass
from passferry_pass_issuer.domain.pass_strings import read_strings
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.template_fitting import Piece, fit
from passferry_pass_issuer.domain.template_parsing import parse_template_content

FIXTURES = Path(__file__).parent.parent / "fixtures"


def pass_json(**changes):
    return {
        "formatVersion": 1,
        "passTypeIdentifier": "pass.com.example.cafe",
        "teamIdentifier": "CAFE123456",
        "serialNumber": "s-1",
        "authenticationToken": "t" * 32,
        "webServiceURL": "https://old.example",
        "organizationName": "Café",
        "description": "Card",
        "logoText": "Café",
        "backgroundColor": "rgb(1, 2, 3)",
        "storeCard": {
            "headerFields": [{"key": "points", "label": "POINTS", "value": 42}],
            "secondaryFields": [
                {
                    "key": "name",
                    "label": "NAME",
                    "value": "Ada",
                    "textAlignment": "PKTextAlignmentRight",
                }
            ],
            "backFields": [{"key": "terms", "label": "Terms", "value": "One\nTwo"}],
        },
        "barcodes": [{"format": "PKBarcodeFormatQR", "message": "C-1", "messageEncoding": "utf-8"}],
    } | changes


def mapped(content=None, files=None, **options):
    raw = json.dumps(content or pass_json()).encode()
    return map_pass(PassFiles("a.pkpass", {"pass.json": raw, **(files or {})}), **options)


def fitted(result):
    content, cut = fit({"apple": result.template.apple}, parse_template_content)
    return content["apple"], {each.path: each.message for each in cut}


def test_fields_that_differ_become_values_and_the_back_stays_text():
    # proves: J87
    result = mapped()
    apple, cut = fitted(result)
    assert cut == {}
    assert apple["style"] == "storeCard"
    assert apple["fields"]["header"][0]["value"] == {"source": "field.points", "format": "integer"}
    assert apple["fields"]["secondary"][0]["value"]["source"] == "field.name"
    assert apple["fields"]["back"][0]["value"] == "One\nTwo"
    assert result.issued.values == {"points": 42, "name": "Ada"}
    assert (result.issued.code, result.issued.serial_number) == ("C-1", "s-1")
    assert result.issued.authentication_token == "t" * 32
    assert "t" * 32 not in repr(result.issued)


@pytest.mark.parametrize(
    ("style", "protocol"),
    [
        ("storeCard", "MEMBERSHIP"),
        ("coupon", "COUPON"),
        ("eventTicket", "EVENT_TICKET"),
        ("generic", "MEMBERSHIP"),
        ("boardingPass", "EVENT_TICKET"),
    ],
)
def test_every_style_is_taken_over_whole(style, protocol):
    # proves: A15
    content = pass_json(
        relevantDate="2031-05-14T12:00:00Z", semantics={"seats": [{"seatRow": "4"}]}
    )
    groups = content.pop("storeCard")
    transit = {"transitType": "PKTransitTypeTrain"} if style == "boardingPass" else {}
    strings = {"de.lproj/pass.strings": '"NAME" = "Næme";'.encode("utf-16")}
    result = mapped(content | {style: groups | transit}, files=strings)
    apple, cut = fitted(result)
    assert cut == {}
    assert (apple["style"], result.template.protocol) == (style, protocol)
    assert apple["strings"] == {"de": {"NAME": "Næme"}}
    assert set(apple["document"]) == {"relevantDate", "semantics"}


def test_equal_layouts_have_one_key_whatever_their_values():
    other = pass_json(serialNumber="s-2")
    other["storeCard"] = json.loads(json.dumps(other["storeCard"]))
    other["storeCard"]["headerFields"][0]["value"] = 7
    other["storeCard"]["backFields"][0]["value"] = "Three"
    assert mapped(other).template.key == mapped().template.key
    assert mapped(pass_json(logoText="Bar")).template.key != mapped().template.key
    images = {"icon.png": b"x"}
    assert mapped(files=images).template.key != mapped().template.key


def test_what_a_template_cannot_say_is_listed_where_it_stood():
    odd = pass_json(labelColor="chartreuse", userInfo={"a": 1}, maxDistance=100)
    odd["storeCard"]["headerFields"][0] |= {"numberStyle": "PKNumberStyleOdd", "changeMessage": "!"}
    odd["storeCard"]["auxiliaryFields"] = [
        {"key": f"aux{number}", "value": "x"} for number in range(7)
    ]
    apple, cut = fitted(mapped(odd))
    assert "labelColor" in cut
    assert "storeCard.headerFields.0.changeMessage" in cut
    assert "storeCard.headerFields.0.numberStyle" in cut
    assert {"storeCard.auxiliaryFields.5", "storeCard.auxiliaryFields.6"} <= cut.keys()
    assert len(apple["fields"]["auxiliary"]) == 5
    assert "label_color" not in apple


def test_a_balance_is_kept_by_the_ledger_when_its_field_is_named():
    result = mapped(balance_field="points")
    assert result.template.apple["fields"]["header"][0]["value"]["source"] == "balance"
    assert (result.issued.opening_balance_minor, result.issued.values) == (42, {"name": "Ada"})


def test_money_and_fractions_are_kept_exactly_as_text():
    content = pass_json()
    raw = json.dumps(content).replace('"value": 42', '"value": 12.10, "currencyCode": "EUR"')
    result = map_pass(PassFiles("a", {"pass.json": raw.encode()}))
    assert result.issued.values["points"] == "12.10 EUR"
    paths = {each.path for each in result.template.unmapped}
    assert "storeCard.headerFields.0.currencyCode" in paths


def test_nothing_in_an_upload_is_read_as_an_expression():
    content = pass_json(
        userInfo={"a": [{"source": "holder.email"}]}, semantics={"eventName": "Concert"}
    )
    content["storeCard"]["headerFields"][0] |= {
        "attributedValue": {"source": "holder.email"},
        "label": {"source": "holder.full_name"},
    }
    result = mapped(content)
    apple, _ = fitted(result)
    assert apple["document"] == {"semantics": {"eventName": "Concert"}}
    assert "holder." not in json.dumps(apple)
    paths = {each.path for each in result.template.unmapped}
    assert {"userInfo", "storeCard.headerFields.0.attributedValue"} <= paths


def test_keys_that_are_no_names_and_keys_that_are_there_twice_are_renamed():
    content = pass_json()
    content["storeCard"]["headerFields"] = [
        {"key": "1 a", "value": "x"},
        {"key": "1 a", "value": "y"},
    ]
    assert mapped(content).issued.values == {"f_1_a": "x", "f_1_a_2": "y", "name": "Ada"}


def test_a_code_that_is_no_code_of_ours_is_a_value():
    url = "https://example.com/" + "x" * 200
    content = pass_json(barcodes=[{"format": "PKBarcodeFormatQR", "message": url}])
    result = mapped(content)
    assert (result.issued.code, result.issued.values["barcode_message"]) == (None, url)
    apple, _ = fitted(result)
    assert apple["barcode"]["message"] == {"source": "field.barcode_message"}


@pytest.mark.parametrize(
    "changes",
    [
        {"formatVersion": 2},
        {"storeCard": None},
        {"passTypeIdentifier": "com.example"},
        {"teamIdentifier": ""},
        {"serialNumber": "x" * 129},
        {"serialNumber": None},
        {"serialNumber": "a\x00b"},
        {"organizationName": 5},
        {"expirationDate": "2030-01-01"},
        {"expirationDate": "soon"},
        {"expirationDate": "9999-12-31T23:59:59-14:00"},
        {"expirationDate": "0001-01-01T00:00:00+14:00"},
    ],
)
def test_what_is_no_pass_is_refused(changes):
    with pytest.raises(ContentRejected) as refused:
        mapped(pass_json(**changes))
    assert refused.value.field.startswith("a.pkpass/pass.json")


@pytest.mark.parametrize(
    "raw",
    [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a":NaN}', b'{"a":' * 40 + b"1" + b"}" * 40],
)
def test_json_that_is_none_or_too_deep_is_refused(raw):
    with pytest.raises(ContentRejected):
        map_pass(PassFiles("a", {"pass.json": raw}))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["key", "value", "label", "semantics", "row", "source", "x.y"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_whatever_a_field_holds_the_template_parses_or_is_refused(field):
    content = pass_json()
    content["storeCard"]["primaryFields"] = [field]
    content["locations"] = field
    content["barcode"] = field
    with contextlib.suppress(ContentRejected):
        fitted(mapped(content))


def test_only_what_is_essential_is_refused_when_nothing_can_be_left_out():
    def parse(content):
        if content["apple"].get("style") != "x":
            raise ContentRejected("invalid", "apple.style", "is another")

    with pytest.raises(ContentRejected):
        fit({"apple": Piece("", {"style": "y"})}, parse)


def test_strings_of_both_encodings_are_read():
    text = '/* a "comment" = "x"; */ "NAME" = "Næm\\"e\\n";\n"A"="\\U00e4";'
    assert read_strings(text.encode()) == {"NAME": 'Næm"e\n', "A": "ä"}
    assert read_strings(text.encode("utf-16")) == read_strings(text.encode())
    assert read_strings(b"\xff\xff\xff") is None
    assert read_strings(b'"a" = "b') == {}


def test_strings_may_write_an_emoji_as_two_halves_and_no_half_alone():
    assert read_strings(rb'"A" = "\Ud83d\Ude00!";') == {"A": "\U0001f600!"}
    for broken in (rb"\Ud83d", rb"\Ude00\Ud83d", rb"a\Ude00", rb"\U0000"):
        assert read_strings(b'"A" = "%s";' % broken) is None
        assert read_strings(b'"%s" = "A";' % broken) is None


def test_a_pass2u_export_of_json_is_read_as_its_documentation_says():
    # proves: J87
    export = read_export((FIXTURES / "pass2u-export.json").read_bytes())
    [template] = export.templates
    content, cut = fit({"apple": template.apple}, parse_template_content)
    apple = content["apple"]
    assert (apple["style"], template.protocol) == ("storeCard", "MEMBERSHIP")
    assert apple["fields"]["header"][0]["value"]["source"] == "balance"
    assert apple["fields"]["secondary"][0]["value"] == {
        "source": "field.field3",
        "default": "Guest",
    }
    assert apple["fields"]["back"][0]["value"].startswith("Valid until")
    unmapped = {each.path for each in [*template.unmapped, *cut]}
    assert {
        "models.0.images.0",
        "models.0.locations",
        "models.0.checkout",
        "models.0.labelColor",
        "models.0.fields.3.changeMessage",
    } <= unmapped
    ada, thora, broken = export.passes
    assert (ada.external_id, ada.code, ada.values["field3"]) == (
        "DdwbQl8JhDaE",
        "BC-0001",
        "Ada Lovelace",
    )
    assert ada.serial_number is None
    assert {each.path for each in ada.unmapped} == {
        "passes.0.images",
        "passes.0.fields.1.changeMessage",
    }
    assert thora.expires_at is None
    assert isinstance(broken, RefusedPass)
    assert broken.refusal.field == "passes.2.passId"


def test_a_pass2u_csv_says_the_same_as_its_json():
    passes = read_export((FIXTURES / "pass2u-passes.csv").read_bytes()).passes
    ada = read_export((FIXTURES / "pass2u-export.json").read_bytes()).passes[0]
    assert (passes[0].external_id, passes[0].code, passes[0].values) == (
        ada.external_id,
        ada.code,
        ada.values,
    )
    assert passes[0].expires_at == ada.expires_at
    assert passes[1].values == {"field3": "Ægisdóttir, Þóra"}


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "header_invalid"),
        (b"a,b\n1,2", "header_invalid"),
        (b"passId,passId\n1,2", "header_invalid"),
        (b"passId,a\n1", "row_invalid"),
        (b'passId,a\n1,"x', "not_csv"),
        (b"passId\n" + b"1\n" * 1_001, "too_many"),
        (b"\xff\xfe\x00", "not_utf8"),
        (b"{}", "invalid"),
        (b'{"passes": 5}', "invalid"),
        (b'{"models": [{"modelId": 1, "style": "poster"}]}', "invalid"),
        (b"[" * 5_000, "not_json"),
    ],
)
def test_a_broken_export_is_refused_with_the_place(data, code):
    with pytest.raises(ContentRejected) as refused:
        read_export(data)
    assert refused.value.code == code


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"])
def test_a_moment_of_an_export_that_utc_has_not_is_refused(moment):
    export = json.loads((FIXTURES / "pass2u-export.json").read_text())
    export["passes"][0]["expirationDate"] = moment
    refused, thora, _ = read_export(json.dumps(export).encode()).passes
    assert refused.refusal.field == "passes.0.expirationDate"
    assert not isinstance(thora, RefusedPass)


@pytest.mark.parametrize("number", ["1.5e999999999", "-1e31", "1.5e-999999999"])
def test_a_short_text_with_endless_digits_is_refused_before_it_is_written(number):
    with pytest.raises(ContentRejected) as refused:
        read_json("pass.json", f'{{"value": {number}}}'.encode())
    assert refused.value.code == "not_json"


def test_numbers_that_passes_show_are_read_exactly():
    assert read_json("pass.json", b'{"value": 12.50, "zero": 0e99}') == {
        "value": Decimal("12.50"),
        "zero": Decimal(0),
    }


def test_comments_of_translations_are_skipped_also_one_that_never_ends():
    assert read_strings(b'/* "a" = "1"; */ "b" = "2"; /* * / **/ "c" = "3"; /* "d" = "4";') == {
        "b": "2",
        "c": "3",
    }
    # As many beginnings as a file may hold: each one looking for its end would take minutes.
    assert read_strings(b"/*x" * 87_000) == {}
