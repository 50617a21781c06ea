"""Which images may be part of a pass: names, sizes, and nothing that harms who decodes them."""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

from passferry_wallet.apple.rejections import PassContentRejected

MAX_ASSET_BYTES = 655_360
MAX_CHUNKS = 2_000

_NAME = re.compile(
    r"(?:[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,2}\.lproj/)?"
    r"(?P<kind>[A-Za-z]{1,20})(?:@(?P<scale>[23])x)?\.png"
)
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER_SIZE = 13
#: Frames of an animation: nothing that Wallet shows, and a way to hide pictures.
_ANIMATION = frozenset({b"acTL", b"fcTL", b"fdAT"})
_COMPRESSED_TEXT = frozenset({b"zTXt", b"iTXt"})


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Points, of which a scale of 2 or 3 makes as many times the pixels."""

    width: int
    height: int
    is_square: bool = False
    least: int = 1


IMAGE_LIMITS = {
    # 29 points until a few years ago, 38 since then.
    "icon": ImageLimits(38, 38, is_square=True, least=29),
    "logo": ImageLimits(160, 50),
    "strip": ImageLimits(375, 144),
    "thumbnail": ImageLimits(90, 90),
    "background": ImageLimits(345, 505),
    "footer": ImageLimits(286, 15),
    "artwork": ImageLimits(358, 448),
    "primaryLogo": ImageLimits(126, 30),
    "secondaryLogo": ImageLimits(135, 12),
}


def check_asset(name: str, data: bytes) -> None:
    """Raises PassContentRejected for a file that is not a sound PNG of a known name and size.

    `name` is the path in the bundle, such as `icon@2x.png` or `de.lproj/logo.png`.
    """
    limits, scale = _limits_of(name)
    if len(data) > MAX_ASSET_BYTES:
        raise PassContentRejected("too_large", name, f"is larger than {MAX_ASSET_BYTES} bytes")
    width, height = _dimensions(name, data)
    _check_dimensions(name, width, height, limits, scale)
    # Only now: the sizes are known to be small.
    _check_decodes(name, data)


def _limits_of(name: str) -> tuple[ImageLimits, int]:
    found = _NAME.fullmatch(name) if name.isascii() else None
    limits = IMAGE_LIMITS.get(found["kind"]) if found else None
    if found is None or limits is None:
        known = ", ".join(sorted(IMAGE_LIMITS))
        raise PassContentRejected(
            "name_invalid", "files", f"must be {known}, with @2x or @3x, and end in .png"
        )
    return limits, int(found["scale"] or 1)


def _dimensions(name: str, data: bytes) -> tuple[int, int]:
    """(width, height) in pixels of a file whose chunks are whole and of the expected kinds."""
    if not data.startswith(PNG_SIGNATURE):
        raise PassContentRejected("not_png", name, "is not a PNG image")
    header = b""
    for index, (kind, body) in enumerate(_chunks(name, data)):
        if index >= MAX_CHUNKS or kind in _ANIMATION or kind in _COMPRESSED_TEXT:
            raise PassContentRejected(
                "png_refused", name, "has animation, compressed text or too many parts"
            )
        if (index == 0) != (kind == b"IHDR"):
            raise PassContentRejected("not_png", name, "is a damaged PNG image")
        header = header or body
    if len(header) != _HEADER_SIZE:
        raise PassContentRejected("not_png", name, "is a damaged PNG image")
    width, height = struct.unpack(">II", header[:8])
    return width, height


def _chunks(name: str, data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = len(PNG_SIGNATURE)
    kind = b""
    while kind != b"IEND":
        if position + 12 > len(data):
            raise PassContentRejected("not_png", name, "is a PNG image without its end")
        (size,) = struct.unpack_from(">I", data, position)
        kind = data[position + 4 : position + 8]
        end = position + 12 + size
        if end > len(data):
            raise PassContentRejected("not_png", name, "is a PNG image without its end")
        body = data[position + 8 : end - 4]
        if zlib.crc32(kind + body) != int.from_bytes(data[end - 4 : end], "big"):
            raise PassContentRejected("not_png", name, "is a damaged PNG image")
        yield kind, body
        position = end
    if position != len(data):
        raise PassContentRejected("png_refused", name, "has other data behind the image")


def _check_dimensions(name: str, width: int, height: int, limits: ImageLimits, scale: int) -> None:
    most = (limits.width * scale, limits.height * scale)
    least = limits.least * scale
    fits = least <= width <= most[0] and least <= height <= most[1]
    if not fits or (limits.is_square and width != height):
        shape = "square and " if limits.is_square else ""
        raise PassContentRejected(
            "dimensions_invalid",
            name,
            f"must be {shape}at most {most[0]} x {most[1]} pixels and at least {least}, "
            f"not {width} x {height}",
        )


def _check_decodes(name: str, data: bytes) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
                image.load()
    except (
        OSError,
        ValueError,
        SyntaxError,
        Warning,
        zlib.error,
        Image.DecompressionBombError,
    ) as error:
        raise PassContentRejected("not_png", name, "cannot be decoded") from error
