"""QR codes by segno."""

from __future__ import annotations

import io

import segno

from passferry_pass_issuer.domain.qr_image import QrRequest
from passferry_pass_issuer.domain.refusals import ContentRejected


class SegnoQrCodes:
    def svg(self, text: str, asked: QrRequest) -> bytes:
        out = io.BytesIO()
        _code(text, asked).save(
            out,
            kind="svg",
            omitsize=True,
            border=asked.margin_modules,
            light="#ffffff",
            xmldecl=False,
            nl=False,
        )
        # Its own size is the number of modules; only the outside is scaled.
        size = b'<svg width="%d" height="%d" ' % (asked.size_px, asked.size_px)
        return out.getvalue().replace(b"<svg ", size, 1)

    def png(self, text: str, asked: QrRequest) -> bytes:
        code = _code(text, asked)
        modules, _ = code.symbol_size(border=asked.margin_modules)
        scale = asked.size_px // modules
        if scale < 1:
            raise ContentRejected("too_small", "size", f"is at least {modules} for this link")
        out = io.BytesIO()
        code.save(out, kind="png", scale=scale, border=asked.margin_modules, light="#ffffff")
        return out.getvalue()


def _code(text: str, asked: QrRequest) -> segno.QRCode:
    return segno.make_qr(text, error=asked.error_correction.value, boost_error=False)
