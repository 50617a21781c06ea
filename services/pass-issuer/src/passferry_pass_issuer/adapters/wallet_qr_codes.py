"""The wallet library's QR codes, in our own words."""

from __future__ import annotations

from passferry_pass_issuer.domain.qr_image import QrRequest
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_wallet.barcode import BarcodeRejected, qr_png, qr_svg


class WalletQrCodes:
    def svg(self, text: str, asked: QrRequest) -> bytes:
        return qr_svg(
            text,
            size_px=asked.size_px,
            margin_modules=asked.margin_modules,
            error=asked.error_correction.value,
        ).encode()

    def png(self, text: str, asked: QrRequest) -> bytes:
        """Raises `ContentRejected` where the size is less than one pixel for a module."""
        try:
            return qr_png(
                text,
                size_px=asked.size_px,
                margin_modules=asked.margin_modules,
                error=asked.error_correction.value,
            )
        except BarcodeRejected as refusal:
            raise ContentRejected(refusal.code, "size", refusal.detail) from refusal
