"""Archives, images and translations of a pass. proves: A13, A24 (Apple's pass format: P2, P4, P8,
P13)"""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passferry_wallet.apple.assets import MAX_ASSET_BYTES
from passferry_wallet.apple.bundle import (
    MAX_PASSES_PER_BUNDLE,
    BundleTemplate,
    PassContentRejected,
    build_manifest,
    bundle_passes,
    check_asset,
    sha1_hex,
)
from passferry_wallet.apple.localisation import pass_strings

PARTS = {"pass_json": b"{}", "manifest": b'{"a":"b"}', "signature": b"\x30\x00"}


def refused(action, *arguments):
    with pytest.raises(PassContentRejected) as refusal:
        action(*arguments)
    return refusal.value.code


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def test_an_archive_is_stored_at_the_root_with_fixed_times(images):
    with zipfile.ZipFile(io.BytesIO(BundleTemplate(images).assemble(**PARTS))) as archive:
        assert archive.testzip() is None
        for entry in archive.infolist():
            assert entry.compress_type == zipfile.ZIP_STORED
            assert entry.date_time == (1980, 1, 1, 0, 0, 0)
            assert entry.external_attr >> 16 == 0o100644
            assert not entry.filename.startswith("/")
        assert {name: archive.read(name) for name in images} == images
        assert archive.read("signature") == PARTS["signature"]


@given(st.dictionaries(st.sampled_from(["a.png", "ü/b.png", "c", "d.png"]), st.binary(max_size=99)))
def test_every_archive_is_read_back_as_it_was_given(assets):
    bundle = BundleTemplate(assets).assemble(**PARTS)
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        assert archive.testzip() is None
        read = {name: archive.read(name) for name in archive.namelist()}
    assert {name: read[name] for name in assets} == assets
    assert len(read) == len(assets) + 3


def test_the_order_in_which_files_are_given_does_not_matter(images):
    turned = dict(reversed(images.items()))
    assert BundleTemplate(turned).assemble(**PARTS) == BundleTemplate(images).assemble(**PARTS)


@pytest.mark.parametrize(
    "name",
    [
        "../icon.png",
        "/icon.png",
        "a//b.png",
        "a/./b.png",
        "a\\b.png",
        "a\0.png",
        "",
        "pass.json",
        "manifest.json",
        "signature",
    ],
)
def test_a_file_name_that_plays_tricks_is_refused(name):
    assert refused(BundleTemplate, {name: b""}) == "name_invalid"


def test_a_manifest_is_sorted_and_lists_neither_itself_nor_the_signature():
    digest = sha1_hex(b"")
    assert digest == "da39a3ee5e6b4b0d3255bfef95601890afd80709"
    written = f'{{"a.png":"{digest}","pass.json":"{digest}"}}'.encode()
    assert build_manifest({"pass.json": digest, "a.png": digest}) == written
    for name in ("manifest.json", "signature"):
        assert refused(build_manifest, {name: digest}) == "manifest_invalid"


def test_several_passes_travel_in_one_archive_within_its_limits():
    passes = {f"{number}.pkpass": bytes((number,)) for number in range(MAX_PASSES_PER_BUNDLE)}
    with zipfile.ZipFile(io.BytesIO(bundle_passes(passes))) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == passes
    assert refused(bundle_passes, passes | {"11.pkpass": b""}) == "too_many"
    assert refused(bundle_passes, {}) == "too_many"
    assert refused(bundle_passes, {"../1.pkpass": b""}) == "name_invalid"
    mebibytes = dict.fromkeys(list(passes)[:4], bytes(40 * 1024 * 1024))
    assert refused(bundle_passes, mebibytes) == "too_large"


# Images


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("icon.png", (29, 29)),
        ("icon.png", (38, 38)),
        ("icon@3x.png", (114, 114)),
        ("logo@2x.png", (320, 100)),
        ("strip@3x.png", (1125, 432)),
        ("thumbnail.png", (60, 90)),
        ("background@2x.png", (360, 440)),
        ("footer.png", (286, 15)),
        ("de.lproj/icon@2x.png", (76, 76)),
        ("zh-Hans.lproj/logo.png", (160, 50)),
    ],
)
def test_images_of_known_names_and_sizes_are_taken(png, name, size):
    check_asset(name, png(*size))


