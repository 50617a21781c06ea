"""Writes what readers read: barcodes, and the value for contactless readers."""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace
from functools import lru_cache
from typing import Any

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from passferry_wallet.apple.json_frame import JsonFrame, encoded, hole
from passferry_wallet.apple.pass_content import Barcode, Nfc, PassContent
from passferry_wallet.apple.pass_values import clean_text, items_at_most
from passferry_wallet.apple.rejections import PassContentRejected
from passferry_wallet.barcode import BarcodeFormat, BarcodeRejected, check_message

MAX_BARCODES = 4
MAX_NFC_BYTES = 64

ENCODINGS = frozenset({"iso-8859-1", "utf-8", "us-ascii"})
BARCODE_NAMES: dict[BarcodeFormat, str] = {
    "qr": "PKBarcodeFormatQR",
    "pdf417": "PKBarcodeFormatPDF417",
    "aztec": "PKBarcodeFormatAztec",
    "code128": "PKBarcodeFormatCode128",
    "ean13": "PKBarcodeFormatEAN13",
    "code39": "PKBarcodeFormatCode39",
    "codabar": "PKBarcodeFormatCodabar",
    "i2of5": "PKBarcodeFormatI2of5",
}
#: Shown by every system and by the watch.
EVERYWHERE: frozenset[BarcodeFormat] = frozenset({"qr", "pdf417", "aztec"})


class BarcodeFrame:
    """A barcode of a template: all but its message and the text beside it is encoded once."""

    def __init__(self, barcode_format: BarcodeFormat, message_encoding: str) -> None:
        self.is_shown_everywhere = barcode_format in EVERYWHERE
        self._format, self._encoding = barcode_format, message_encoding
        around = _around(barcode_format, message_encoding, "barcodes")
        self._bare = JsonFrame(encoded(around | {"message": hole(0)}))
        self._told = JsonFrame(encoded(around | {"message": hole(0), "altText": hole(1)}), count=2)

    def json(self, message: str, alternate_text: str | None) -> bytes:
        """The whole barcode, checked. Raises PassContentRejected."""
        _check(self._format, message, self._encoding, "barcodes")
        if alternate_text is None:
            return self._bare.filled(orjson.dumps(message))
        beside = orjson.dumps(clean_text(alternate_text, "barcodes"))
        return self._told.filled(orjson.dumps(message), beside)


def add_barcodes(written: dict[str, Any], barcodes: tuple[Barcode, ...]) -> None:
    """The preferred one first; what only some devices show is followed by a QR code."""
    if not barcodes:
        return
    items_at_most(barcodes, MAX_BARCODES, "barcodes")
    shown = [*barcodes]
    if not any(barcode.format in EVERYWHERE for barcode in barcodes):
        shown.append(replace(barcodes[0], format="qr"))
    all_written = [_barcode(barcode, f"barcodes.{at}") for at, barcode in enumerate(shown)]
    written["barcodes"] = all_written
    # Before iOS 9 only this key is read, and only these formats.
    written["barcode"] = next(
        item
        for barcode, item in zip(shown, all_written, strict=True)
        if barcode.format in EVERYWHERE
    )


def _barcode(barcode: Barcode, where: str) -> dict[str, str]:
    around = _around(barcode.format, barcode.message_encoding, where)
    _check(barcode.format, barcode.message, barcode.message_encoding, where)
    written = around | {"message": barcode.message}
    if barcode.alternate_text is not None:
        written["altText"] = clean_text(barcode.alternate_text, where)
    return written


def _around(barcode_format: BarcodeFormat, message_encoding: str, where: str) -> dict[str, Any]:
    if barcode_format not in BARCODE_NAMES:
        raise PassContentRejected("barcode_unknown", where, "is no barcode that Wallet shows")
    encoding = message_encoding.lower()
    if encoding not in ENCODINGS:
        raise PassContentRejected("encoding_unknown", where, f"must be one of {sorted(ENCODINGS)}")
    return {"format": BARCODE_NAMES[barcode_format], "messageEncoding": encoding}


def _check(barcode_format: BarcodeFormat, message: str, encoding: str, where: str) -> None:
    try:
        check_message(barcode_format, message)
    except BarcodeRejected as refusal:
        raise PassContentRejected(refusal.code, where, refusal.detail) from refusal
    if message.isascii():
        return
    try:
        message.encode(encoding)
    except UnicodeEncodeError as error:
        raise PassContentRejected(
            "barcode_not_encodable", where, f"the message cannot be told in {encoding.lower()}"
        ) from error


def add_nfc(written: dict[str, Any], content: PassContent) -> None:
    nfc = content.nfc
    if nfc is None:
        return
    if not content.identity.has_nfc_certificate:
        raise PassContentRejected(
            "nfc_certificate_missing", "nfc", "needs a certificate for NFC; without it devices "
            "refuse the whole pass",
        )  # fmt: skip
    written["nfc"] = nfc_member(nfc)


def nfc_member(nfc: Nfc) -> dict[str, Any]:
    # What hides is no message, and is not counted as one.
    message = clean_text(nfc.message, "nfc.message")
    if not message or len(message.encode()) > MAX_NFC_BYTES:
        raise PassContentRejected(
            "nfc_message_invalid", "nfc.message", f"must be 1 to {MAX_NFC_BYTES} bytes"
        )
    written: dict[str, Any] = {
        "message": message,
        "encryptionPublicKey": check_nfc_key(nfc.encryption_public_key),
    }
    if nfc.requires_authentication:
        written["requiresAuthentication"] = True
    return written


@lru_cache(maxsize=256)
def check_nfc_key(encoded: str) -> str:
    """The key itself; all passes of a template have the same. Raises PassContentRejected for what is no P-256 key."""
    try:
        key = load_der_public_key(base64.b64decode(encoded, validate=True))
    except (ValueError, binascii.Error, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise PassContentRejected(
            "nfc_key_invalid", "nfc.encryption_public_key", "must be base64 of a P-256 public key"
        )
    return encoded
