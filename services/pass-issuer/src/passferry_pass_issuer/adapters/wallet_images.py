"""The wallet library's checks, scaling and files of templates, in our own words."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from passferry_pass_issuer.domain.apple_template import AppleContent
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_wallet.apple.bundle import check_asset
from passferry_wallet.apple.image_scaling import scale_image
from passferry_wallet.apple.localisation import pass_strings
from passferry_wallet.apple.rejections import PassContentRejected

#: One picture may take a hundred megabytes while it is scaled.
MAX_AT_ONCE = 2
#: Of pictures of up to eight megabytes in memory.
MAX_READ_AT_ONCE = 8
READ_TIMEOUT_S = 30.0


def check_image(name: str, content: bytes) -> None:
    """Raises `ContentRejected` for what is no image of a pass bundle."""
    try:
        check_asset(name, content)
    except PassContentRejected as refusal:
        raise ContentRejected(refusal.code, refusal.field, refusal.detail) from refusal


class ImageScaler:
    """Scales beside the event loop, few at once; few pictures are read at once too."""

    def __init__(self, *, read_at_once: int = MAX_READ_AT_ONCE, at_once: int = MAX_AT_ONCE) -> None:
        self._readers = asyncio.Semaphore(read_at_once)
        self._turns = asyncio.Semaphore(at_once)

    async def __call__(
        self, role: str, read: Callable[[], Awaitable[bytes]]
    ) -> Mapping[str, bytes]:
        """File name to PNG for each density. Raises `ContentRejected`, or TimeoutError when the
        picture does not arrive."""
        async with self._readers:
            async with asyncio.timeout(READ_TIMEOUT_S):
                picture = await read()
            async with self._turns:
                return await asyncio.to_thread(_scaled, role, picture)


def _scaled(role: str, picture: bytes) -> Mapping[str, bytes]:
    try:
        return scale_image(role, picture)
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
