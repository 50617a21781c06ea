"""Barcodes as Google draws them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from passferry_wallet.barcode import BarcodeFormat, BarcodeRejected, check_message
from passferry_wallet.clean_text import has_half_characters
from passferry_wallet.google.content import GoogleContentRejected

MAX_CHARACTERS = 1_000

#: Those that are checked as Apple's are.
_SHARED: Mapping[str, BarcodeFormat] = {
    "QR_CODE": "qr",
    "PDF_417": "pdf417",
    "AZTEC": "aztec",
    "CODE_128": "code128",
    "CODE_39": "code39",
    "CODABAR": "codabar",
    "EAN_13": "ean13",
}
#: Digits with a check digit at the end, of the same arithmetic.
_RETAIL_DIGITS = {"EAN_8": 8, "UPC_A": 12, "ITF_14": 14}


def check_barcode(barcode: Mapping[str, Any], where: str) -> None:
    """Raises GoogleContentRejected where a scanner could not read this value from this type."""
    kind, value = barcode.get("type"), barcode.get("value")
    if not isinstance(kind, str) or not isinstance(value, str):
        raise GoogleContentRejected("required", where, "has a type and a value")
    try:
        if kind in _SHARED:
            check_message(_SHARED[kind], value)
        elif kind in _RETAIL_DIGITS:
            _check_retail(kind, value)
        elif not value or len(value) > MAX_CHARACTERS or has_half_characters(value):
            raise BarcodeRejected(
                "barcode_not_encodable", f"must hold 1 to {MAX_CHARACTERS} characters"
            )
    except BarcodeRejected as refusal:
        raise GoogleContentRejected(refusal.code, f"{where}.value", refusal.detail) from refusal


def _check_retail(kind: str, value: str) -> None:
    length = _RETAIL_DIGITS[kind]
    if len(value) != length or not (value.isascii() and value.isdigit()):
        raise BarcodeRejected("barcode_not_encodable", f"{kind} holds {length} digits")
    weighted = sum(
        int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(value[-2::-1])
    )
    if -weighted % 10 != int(value[-1]):
        raise BarcodeRejected("barcode_not_encodable", "the check digit does not fit")
