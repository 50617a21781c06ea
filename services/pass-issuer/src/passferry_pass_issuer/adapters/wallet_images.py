"""The wallet library's check of images, in our own words."""

from __future__ import annotations

from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_wallet.apple.bundle import check_asset
from passferry_wallet.apple.rejections import PassContentRejected


def check_image(name: str, content: bytes) -> None:
    """Raises `ContentRejected` for what is no image of a pass bundle."""
    try:
        check_asset(name, content)
    except PassContentRejected as refusal:
        raise ContentRejected(refusal.code, refusal.field, refusal.detail) from refusal
