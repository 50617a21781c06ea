"""What readers read: barcodes, and the value for contactless readers."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, model_validator
from pydantic_core import PydanticCustomError

from passferry_wallet.apple.document.parts import Part, Text
from passferry_wallet.apple.pass_barcodes import (
    BARCODE_NAMES,
    ENCODINGS,
    MAX_NFC_BYTES,
    check_nfc_key,
)
from passferry_wallet.apple.rejections import PassContentRejected
from passferry_wallet.barcode import BarcodeRejected, check_message

BarcodeFormatName = Literal[
    "PKBarcodeFormatQR",
    "PKBarcodeFormatPDF417",
    "PKBarcodeFormatAztec",
    "PKBarcodeFormatCode128",
    "PKBarcodeFormatEAN13",
    "PKBarcodeFormatCode39",
    "PKBarcodeFormatCodabar",
    "PKBarcodeFormatI2of5",
]
_FORMATS = {name: format_ for format_, name in BARCODE_NAMES.items()}


class Barcode(Part):
    format: BarcodeFormatName
    message: str
    message_encoding: str = "iso-8859-1"
    alt_text: Text | None = None

    @model_validator(mode="after")
    def _is_readable(self) -> Self:
        try:
            check_message(_FORMATS[self.format], self.message)
        except BarcodeRejected as refusal:
            raise PydanticCustomError(
                refusal.code, "{detail}", {"detail": refusal.detail}
            ) from None
        if self.message_encoding.lower() not in ENCODINGS:
            raise PydanticCustomError(
                "encoding_unknown", "the encoding is one of iso-8859-1, us-ascii, utf-8"
            )
        try:
            self.message.encode(self.message_encoding)
        except UnicodeEncodeError:
            raise PydanticCustomError(
                "barcode_not_encodable", "the message cannot be told in its messageEncoding"
            ) from None
        return self


def _short(message: str) -> str:
    if not message or len(message.encode("utf-8", "replace")) > MAX_NFC_BYTES:
        raise PydanticCustomError(
            "nfc_message_invalid", "must be 1 to {most} bytes", {"most": MAX_NFC_BYTES}
        )
    return message


def _p256(key: str) -> str:
    try:
        return check_nfc_key(key)
    except PassContentRejected as refusal:
        raise PydanticCustomError(refusal.code, "{detail}", {"detail": refusal.detail}) from None


class Nfc(Part):
    message: Annotated[str, AfterValidator(_short)]
    encryption_public_key: Annotated[str, AfterValidator(_p256)]
    requires_authentication: bool | None = None
