"""Barcodes and QR pictures. proves: A21"""

from __future__ import annotations

import io
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

from passferry_wallet.barcode import BarcodeRejected, check_message, qr_png, qr_svg


@pytest.mark.parametrize(
    ("text", "can_be_shown"),
    [
        ("CARD-0001", True),
        (" ~", True),
        ("x" * 80, True),
        ("x" * 81, False),
        ("", False),
        ("Grün", False),
        ("a\x00", False),
        ("\x7f", False),
        ("abc\n", False),
    ],
)
def test_what_code_128_can_carry_is_known_beforehand(text, can_be_shown):
    try:
        check_message("code128", text)
    except BarcodeRejected:
        assert not can_be_shown
    else:
        assert can_be_shown


def test_a_qr_code_is_a_picture_and_a_drawing():
    address = "https://passes.example.org/w/1/p/token?a=<b>&c=ü"
    with Image.open(io.BytesIO(qr_png(address))) as image:
        image.load()
        assert image.width == image.height > 100
    drawing = ET.fromstring(qr_svg(address))
    assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
    assert "viewBox" in drawing.attrib
    assert "width" not in drawing.attrib


def test_equal_texts_give_equal_pictures():
    assert qr_png("x") == qr_png("x")
    assert qr_svg("x") == qr_svg("x")
    assert qr_png("x") != qr_png("y")


def test_what_no_code_holds_is_refused():
    for text in ("", "x" * 1001):
        with pytest.raises(BarcodeRejected):
            qr_svg(text)
