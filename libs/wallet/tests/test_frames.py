"""What is encoded once is filled with the bytes that the encoder would have written."""

from __future__ import annotations

import json
from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from passferry_wallet.apple.bundle import ManifestFrame, build_manifest
from passferry_wallet.apple.json_frame import JsonFrame, encoded, hole
from passferry_wallet.apple.pass_barcodes import BarcodeFrame, add_barcodes
from passferry_wallet.apple.pass_content import Barcode, CurrencyAmount, ExactNumber, PassField
from passferry_wallet.apple.pass_fields import GROUP_KEYS, FieldFrame, field_groups
from passferry_wallet.apple.pass_frame import PassFrame
from passferry_wallet.apple.pass_json import MAX_PASS_JSON_BYTES, build_pass_json
from passferry_wallet.apple.rejections import PassContentRejected

#: What might be taken for a hole, or for a place in a format.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    ["\x00", "\x000\x00", "\\u00000\\u0000", "%", "%b", "%(a)b", '"', "\\", "\u2028", "😀"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(TEXTS, JSON, min_size=1, max_size=6), JSON, st.data())
def test_a_filled_frame_is_what_the_encoder_writes(whole, beside, data):
    # proves: A13 (Apple's pass format: P3)
    chosen = data.draw(st.lists(st.sampled_from(sorted(whole)), unique=True, min_size=1))
    with_holes = whole | {name: hole(number) for number, name in enumerate(chosen)}
    several = {"a": [with_holes, beside], "b": with_holes}
    values = [encoded(whole[name]) for name in chosen] + [b"null"]
    # The last has no hole: what stands before it says the same.
    filled = JsonFrame(encoded(several), count=len(values)).filled(*values)
    assert filled == encoded({"a": [whole, beside], "b": whole})


@given(st.dictionaries(TEXTS, st.just("ab" * 20), max_size=4))
def test_a_manifest_from_its_frame_is_the_manifest_of_the_files(digests):
    # proves: A13 (Apple's pass format: P2, P3)
    digests.pop("pass.json", None)
    assert ManifestFrame(digests).of("cd" * 20) == build_manifest(
        {**digests, "pass.json": "cd" * 20}
    )


@pytest.mark.parametrize("name", ["manifest.json", "signature"])
def test_a_manifest_does_not_list_itself_or_its_signature(name):
    with pytest.raises(PassContentRejected) as refused:
        ManifestFrame({name: "ab" * 20})
    assert refused.value.field == name


FIELD = PassField(
    key="k%b", value="", label="100 %", change_message="%@ %b", text_alignment="Right"
)


def field_json(group, field):
    [written] = field_groups({group: (field,)})[GROUP_KEYS[group]]
    return encoded(written)


def written(value, **styles):
    return field_json("header", PassField(
        key=FIELD.key, value=value, label=FIELD.label, change_message=FIELD.change_message,
        text_alignment=FIELD.text_alignment, **styles,
    ))  # fmt: skip


def framed(value, **beside):
    return FieldFrame("header", replace(FIELD, value=value, **beside))


@given(TEXTS, st.integers(-(2**63) + 1, 2**63 - 1), st.integers(0, 9))
def test_a_field_from_its_frame_is_the_field_that_is_written_plainly(text, number, scale):
    assert framed("").text(text) == written(text)
    assert framed(0).number(number, 0) == written(number)
    assert framed(ExactNumber(0)).number(number, scale) == written(ExactNumber(number, scale))
    money = CurrencyAmount(number, "EUR", scale)
    assert framed(CurrencyAmount(0, "JPY")).money(money) == written(money)


@pytest.mark.parametrize(
    ("draw", "code"),
    [
        (lambda frame: frame.text("x" * 8_193), "too_long"),
        (lambda frame: frame.text("\ud800"), "not_unicode"),
        (lambda frame: frame.number(2**63, 0), "number_too_large"),
        (lambda frame: frame.number(1, 10), "number_invalid"),
        (lambda frame: frame.money(CurrencyAmount(1, "points")), "currency_invalid"),
        (lambda frame: frame.money(CurrencyAmount(1, 'E"R')), "currency_invalid"),
    ],
)
def test_a_frame_refuses_what_the_plain_writer_refuses(draw, code):
    # proves: A21
    with pytest.raises(PassContentRejected) as refused:
        draw(FieldFrame("header", FIELD))
    assert refused.value.code == code


def outcome(write):
    """The bytes, or why not."""
    try:
        return write()
    except PassContentRejected as refusal:
        return refusal.code


@given(
    st.sampled_from(["qr", "pdf417", "aztec", "code128", "ean13", "code39", "codabar", "i2of5"]),
    st.sampled_from(["utf-8", "iso-8859-1", "UTF-8", "us-ascii"]),
    TEXTS | st.sampled_from(["CARD-1", "4006381333931", "\ud800", "x" * 1_001, "Zoë"]),
    st.none() | TEXTS,
)
def test_a_barcode_from_its_frame_is_the_barcode_that_is_written_plainly(
    barcode_format, encoding, message, text
):
    # proves: A2
    members: dict[str, object] = {}
    barcode = Barcode(
        format=barcode_format, message=message, message_encoding=encoding, alternate_text=text
    )
    frame = BarcodeFrame(barcode_format, encoding)

    def plain() -> bytes:
        add_barcodes(members, (barcode,))
        return encoded(members["barcodes"][0])

    assert outcome(plain) == outcome(lambda: frame.json(message, text))


def test_passes_of_a_frame_are_the_passes_that_are_written_plainly(content, identity):
    # proves: A13 (Apple's pass format: P3)
    whole = content()
    [field] = whole.fields["secondary"]
    plain = json.loads(build_pass_json(whole))
    frame = PassFrame(
        content(barcodes=(), fields={}, expires_at=None),
        constant={},
        own=["serialNumber", "barcodes", "expirationDate", "barcode"],
        groups=["back", "header", "secondary"],
    )
    own = [encoded(plain[name]) for name in ("serialNumber", "barcodes", "expirationDate")]
    back, header = (
        b",".join(field_json(group, each) for each in whole.fields[group])
        for group in ("back", "header")
    )
    values = (*own, encoded(plain["barcode"]), back, header, field_json("secondary", field))
    assert frame.pass_json(values) == build_pass_json(whole)


def test_what_the_pass_says_stands_before_its_document(content):
    # proves: A13 (Apple's pass format: P3)
    whole = content(document={"logoText": "Another", "userInfo": {"a": 1}})
    frame = PassFrame(
        content(), constant={}, own=["serialNumber"], groups=[], document=["logoText", "userInfo"]
    )
    serial = encoded(json.loads(build_pass_json(whole))["serialNumber"])
    filled = json.loads(frame.pass_json([serial, b'"Another"', b'{"a":1}']))
    plain = json.loads(build_pass_json(content(fields={}, document=whole.document)))
    assert filled == plain
    assert filled["logoText"] == "Kaffee Ferry"


def test_a_filled_frame_is_bounded_as_every_pass_is(content):
    frame = PassFrame(content(), constant={}, own=["userInfo"], groups=[])
    with pytest.raises(PassContentRejected) as refused:
        frame.pass_json([orjson.dumps("x" * MAX_PASS_JSON_BYTES)])
    assert refused.value.code == "too_large"


def test_a_frame_is_refused_for_what_json_cannot_tell(content):
    with pytest.raises(PassContentRejected) as refused:
        PassFrame(content(semantics={"n": 2**70}), constant={}, own=["logoText"], groups=[])
    assert refused.value.code == "not_json"
