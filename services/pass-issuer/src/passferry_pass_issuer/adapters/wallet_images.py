"""The wallet library's checks, scaling and files of templates, in our own words."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from passferry_pass_issuer.domain.apple_template import AppleContent
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_wallet.apple.bundle import check_asset
from passferry_wallet.apple.image_scaling import scale_image
from passferry_wallet.apple.localisation import pass_strings
from passferry_wallet.apple.rejections import PassContentRejected

#: One picture may take a hundred megabytes while it is scaled.
MAX_AT_ONCE = 2


def check_image(name: str, content: bytes) -> None:
    """Raises `ContentRejected` for what is no image of a pass bundle."""
    try:
        check_asset(name, content)
    except PassContentRejected as refusal:
        raise ContentRejected(refusal.code, refusal.field, refusal.detail) from refusal


class ImageScaler:
    """Scales beside the event loop, few at once."""

    def __init__(self, *, at_once: int = MAX_AT_ONCE) -> None:
        self._turns = asyncio.Semaphore(at_once)

    async def __call__(self, role: str, source: bytes) -> Mapping[str, bytes]:
        """File name to PNG for each density. Raises `ContentRejected`."""
        async with self._turns:
            try:
                return await asyncio.to_thread(scale_image, role, source)
            except PassContentRejected as refusal:
                raise ContentRejected(refusal.code, refusal.field, refusal.detail) from refusal


def strings_files(apple: AppleContent) -> dict[str, bytes]:
    """`<language>.lproj/pass.strings` for each language of the template."""
    try:
        return {
            f"{language}.lproj/pass.strings": pass_strings(translations)
            for language, translations in sorted(apple.strings.items())
        }
    except PassContentRejected as refusal:
        raise ContentRejected(refusal.code, "apple.strings", refusal.detail) from refusal