@pytest.mark.parametrize(
    "name",
    [
        "icon.jpg",
        "icon@4x.png",
        "ICON.png",
        "photo.png",
        "../icon.png",
        "/icon.png",
        "de.lproj/../icon.png",
        "de.lproj\\icon.png",
        "icon.png\n",
        "icon.png\0",
        "d.lproj/icon.png",
        "de/icon.png",
        "",
    ],
)
def test_images_of_other_names_are_refused(png, name):
    assert refused(check_asset, name, png(38, 38)) == "name_invalid"


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("icon.png", (39, 39)),
        ("icon.png", (38, 37)),
        ("icon.png", (28, 28)),
        ("icon@2x.png", (38, 38)),
        ("logo.png", (161, 50)),
        ("strip.png", (375, 145)),
    ],
)
def test_images_of_other_sizes_are_refused(png, name, size):
    assert refused(check_asset, name, png(*size)) == "dimensions_invalid"


def test_a_file_that_only_calls_itself_png_is_refused():
    for data in (b"", b"GIF89a", b"<svg/>", b"\x89PNG\r\n\x1a\n"):
        assert refused(check_asset, "icon.png", data) == "not_png"


def test_a_file_that_is_too_large_is_refused(png):
    assert refused(check_asset, "icon.png", png(38, 38) + bytes(MAX_ASSET_BYTES)) == "too_large"


def test_an_image_that_unfolds_to_gigabytes_is_refused_by_its_header_alone():
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 6, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    bomb += chunk(b"IDAT", zlib.compress(bytes(1_000_000))) + chunk(b"IEND", b"")
    assert refused(check_asset, "icon.png", bomb) == "dimensions_invalid"


def test_data_behind_or_beside_the_picture_is_refused(png):
    image = png(38, 38)
    text = chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(1_000_000)))
    frames = chunk(b"acTL", bytes(8))
    for spoiled in (
        image + b"PK\x03\x04",
        image[:33] + text + image[33:],
        image[:33] + frames + image[33:],
    ):
        assert refused(check_asset, "icon.png", spoiled) == "png_refused"


def test_damaged_images_are_refused(png):
    image = png(38, 38)
    middle = image.index(b"IDAT") + 6
    damaged = image[:middle] + bytes((image[middle] ^ 1,)) + image[middle + 1 :]
    header = image[:33]
    no_picture = header + chunk(b"IEND", b"")
    broken_stream = header + chunk(b"IDAT", b"no zlib") + chunk(b"IEND", b"")
    for spoiled in (damaged, image[:-1], image[:40], no_picture, broken_stream):
        assert refused(check_asset, "icon.png", spoiled) == "not_png"


# Translations


def read_strings(data: bytes) -> dict[str, str]:
    """A small reader of the format, for what the writer may write."""
    text = data.decode("utf-16") if data.startswith(b"\xff\xfe") else data.decode("ascii")
    pair = re.compile(r'"((?:[^"\\\n\r]|\\.)*)" = "((?:[^"\\\n\r]|\\.)*)";\n')
    escapes = {"n": "\n", "r": "\r", '"': '"', "\\": "\\"}
    found = pair.findall(text)
    assert pair.sub("", text) == ""
    return {plain(key, escapes): plain(value, escapes) for key, value in found}


def plain(text, escapes):
    return re.sub(r"\\(.)", lambda match: escapes[match[1]], text)


@given(
    st.dictionaries(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
)
def test_translations_are_read_back_whatever_they_hold(translations):
    assert read_strings(pass_strings(translations)) == translations


def test_quotes_backslashes_and_line_ends_are_escaped():
    data = pass_strings({"b": 'say "hi"\r\n', "a": "C:\\"})
    assert data == b'"a" = "C:\\\\";\n"b" = "say \\"hi\\"\\r\\n";\n'


def test_texts_beyond_ascii_are_utf_16_with_a_mark():
    assert pass_strings({"a": "Grüße"}).startswith(b"\xff\xfe")
    assert refused(pass_strings, {"a": "\ud800"}) == "not_unicode"
