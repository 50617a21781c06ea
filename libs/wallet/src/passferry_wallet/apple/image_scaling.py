"""From one large picture to an image of a pass at every density: bounded, and without metadata."""

from __future__ import annotations

import io
import struct
import warnings
import zlib

from PIL import Image, ImageOps

from passferry_wallet.apple.assets import (
    IMAGE_LIMITS,
    MAX_ASSET_BYTES,
    PNG_SIGNATURE,
    ImageLimits,
    check_asset,
)
from passferry_wallet.apple.rejections import PassContentRejected

MAX_SOURCE_BYTES = 8 * 1024 * 1024
MAX_SOURCE_PIXELS = 16_000_000
MAX_SOURCE_SIDE = 10_000
DENSITIES = {1: "", 2: "@2x", 3: "@3x"}
_LARGEST = max(DENSITIES)
_COLOURS = 256
#: Roles whose picture fills its place; the others keep their shape within it.
_FILLING = frozenset({"icon", "strip", "background", "artwork"})
_JPEG_SIGNATURE = b"\xff\xd8\xff"
_DAMAGED = (
    OSError,
    ValueError,
    SyntaxError,
    Warning,
    zlib.error,
    struct.error,
    Image.DecompressionBombError,
)


def scale_image(role: str, source: bytes) -> dict[str, bytes]:
    """File name (`logo@2x.png`) to a PNG, for each density of `role`; equal input, equal bytes.

    `source` is a PNG, JPEG or WebP, large enough for the largest density. Raises
    PassContentRejected.
    """
    limits = IMAGE_LIMITS.get(role)
    if limits is None:
        known = ", ".join(sorted(IMAGE_LIMITS))
        raise PassContentRejected("name_invalid", "role", f"must be one of {known}")
    if not source or len(source) > MAX_SOURCE_BYTES:
        raise PassContentRejected("too_large", "body", f"must be 1 to {MAX_SOURCE_BYTES} bytes")
    picture = _decoded(source)
    _check_large_enough(role, picture, limits)
    files = {}
    for scale, mark in DENSITIES.items():
        name = f"{role}{mark}.png"
        files[name] = _png(_sized(role, picture, limits, scale), name)
        check_asset(name, files[name])
    return files


def _decoded(source: bytes) -> Image.Image:
    """Pixels in RGB or RGBA, turned upright. The size is read before anything is unpacked."""
    kind = _kind(source)
    if kind == "PNG":
        _check_size(*_png_size(source))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(io.BytesIO(source), formats=(kind,)) as image:
                _check_size(*image.size)
                # Cameras put previews behind a JPEG; the first picture is the one.
                if kind != "JPEG" and getattr(image, "n_frames", 1) > 1:
                    raise PassContentRejected(
                        "animated", "body", "must be one picture, not several"
                    )
                upright = ImageOps.exif_transpose(image)
                has_alpha = upright.has_transparency_data
                return upright.convert("RGBA" if has_alpha else "RGB")
    except _DAMAGED as error:
        raise PassContentRejected("not_image", "body", "cannot be decoded") from error


def _kind(source: bytes) -> str:
    if source.startswith(PNG_SIGNATURE):
        return "PNG"
    if source.startswith(_JPEG_SIGNATURE):
        return "JPEG"
    if source[:4] == b"RIFF" and source[8:12] == b"WEBP":
        return "WEBP"
    raise PassContentRejected("not_image", "body", "must be a PNG, JPEG or WebP picture")


def _png_size(source: bytes) -> tuple[int, int]:
    if source[12:16] != b"IHDR" or len(source) < len(PNG_SIGNATURE) + 25:
        raise PassContentRejected("not_image", "body", "is a damaged PNG image")
    width, height = struct.unpack_from(">II", source, 16)
    return width, height


def _check_size(width: int, height: int) -> None:
    is_long = max(width, height) > MAX_SOURCE_SIDE
    if not width or not height or is_long or width * height > MAX_SOURCE_PIXELS:
        raise PassContentRejected(
            "dimensions_invalid",
            "body",
            f"must have at most {MAX_SOURCE_PIXELS // 1_000_000} million pixels, and {MAX_SOURCE_SIDE} "
            f"on a side, not {width} x {height}",
        )


def _check_large_enough(role: str, picture: Image.Image, limits: ImageLimits) -> None:
    width, height = limits.width * _LARGEST, limits.height * _LARGEST
    if limits.is_square and picture.width != picture.height:
        raise PassContentRejected("dimensions_invalid", "body", f"must be square for the {role}")
    if role in _FILLING:
        is_large = picture.width >= width and picture.height >= height
        words = f"must be at least {width} x {height} pixels"
    else:
        is_large = picture.width >= width or picture.height >= height
        words = f"must be at least {width} pixels wide or {height} high"
    if not is_large:
        raise PassContentRejected(
            "dimensions_invalid", "body", f"{words}, not {picture.width} x {picture.height}"
        )


def _sized(role: str, picture: Image.Image, limits: ImageLimits, scale: int) -> Image.Image:
    box = (limits.width * scale, limits.height * scale)
    if role in _FILLING:
        return ImageOps.fit(picture, box, Image.Resampling.LANCZOS)
    # By whole numbers: a float could make a side one pixel too long.
    width = min(box[0], picture.width * box[1] // picture.height)
    height = min(box[1], picture.height * box[0] // picture.width)
    size = (max(width, scale), max(height, scale))
    return picture.resize(size, Image.Resampling.LANCZOS)


def _png(image: Image.Image, name: str) -> bytes:
    data = _encoded(image)
    if len(data) > MAX_ASSET_BYTES:
        # A photograph: fewer colours rather than no picture.
        method = Image.Quantize.FASTOCTREE if image.mode == "RGBA" else Image.Quantize.MEDIANCUT
        data = _encoded(image.quantize(_COLOURS, method=method))
    if len(data) > MAX_ASSET_BYTES:
        raise PassContentRejected(
            "too_large",
            "body",
            f"makes {name} larger than {MAX_ASSET_BYTES} bytes: use a calmer one",
        )
    return data


def _encoded(image: Image.Image) -> bytes:
    bare = image.copy()
    bare.info = {}
    buffer = io.BytesIO()
    bare.save(buffer, "PNG", compress_level=9)
    return buffer.getvalue()
