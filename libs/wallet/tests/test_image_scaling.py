"""One large picture gives every density, always the same bytes, and no attack a hold.
Apple's pass format: P4"""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from PIL import Image, PngImagePlugin

from passferry_wallet.apple.assets import MAX_ASSET_BYTES, check_asset
from passferry_wallet.apple.image_scaling import (
    MAX_SOURCE_BYTES,
    MAX_SOURCE_PIXELS,
    scale_image,
)
from passferry_wallet.apple.rejections import PassContentRejected


def picture(width, height, *, form="PNG", mode="RGB", **more):
    image = Image.linear_gradient("L").resize((width, height)).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, form, **more)
    return buffer.getvalue()


def noise(width, height):
    buffer = io.BytesIO()
    channels = [Image.effect_noise((width, height), 90 + each) for each in range(3)]
    Image.merge("RGB", channels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def sizes(files):
    return {name: Image.open(io.BytesIO(data)).size for name, data in files.items()}


def refused(role, source):
    with pytest.raises(PassContentRejected) as refusal:
        scale_image(role, source)
    return refusal.value.code


@pytest.mark.parametrize(
    ("role", "size", "expected"),
    [
        ("icon", (512, 512), [(38, 38), (76, 76), (114, 114)]),
        ("logo", (2000, 1000), [(100, 50), (200, 100), (300, 150)]),
        ("logo", (2000, 100), [(160, 8), (320, 16), (480, 24)]),
        ("strip", (1200, 1200), [(375, 144), (750, 288), (1125, 432)]),
        ("thumbnail", (300, 600), [(45, 90), (90, 180), (135, 270)]),
        ("background", (1100, 1600), [(345, 505), (690, 1010), (1035, 1515)]),
        ("artwork", (1200, 1400), [(358, 448), (716, 896), (1074, 1344)]),
        ("footer", (900, 30), [(286, 9), (572, 19), (858, 28)]),
        ("primaryLogo", (400, 100), [(120, 30), (240, 60), (360, 90)]),
        ("secondaryLogo", (410, 20), [(135, 6), (270, 13), (405, 19)]),
    ],
)
def test_every_density_has_the_size_that_its_role_asks_for(role, size, expected):
    files = scale_image(role, picture(*size))
    names = [f"{role}.png", f"{role}@2x.png", f"{role}@3x.png"]
    assert sizes(files) == dict(zip(names, expected, strict=True))
    for name, data in files.items():
        check_asset(name, data)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_sources_of_each_kind_give_png_and_the_same_bytes_again(form):
    source = picture(480, 480, form=form)
    first = scale_image("icon", source)
    assert all(data.startswith(b"\x89PNG\r\n\x1a\n") for data in first.values())
    assert scale_image("icon", source) == first


def test_transparency_stays_and_metadata_goes():
    note = PngImagePlugin.PngInfo()
    note.add_text("Comment", "made by Zoë at home")
    source = picture(480, 150, mode="LA", pnginfo=note, dpi=(300, 300))
    files = scale_image("logo", source)
    for data in files.values():
        assert b"Zo" not in data
        assert b"tEXt" not in data
        assert b"pHYs" not in data
        assert Image.open(io.BytesIO(data)).mode == "RGBA"


def test_a_photograph_turned_by_its_camera_stands_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    source = picture(100, 480, form="JPEG", exif=exif)
    assert sizes(scale_image("logo", source))["logo@3x.png"] == (480, 100)


def test_a_photograph_with_a_preview_behind_it_is_taken():
    frames = [Image.new("RGB", (side, side), (side // 4, 0, 0)) for side in (400, 40)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "MPO", save_all=True, append_images=frames[1:])
    assert sizes(scale_image("icon", buffer.getvalue()))["icon@3x.png"] == (114, 114)


def test_a_restless_photograph_keeps_to_the_limit_with_fewer_colours():
    files = scale_image("strip", noise(1125, 432))
    assert max(map(len, files.values())) <= MAX_ASSET_BYTES
    assert Image.open(io.BytesIO(files["strip@3x.png"])).mode == "P"


def test_what_is_too_restless_even_so_is_refused():
    assert refused("background", noise(1035, 1515)) == "too_large"


@pytest.mark.parametrize(
    ("role", "size"),
    [("icon", (113, 113)), ("icon", (200, 201)), ("logo", (479, 149)), ("strip", (1125, 431))],
)
def test_what_is_too_small_or_of_the_wrong_shape_is_refused(role, size):
    assert refused(role, picture(*size)) == "dimensions_invalid"


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def bomb(width, height):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(bytes(1_000_000), 9))
    return b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b"")


def animation():
    frames = [Image.new("RGB", (200, 200), (shade, 0, 0)) for shade in (0, 200)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (b"", "too_large"),
        (b"x" * (MAX_SOURCE_BYTES + 1), "too_large"),
        (b"GIF89a" + bytes(100), "not_image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not_image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "not_image"),
        (b"\x89PNG\r\n\x1a\n" + bytes(200), "not_image"),
        (b"\xff\xd8\xff" + bytes(200), "not_image"),
        (b"RIFF\x00\x00\x00\x00WEBP" + bytes(50), "not_image"),
        (picture(200, 200)[:-60], "not_image"),
        (bomb(100_000, 100_000), "dimensions_invalid"),
        (bomb(MAX_SOURCE_PIXELS, 1), "dimensions_invalid"),
        (bomb(4_000, 4_001), "dimensions_invalid"),
        (bomb(0, 10), "dimensions_invalid"),
        (animation(), "animated"),
    ],
)
def test_what_is_no_sound_picture_is_refused_before_it_is_unpacked(source, code):
    assert refused("icon", source) == code


def test_a_role_that_no_pass_has_is_refused():
    assert refused("../icon", picture(200, 200)) == "name_invalid"
