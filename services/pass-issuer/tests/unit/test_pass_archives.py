"""Uploads of passes: what is opened, and what is refused with which sentence."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import pytest

from passferry_pass_issuer.adapters import pass_archives
from passferry_pass_issuer.adapters.pass_archives import open_upload
from passferry_pass_issuer.domain.refusals import ContentRejected


def zipped(files, method=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files:
            info = name if isinstance(name, zipfile.ZipInfo) else zipfile.ZipInfo(name)
            archive.writestr(info, data, method)
    return buffer.getvalue()


PASS = zipped([("pass.json", b"{}"), ("icon.png", b"x"), ("de.lproj/pass.strings", b"")])


def refused(data):
    with pytest.raises(ContentRejected) as caught:
        open_upload(data)
    return caught.value


def test_one_pass_a_bundle_and_a_zip_of_both_are_opened():
    assert [each.name for each in open_upload(PASS)[0]] == ["upload"]
    bundle = zipped([("1.pkpass", PASS), ("2.pkpass", PASS)])
    assert [each.name for each in open_upload(bundle)[0]] == ["1.pkpass", "2.pkpass"]
    both = zipped([("a/all.pkpasses", bundle), ("b.pkpass", PASS), ("readme.txt", b"hi")])
    passes, ignored = open_upload(both)
    assert [each.name for each in passes] == ["1.pkpass", "2.pkpass", "b.pkpass"]
    assert ignored == ["readme.txt"]
    assert set(passes[0].files) == {"pass.json", "icon.png", "de.lproj/pass.strings"}


def test_what_a_desktop_leaves_in_a_zip_is_no_matter():
    data = zipped([("pass.json", b"{}"), ("__MACOSX/._pass.json", b""), (".DS_Store", b"")])
    assert set(open_upload(data)[0][0].files) == {"pass.json"}


@pytest.mark.parametrize(
    "name",
    [
        "../pass.json",
        "a/../../pass.json",
        "/etc/passwd",
        "C:/pass.json",
        "..\\pass.json",
        "a//b",
        "./x",
        "a\nb",
        "x" * 201,
        "a/\u202egnp.exe",
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(name):
    assert refused(zipped([("pass.json", b"{}"), (name, b"x")])).code == "name_invalid"


def test_a_name_with_a_nul_is_refused_before_it_is_shortened():
    data = zipped([("pass.json", b"{}"), ("evil.pngXjpg", b"x")]).replace(b"pngXjpg", b"png\0jpg")
    assert refused(data).code == "name_invalid"


def test_a_symbolic_link_is_refused():
    link = zipfile.ZipInfo("icon.png")
    link.external_attr = 0o120777 << 16
    assert refused(zipped([("pass.json", b"{}"), (link, b"/etc/passwd")])).code == "name_invalid"


def test_two_files_of_one_name_are_refused():
    with pytest.warns(UserWarning, match="Duplicate"):
        data = zipped([("pass.json", b"{}"), ("pass.json", b"[]")])
    assert refused(data).code == "duplicate"
    assert refused(zipped([("pass.json", b"{}"), ("Pass.json", b"[]")])).code == "duplicate"


def test_a_file_that_unpacks_to_far_more_is_refused():
    assert refused(zipped([("pass.json", b"{}"), ("a.bin", bytes(2_000_000))])).code == "zip_bomb"


def test_many_files_that_are_much_together_are_refused(monkeypatch):
    monkeypatch.setattr(pass_archives, "MAX_RATIO", 10_000)
    one = zipped([("pass.json", b"{}"), ("a.bin", bytes(8_000_000))])
    bomb = zipped([(f"{number}.pkpass", one) for number in range(20)])
    assert len(bomb) < 1_000_000
    assert refused(bomb).code == "too_large"


def test_a_size_that_is_a_lie_is_found_and_not_followed():
    data = bytearray(zipped([("pass.json", b"{}"), ("a.bin", bytes(50_000))]))
    for mark, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = data.rindex(mark)
        assert struct.unpack_from("<I", data, at + offset)[0] == 50_000
        struct.pack_into("<I", data, at + offset, 10)
    assert refused(bytes(data)).code == "not_a_zip"


def test_too_many_files_and_too_many_passes_are_refused():
    many = zipped([(f"{number}.txt", b"") for number in range(301)])
    assert refused(many).code == "too_many"
    assert len(open_upload(zipped([(f"{number}.pkpass", PASS) for number in range(100)]))[0]) == 100
    assert refused(zipped([(f"{number}.pkpass", PASS) for number in range(101)])).code == "too_many"


def test_a_directory_that_lies_about_its_length_is_not_parsed():
    # The count says one, the directory holds 30,000.
    data = bytearray(zipped([(f"{number}.txt", b"") for number in range(30_000)]))
    at = data.rindex(b"PK\x05\x06")
    struct.pack_into("<2H", data, at + 8, 1, 1)
    assert refused(bytes(data)).code == "too_many"


def test_archives_in_archives_are_refused_beyond_a_bundle():
    bundle = zipped([("1.pkpass", PASS)])
    deep = zipped([("a.pkpasses", zipped([("b.pkpasses", bundle)]))])
    assert refused(deep).code == "nested"
    assert refused(zipped([("a.zip", bundle)])).code == "nested"


def test_an_encrypted_file_is_refused():
    data = bytearray(PASS)
    for mark, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        data[data.index(mark) + offset] |= 1
    assert refused(bytes(data)).code == "encrypted"


def test_other_ways_of_packing_are_refused():
    assert refused(zipped([("pass.json", b"{}")], zipfile.ZIP_LZMA)).code == "not_a_zip"


@pytest.mark.parametrize(
    "data",
    [b"", b"PK", b"PK\x03\x04", PASS[:40], PASS[:-10], b"Rar!\x1a\x07", bytes(1_000), PASS[:-22]],
)
def test_what_is_no_whole_zip_is_refused(data):
    assert refused(data).code in {"not_a_zip", "no_pass"}


def test_damage_within_a_file_is_found():
    body = bytes(range(256)) * 40
    data = zipped([("pass.json", body)])
    at = data.index(zlib.compress(body, 6)[2:20])
    broken = data[:at] + bytes(20) + data[at + 20 :]
    assert refused(broken).code == "not_a_zip"


def test_a_zip_without_a_pass_says_what_a_pass_is():
    refusal = refused(zipped([("readme.txt", b"hi")]))
    assert refusal.code == "no_pass"
    assert "pass.json" in refusal.detail


def test_no_flipped_byte_raises_anything_but_a_refusal():
    for at in range(len(PASS)):
        data = PASS[:at] + bytes((PASS[at] ^ 0xFF,)) + PASS[at + 1 :]
        try:
            open_upload(data)
        except ContentRejected:
            continue
