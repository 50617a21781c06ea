"""Barcodes: what each symbology can carry, and QR codes as pictures."""

from __future__ import annotations

import io
import re
from typing import Literal

import segno

from passferry_wallet.clean_text import has_half_characters

BarcodeFormat = Literal["qr", "pdf417", "aztec", "code128", "ean13", "code39", "codabar", "i2of5"]

#: Longer ones are no longer read by ordinary scanners, though the symbology might hold them.
MAX_CHARACTERS = {
    "qr": 1000,
    "pdf417": 800,
    "aztec": 1000,
    "code128": 80,
    "ean13": 13,
    "code39": 40,
    "codabar": 40,
    "i2of5": 40,
}

_QUIET_ZONE_MODULES = 4
_PNG_SCALE = 6

_PATTERNS = {
    "code128": (re.compile(r"[\x20-\x7e]+"), "printable ASCII characters"),
    "ean13": (re.compile(r"[0-9]{13}"), "13 digits"),
    "code39": (re.compile(r"[0-9A-Z .$/+%-]+"), "capital letters, digits and - . $ / + % space"),
    "codabar": (re.compile(r"[A-D][0-9$:/.+-]+[A-D]"), "digits and - $ : / . + between A to D"),
    "i2of5": (re.compile(r"(?:[0-9]{2})+"), "an even number of digits"),
}


class BarcodeRejected(Exception):
    """The text cannot be shown in this symbology; `code` is stable, `detail` is a sentence."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{detail} ({code})")
        self.code = code
        self.detail = detail


def check_message(barcode_format: BarcodeFormat, message: str) -> None:
    """Raises BarcodeRejected where a scanner could not read this text from this symbology."""
    if not message:
        raise BarcodeRejected("barcode_empty", "a barcode holds at least one character")
    if has_half_characters(message):
        raise BarcodeRejected("barcode_not_encodable", "the text has half a character")
    most = MAX_CHARACTERS[barcode_format]
    if len(message) > most:
        raise BarcodeRejected(
            "barcode_too_long", f"{barcode_format} holds at most {most} characters"
        )
    pattern, words = _PATTERNS.get(barcode_format, (None, ""))
    if pattern is not None and not pattern.fullmatch(message):
        raise BarcodeRejected("barcode_not_encodable", f"{barcode_format} holds {words}")
    if barcode_format == "ean13" and _ean13_check_digit(message) != int(message[12]):
        raise BarcodeRejected("barcode_not_encodable", "the check digit does not fit")


def is_code128(message: str) -> bool:
    """Whether `message` can be shown as Code 128."""
    try:
        check_message("code128", message)
    except BarcodeRejected:
        return False
    return True


def qr_svg(text: str) -> str:
    """An SVG document that scales to the size of what holds it."""
    buffer = io.BytesIO()
    _qr(text).save(buffer, kind="svg", border=_QUIET_ZONE_MODULES, omitsize=True, xmldecl=False)
    return buffer.getvalue().decode()


def qr_png(text: str) -> bytes:
    """A black and white PNG."""
    buffer = io.BytesIO()
    _qr(text).save(buffer, kind="png", scale=_PNG_SCALE, border=_QUIET_ZONE_MODULES)
    return buffer.getvalue()


def _qr(text: str) -> segno.QRCode:
    check_message("qr", text)
    return segno.make_qr(text, error="m")


def _ean13_check_digit(digits: str) -> int:
    weighted = sum(int(digit) * (3 if index % 2 else 1) for index, digit in enumerate(digits[:12]))
    return -weighted % 10
