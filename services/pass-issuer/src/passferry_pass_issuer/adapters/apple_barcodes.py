"""What a template's barcodes are for one pass in Apple Wallet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from passferry_pass_issuer.adapters.apple_content import message_encoding
from passferry_pass_issuer.domain.field_mapping import reading_text
from passferry_pass_issuer.domain.rendering_subject import RenderSubject
from passferry_pass_issuer.domain.value_expression import BarcodeContent
from passferry_wallet.apple.pass_barcodes import BarcodeFrame


class DrawnBarcodes:
    """The barcodes of a template, ready to be drawn for one pass after the other."""

    def __init__(self, contents: Sequence[BarcodeContent]) -> None:
        self._barcodes = [_DrawnBarcode(content) for content in contents]

    def draw(self, subject: RenderSubject) -> tuple[bytes, bytes] | None:
        """All of them as JSON, and the one that every system shows; None without a message."""
        drawn: list[bytes] = []
        legacy = twin = None
        for barcode in self._barcodes:
            message = barcode.message(subject)
            if message is None:
                continue
            text = None if barcode.text is None else barcode.text(subject)
            drawn.append(barcode.frame.json(message, text))
            if legacy is None and barcode.frame.is_shown_everywhere:
                legacy = drawn[-1]
            # Behind what only some devices show stands a QR code of the preferred one.
            twin = twin or (barcode.twin, message, text)
        if twin is None:
            return None
        if legacy is None:
            frame, message, text = twin
            legacy = frame.json(message, text)
            drawn.append(legacy)
        return b"[%b]" % b",".join(drawn), legacy


class _DrawnBarcode:
    def __init__(self, content: BarcodeContent) -> None:
        encoding = message_encoding(content)
        self.frame = BarcodeFrame(cast("Any", content.format), encoding)
        self.twin = BarcodeFrame("qr", encoding)
        self.message = reading_text(content.message)
        beside = content.alternate_text
        self.text = None if beside is None else reading_text(beside)
