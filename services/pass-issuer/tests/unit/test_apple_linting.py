"""The linter says in plain words what people with an Apple device would find wrong."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passferry_pass_issuer.domain.apple_image_linting import ImageFile
from passferry_pass_issuer.domain.apple_linting import IdentityFacts, lint_apple
from passferry_pass_issuer.domain.colour_contrast import contrast_ratio
from passferry_pass_issuer.domain.template_parsing import parse_template_content

pytestmark = pytest.mark.unit

CARD = {
    "style": "storeCard",
    "organization_name": "Café Ferry",
    "description": "Card",
    "background_color": "rgb(20, 60, 90)",
    "foreground_color": "#fff",
    "label_color": "#ffe0b0",
    "fields": {
        "header": [
            {
                "key": "points",
                "label": "POINTS",
                "value": {"source": "balance", "format": "integer"},
                "change_message": "You have %@ points",
            }
        ]
    },
    "barcode": {"format": "qr"},
}
PLAIN = IdentityFacts(has_nfc=False, team_identifier="CAFE123456", template_team="CAFE123456")


def images(*more, side=38):
    files = [
        ImageFile(name=f"{role}{mark}.png", width=side * scale, height=side * scale)
        for role in ("icon", "logo")
        for mark, scale in (("", 1), ("@2x", 2), ("@3x", 3))
    ]
    return files + [ImageFile(name=name, width=10, height=10) for name in more]


def linted(files=None, identity=PLAIN, **changes):
    apple = parse_template_content({"apple": CARD | changes}).apple
    found = lint_apple(apple, images() if files is None else files, identity)
    assert all(finding.message and finding.path for finding in found)
    return {(finding.severity, finding.path, finding.code) for finding in found}


def fields(**groups):
    return json.loads(json.dumps(CARD["fields"] | groups))


def test_a_sound_template_has_no_findings():
    # proves: A24
    assert linted() == set()


def field(key="k", **changes):
    return {"key": key, "value": "v", **changes}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"foreground_color": "rgb(30,70,100)"},
         ("warning", "apple.foreground_color", "contrast_low")),
        ({"label_color": "#143c5a"}, ("warning", "apple.label_color", "contrast_low")),
        ({"logo_text": "A very long name of a café"}, ("warning", "apple.logo_text", "too_long")),
        ({"fields": {"header": [field()]}},
         ("warning", "apple.fields", "change_message_missing")),
        ({"fields": fields(back=[field(change_message="now %@")])},
         ("warning", "apple.fields.back.0.change_message", "change_message_unused")),
        ({"fields": fields(secondary=[field(label="A label of more than twenty")])},
         ("warning", "apple.fields.secondary.0.label", "too_long")),
        ({"fields": fields(secondary=[field(value="long " * 10)])},
         ("warning", "apple.fields.secondary.0.value", "too_long")),
        ({"fields": fields(primary=[field(value={"source": "field.name"})])},
         ("warning", "apple.fields.primary.0.value", "default_missing")),
        ({"fields": fields(primary=[field("a"), field("b")])},
         ("warning", "apple.fields.primary", "too_many_fields")),
        ({"fields": fields(secondary=[field("a"), field("b"), field("c")],
                           auxiliary=[field("d"), field("e")])},
         ("warning", "apple.fields.auxiliary", "too_many_fields")),
        ({"fields": fields(footer=[field()])},
         ("error", "apple.fields.footer", "style_invalid")),
        ({"fields": fields(back=[field(text_alignment="Left")])},
         ("error", "apple.fields.back.0.text_alignment", "style_invalid")),
        ({"fields": fields(secondary=[field(data_detectors=["Link"])])},
         ("error", "apple.fields.secondary.0.data_detectors", "style_invalid")),
        ({"fields": fields(secondary=[field(row=1)])},
         ("error", "apple.fields.secondary.0.row", "style_invalid")),
        ({"fields": fields(back=[field(attributed_value="<a href='https://a.example'>v</a>")])},
         ("warning", "apple.fields.back.0.attributed_value", "not_on_watch")),
        ({"barcode": {"format": "code128", "message": {"source": "field.member"}}},
         ("warning", "apple.barcodes.0.message", "barcode_charset")),
        ({"barcode": {"format": "code128"}},
         ("warning", "apple.barcodes", "barcode_fallback_added")),
        ({"barcode": None, "barcodes": [{"format": "qr"}, {"format": "ean13"}]},
         ("warning", "apple.barcodes.1", "barcode_unused")),
        ({"locations": [{"latitude": 1, "longitude": 1}]},
         ("warning", "apple.locations.0.relevant_text", "relevant_text_missing")),
        ({"max_distance_m": 10}, ("warning", "apple.max_distance_m", "unused")),
        ({"strings": {"de": {"POINTS": "PUNKTE"}, "fr": {}}},
         ("error", "apple.strings.fr", "translation_missing")),
        ({"strings": {"de": {"Nowhere": "Nirgends"}}}, ("warning", "apple.strings", "unused")),
    ],
)  # fmt: skip
def test_each_doubt_is_named_with_its_path(changes, expected):
    assert expected in linted(**changes)


def test_nfc_needs_a_certificate_that_allows_it():
    # Apple's pass format: P12
    nfc = {"nfc": {"message": {"source": "pass.code"}, "encryption_public_key": "AAAA"}}
    error = ("error", "apple.nfc", "nfc_certificate_missing")
    assert error in linted(**nfc)
    assert error not in linted(identity=replace(PLAIN, has_nfc=True), **nfc)
    assert linted(identity=None) == {("warning", "pass_type_identifier", "identity_missing")}


def test_a_certificate_of_another_team_is_an_error():
    other = replace(PLAIN, team_identifier="OTHERTEAM1")
    assert linted(identity=other) == {("error", "team_identifier", "team_mismatch")}


@pytest.mark.parametrize("missing", ["icon.png", "icon@2x.png", "icon@3x.png", "logo@2x.png"])
def test_a_missing_scale_of_icon_or_logo_is_an_error(missing):
    # proves: A24 (Apple's pass format: P4)
    files = [file for file in images() if file.name != missing]
    assert linted(files=files) == {("error", f"files.{missing}", "image_missing")}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["strip.png"], ("warning", "files.strip@2x.png", "image_scale_missing")),
        (["footer.png"], ("warning", "files.footer.png", "image_unused")),
        (["de.lproj/logo.png"], ("warning", "files.de.lproj/logo@2x.png", "image_scale_missing")),
        (["de.lproj/strip.png"], ("warning", "files.strip.png", "image_missing_for_others")),
    ],
)
def test_doubtful_sets_of_images_are_named(names, expected):
    assert expected in linted(files=images(*names))


def test_an_old_icon_is_blurred_on_new_phones():
    assert ("warning", "files.icon@3x.png", "image_small") in linted(files=images(side=29))


def test_a_ticket_shows_a_strip_or_a_background():
    found = linted(
        files=images("strip.png", "background.png"),
        style="eventTicket",
    )
    assert ("warning", "files.strip.png", "image_unused") in found


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [("#fff", "#000000", 21), ("#777", "rgb(119, 119, 119)", 1), ("#fff", "#0000ff", 8.59)],
)
def test_contrast_is_that_of_the_guidelines(one, other, ratio):
    assert contrast_ratio(one, other) == pytest.approx(ratio, abs=0.01)
    assert contrast_ratio(other, one) == contrast_ratio(one, other)


colours = st.tuples(*[st.integers(0, 255)] * 3)


@given(colours, colours)
def test_contrast_lies_between_one_and_twentyone(one, other):
    ratio = contrast_ratio("#{:02x}{:02x}{:02x}".format(*one), "rgb({}, {}, {})".format(*other))
    assert 1 <= ratio <= 21.0001
