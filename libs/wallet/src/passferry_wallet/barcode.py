"""What a barcode can hold, and QR codes as pictures."""

from __future__ import annotations

import io

import segno

from passferry_wallet.rejections import PassContentRejected

MAX_MESSAGE = {"qr": 2_000, "pdf417": 1_500, "aztec": 2_000, "code128": 80}


def check_barcode(kind: str, message: str, encoding: str, *, field: str = "barcode") -> None:
    """Raises `PassContentRejected` when no scanner could read it back."""
    if not message:
        raise PassContentRejected("barcode_empty", field, "a barcode needs a message")
    if len(message) > MAX_MESSAGE.get(kind, 0):
        raise PassContentRejected(
            "barcode_too_long", field, f"at most {MAX_MESSAGE.get(kind, 0)} characters"
        )
    if kind == "code128" and not all(32 <= ord(character) < 127 for character in message):
        raise PassContentRejected(
            "barcode_not_encodable", field, "Code 128 holds printable ASCII characters only"
        )
    try:
        message.encode(encoding)
    except (UnicodeEncodeError, LookupError) as error:
        raise PassContentRejected(
            "barcode_not_encodable", field, f"the message does not fit the encoding {encoding}"
        ) from error


def qr_svg(text: str) -> bytes:
    buffer = io.BytesIO()
    segno.make_qr(text, error="m").save(buffer, kind="svg", scale=6, border=2)
    return buffer.getvalue()


def qr_png(text: str) -> bytes:
    buffer = io.BytesIO()
    segno.make_qr(text, error="m").save(buffer, kind="png", scale=8, border=3)
    return buffer.getvalue()
