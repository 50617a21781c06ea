""".pkpass bundles: manifest, images, and a zip whose constant parts are made once."""

from __future__ import annotations

import hashlib
import io
import re
import struct
import zlib
from collections.abc import Mapping

import orjson
from PIL import Image

from passferry_wallet.rejections import PassContentRejected

MAX_ASSET_BYTES = 640 * 1024
MAX_PIXELS = 4_000_000
MAX_ASSETS = 100
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"

#: Largest size in points; pixels are this times the scale.
_SIZES = {
    "icon": (64, 64),
    "logo": (160, 50),
    "strip": (375, 144),
    "thumbnail": (90, 90),
    "background": (345, 505),
    "footer": (286, 15),
}
_NAME = re.compile(
    r"^(?:(?P<language>[a-z]{2,3}(?:-[A-Za-z]{2,4})?)\.lproj/)?"
    r"(?P<kind>[a-z]+)(?:@(?P<scale>[23])x)?\.png$"
)

_LOCAL = struct.Struct("<IHHHHHIIIHH")
_CENTRAL = struct.Struct("<IHHHHHHIIIHHHHHII")
_END = struct.Struct("<IHHHHIIH")
_VERSION = 20
_UTF8 = 0x0800
#: 1980-01-01 00:00, the first moment a zip can tell: equal content gives equal bytes.
_TIME, _DATE = 0, 0x21


def sha1_hex(data: bytes) -> str:
    # SHA-1 is the format's own; the integrity of a pass rests on its signature.
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def build_manifest(digests: Mapping[str, str]) -> bytes:
    """`{file name: SHA-1}` in one canonical form."""
    return orjson.dumps(dict(digests), option=orjson.OPT_SORT_KEYS)


def check_asset(name: str, data: bytes) -> None:
    """Raises `PassContentRejected` for what is not an image that Wallet shows."""
    matched = _NAME.match(name)
    if matched is None or matched["kind"] not in _SIZES:
        raise PassContentRejected(
            "image_name_unknown",
            name[:100],
            f"name it {', '.join(_SIZES)} with .png, @2x.png or @3x.png",
        )
    if len(data) > MAX_ASSET_BYTES:
        raise PassContentRejected(
            "image_too_large", name, f"{len(data)} bytes; at most {MAX_ASSET_BYTES} are allowed"
        )
    if not data.startswith(PNG_MAGIC) or len(data) < 33:
        raise PassContentRejected("image_not_png", name, "Wallet takes PNG files only")
    # The size is read before anything is decoded: a small file can unpack to gigabytes.
    width, height = struct.unpack(">II", data[16:24])
    scale = int(matched["scale"] or 1)
    widest, highest = _SIZES[matched["kind"]]
    if not (0 < width <= widest * scale and 0 < height <= highest * scale):
        raise PassContentRejected(
            "image_size_wrong",
            name,
            f"{width}x{height} pixels; at most {widest * scale}x{highest * scale}",
        )
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PassContentRejected("image_damaged", name, "the PNG cannot be decoded") from error


class BundleTemplate:
    """The images of one template version, ready to be joined with any of its passes."""

    def __init__(self, assets: Mapping[str, bytes]) -> None:
        if len(assets) > MAX_ASSETS:
            raise PassContentRejected("too_many_images", "assets", f"at most {MAX_ASSETS}")
        self.digests = {name: sha1_hex(data) for name, data in sorted(assets.items())}
        local, central = bytearray(), bytearray()
        for name, data in sorted(assets.items()):
            central += _central_record(name, data, len(local))
            local += _local_record(name, data)
        self._local, self._central = bytes(local), bytes(central)
        self._count = len(assets)

    def assemble(self, *, pass_json: bytes, manifest: bytes, signature: bytes) -> bytes:
        """The zip, stored; equal parts give equal bytes."""
        parts = [self._local]
        central = [self._central]
        offset = len(self._local)
        own = (("manifest.json", manifest), ("pass.json", pass_json), ("signature", signature))
        for name, data in own:
            record = _local_record(name, data)
            central.append(_central_record(name, data, offset))
            parts.append(record)
            offset += len(record)
        directory = b"".join(central)
        count = self._count + len(own)
        end = _END.pack(0x06054B50, 0, 0, count, count, len(directory), offset, 0)
        return b"".join([*parts, directory, end])


def _local_record(name: str, data: bytes) -> bytes:
    encoded = name.encode()
    size, crc = len(data), zlib.crc32(data)
    head = _LOCAL.pack(
        0x04034B50, _VERSION, _UTF8, 0, _TIME, _DATE, crc, size, size, len(encoded), 0
    )
    return head + encoded + data


def _central_record(name: str, data: bytes, offset: int) -> bytes:
    encoded = name.encode()
    size, crc = len(data), zlib.crc32(data)
    head = _CENTRAL.pack(
        0x02014B50, _VERSION, _VERSION, _UTF8, 0, _TIME, _DATE, crc, size, size,
        len(encoded), 0, 0, 0, 0, 0, offset,
    )  # fmt: skip
    return head + encoded
