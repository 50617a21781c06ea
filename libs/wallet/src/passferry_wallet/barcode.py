"""Barcodes: what each symbology can carry, and QR codes as pictures."""

from __future__ import annotations

import io
import re
from typing import Literal

import segno

from passferry_wallet.clean_text import has_half_characters

BarcodeFormat = Literal["qr", "pdf417", "aztec", "code128", "ean13", "code39", "codabar", "i2of5"]

#: How much of a QR code may be unreadable: 7, 15, 25 or 30 of a hundred.
ErrorLevel = Literal["l", "m", "q", "h"]

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
_WHITE = "#ffffff"

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


def qr_svg(
    text: str,
    *,
    size_px: int | None = None,
    margin_modules: int = _QUIET_ZONE_MODULES,
    error: ErrorLevel | None = None,
) -> str:
    """An SVG document; without a size it scales to what holds it."""
    buffer = io.BytesIO()
    _qr(text, error).save(
        buffer, kind="svg", border=margin_modules, omitsize=True, xmldecl=False, light=_WHITE
    )
    document = buffer.getvalue().decode()
    if size_px is None:
        return document
    return document.replace("<svg ", f'<svg width="{size_px}" height="{size_px}" ', 1)


def qr_png(
    text: str,
    *,
    size_px: int | None = None,
    margin_modules: int = _QUIET_ZONE_MODULES,
    error: ErrorLevel | None = None,
) -> bytes:
    """A black and white PNG, as large as whole modules allow within `size_px`."""
    code = _qr(text, error)
    scale = _PNG_SCALE
    if size_px is not None:
        modules = int(code.symbol_size(border=margin_modules)[0])
        scale = size_px // modules
        if scale < 1:
            raise BarcodeRejected("too_small", f"this code has {modules} modules on a side")
    buffer = io.BytesIO()
    code.save(buffer, kind="png", scale=scale, border=margin_modules)
    return buffer.getvalue()


def _qr(text: str, error: ErrorLevel | None) -> segno.QRCode:
    check_message("qr", text)
    # A level that was asked for is kept; otherwise it is the best that needs no larger code.
    return segno.make_qr(text, error=error or "m", boost_error=error is None)


def _ean13_check_digit(digits: str) -> int:
    weighted = sum(int(digit) * (3 if index % 2 else 1) for index, digit in enumerate(digits[:12]))
    return -weighted % 10
