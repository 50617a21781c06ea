"""Writes what readers read: barcodes, and the value for contactless readers."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from passferry_wallet.apple.pass_content import Barcode, PassContent
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


def add_barcodes(written: dict[str, Any], barcodes: tuple[Barcode, ...]) -> None:
    """The preferred one first; what only some devices show is followed by a QR code."""
    if not barcodes:
        return
    all_written, legacy = barcode_members(barcodes)
    written["barcodes"] = all_written
    # Before iOS 9 only this key is read.
    written["barcode"] = legacy


def barcode_members(
    barcodes: Sequence[Barcode],
) -> tuple[list[dict[str, str]], dict[str, str]]:
    """What one or more barcodes are in pass.json, and the one that every system shows."""
    items_at_most(barcodes, MAX_BARCODES, "barcodes")
    written = [_barcode(barcode, index) for index, barcode in enumerate(barcodes)]
    for barcode, item in zip(barcodes, written, strict=True):
        if barcode.format in EVERYWHERE:
            return written, item
    first = barcodes[0]
    twin = Barcode(
        format="qr",
        message=first.message,
        message_encoding=first.message_encoding,
        alternate_text=first.alternate_text,
    )
    written.append(_barcode(twin, len(barcodes)))
    return written, written[-1]


def _barcode(barcode: Barcode, index: int) -> dict[str, str]:
    where = f"barcodes.{index}"
    name = BARCODE_NAMES.get(barcode.format)
    if name is None:
        raise PassContentRejected("barcode_unknown", where, "is no barcode that Wallet shows")
    message = barcode.message
    try:
        check_message(barcode.format, message)
    except BarcodeRejected as refusal:
        raise PassContentRejected(refusal.code, where, refusal.detail) from refusal
    encoding = barcode.message_encoding.lower()
    if encoding not in ENCODINGS:
        raise PassContentRejected("encoding_unknown", where, f"is one of {sorted(ENCODINGS)}")
    if not message.isascii():
        _check_encoding(message, encoding, where)
    written = {"format": name, "message": message, "messageEncoding": encoding}
    if barcode.alternate_text is not None:
        written["altText"] = clean_text(barcode.alternate_text, where)
    return written


def _check_encoding(message: str, encoding: str, where: str) -> None:
    try:
        message.encode(encoding)
    except UnicodeEncodeError as error:
        raise PassContentRejected(
            "barcode_not_encodable", where, f"the message cannot be told in {encoding}"
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
    if not nfc.message or len(nfc.message.encode("utf-8", "replace")) > MAX_NFC_BYTES:
        raise PassContentRejected(
            "nfc_message_invalid", "nfc.message", f"is 1 to {MAX_NFC_BYTES} bytes"
        )
    written["nfc"] = {
        "message": clean_text(nfc.message, "nfc.message"),
        "encryptionPublicKey": check_nfc_key(nfc.encryption_public_key),
    }
    if nfc.requires_authentication:
        written["nfc"]["requiresAuthentication"] = True


@lru_cache(maxsize=256)
def check_nfc_key(encoded: str) -> str:
    """The key itself; all passes of a template have the same. Raises PassContentRejected for what is no P-256 key."""
    try:
        key = load_der_public_key(base64.b64decode(encoded, validate=True))
    except (ValueError, binascii.Error, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise PassContentRejected(
            "nfc_key_invalid", "nfc.encryption_public_key", "is base64 of a P-256 public key"
        )
    return encoded
