"""The pass reader accepts what openssl accepts, and names what a device would refuse."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from passferry_testing.pass_reader import (
    PassUnreadable,
    read_pass,
    read_passes,
    verify_with_openssl,
)
from passferry_testing.pki import DemoAuthority
from passferry_testing.sample_pass import SAMPLE_PASS_TYPE, SAMPLE_TEAM, SamplePress, archive

Files = dict[str, bytes]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> DemoAuthority:
    return DemoAuthority.create(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def press(authority: DemoAuthority) -> SamplePress:
    return SamplePress(authority)


def test_a_good_pass_is_read_and_openssl_agrees(
    authority: DemoAuthority, press: SamplePress
) -> None:
    content = press.pass_json(
        webServiceURL="https://example.org/w/1",
        authenticationToken="a" * 32,
        barcodes=[{"format": "PKBarcodeFormatQR", "message": "m-1", "messageEncoding": "utf-8"}],
        voided=True,
    )
    data = press.press(content, files={"de.lproj/pass.strings": b'"a" = "b";'})

    read = read_pass(data, root_pem=authority.root_pem)
    verify_with_openssl(data, root_pem=authority.root_pem)

    assert (read.serial, read.pass_type_identifier) == ("sample-serial-0001", SAMPLE_PASS_TYPE)
    assert read.fields == {"balance": 0}
    assert (read.web_service_url, read.authentication_token) == (
        "https://example.org/w/1",
        "a" * 32,
    )
    assert abs(read.signing_time - datetime.now(UTC)) < timedelta(minutes=5)
    assert (read.barcode, read.is_voided) == ("m-1", True)
    assert "de.lproj/pass.strings" in read.files


def test_an_elliptic_curve_signature_is_read_too(authority: DemoAuthority) -> None:
    issued = authority.issue_pass_certificate(SAMPLE_PASS_TYPE, SAMPLE_TEAM, key="ec")
    press = SamplePress(authority, issued=issued)
    data = press.press(press.pass_json())
    read_pass(data, root_pem=authority.root_pem)
    verify_with_openssl(data, root_pem=authority.root_pem)


def swap_signature(files: Files) -> None:
    files["signature"] = files["signature"][:-1] + bytes([files["signature"][-1] ^ 1])


def change_manifest_and_file(files: Files) -> None:
    files["manifest.json"] = files["manifest.json"].replace(b'"pass.json"', b'"pass.json" ')


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda files: files.update({"logo.png": b"x"}), "not in the manifest"),
        (lambda files: files.pop("icon.png"), "not in the archive"),
        (lambda files: files.update({"icon.png": b"\x89PNG\r\n\x1a\nother"}), "hash of icon.png"),
        (lambda files: files.pop("signature"), "signature is missing"),
        (lambda files: files.update({"signature": b"0\x80"}), "not well-formed"),
        (lambda files: files.update({"../x": b""}), "plain relative path"),
        (lambda files: files.update({"/etc/x": b""}), "plain relative path"),
        (lambda files: files.update({"a\\b": b""}), "plain relative path"),
        (lambda files: files.update({".DS_Store": b""}), "does not belong"),
        (swap_signature, "does not verify"),
        (change_manifest_and_file, "signed digest"),
    ],
)
def test_a_tampered_archive_is_refused(
    authority: DemoAuthority, press: SamplePress, spoil: Callable[[Files], Any], reason: str
) -> None:
    data = press.press(press.pass_json(), spoil=spoil)
    with pytest.raises(PassUnreadable, match=reason):
        read_pass(data, root_pem=authority.root_pem)


@pytest.mark.parametrize("spoil", [swap_signature, change_manifest_and_file])
def test_openssl_refuses_a_tampered_signature_too(
    authority: DemoAuthority, press: SamplePress, spoil: Callable[[Files], Any]
) -> None:
    data = press.press(press.pass_json(), spoil=spoil)
    with pytest.raises(PassUnreadable, match="openssl"):
        verify_with_openssl(data, root_pem=authority.root_pem)


def test_an_entry_that_is_there_twice_is_refused(authority: DemoAuthority) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = archive([("pass.json", b"{}"), ("pass.json", b"{}")])
    with pytest.raises(PassUnreadable, match="twice"):
        read_pass(data, root_pem=authority.root_pem)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04junk", b"<html>"])
def test_what_is_no_zip_is_refused(authority: DemoAuthority, data: bytes) -> None:
    with pytest.raises(PassUnreadable, match="zip"):
        read_pass(data, root_pem=authority.root_pem)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"formatVersion": 2}, "formatVersion"),
        ({"serialNumber": ""}, "serialNumber"),
        ({"description": None}, "description"),
        ({"coupon": {}}, "exactly one style"),
        ({"webServiceURL": "https://example.org"}, "go together"),
        ({"webServiceURL": "https://example.org", "authenticationToken": "short"}, "shorter"),
        ({"expirationDate": "2026-05-14T07:31:05+0100"}, "W3C date"),
        ({"expirationDate": "2026-05-14"}, "W3C date"),
        ({"storeCard": {"headerFields": [{"key": "a"}]}}, "no value"),
        (
            {"storeCard": {"backFields": [{"key": "a", "value": 1}, {"key": "a", "value": 2}]}},
            "not unique",
        ),
        (
            {"storeCard": {"backFields": [{"key": "a", "value": "1", "currencyCode": "EUR"}]}},
            "not a number",
        ),
        ({"barcodes": [{"format": "PKBarcodeFormatQR", "message": "Ω"}]}, "cannot be encoded"),
        ({"storeCard": {"transitType": "PKTransitTypeAir"}}, "transitType"),
        ({"posterGeneric": {}, "generic": {}}, "exactly one style"),
        ({"locations": [{"latitude": 1, "longitude": 1}] * 11}, "more than 10 locations"),
        ({"featuredActions": [{}] * 3}, "more than 2 featuredActions"),
        ({"nfc": {"message": "x" * 65}}, "64 bytes"),
        ({"nfc": {"message": "x"}}, "certificate for NFC"),
        ({"barcodes": [{"format": "PKBarcodeFormatEAN13", "message": "1"}]}, "iOS 26"),
        (
            {"storeCard": {"backFields": [{"key": "a", "value": "1", "numberStyle": "x"}]}},
            "not a number",
        ),
        ({"passTypeIdentifier": "pass.org.example.other"}, "signing certificate"),
        ({"teamIdentifier": "OTHERTEAM1"}, "signing certificate"),
    ],
)
def test_content_that_a_device_refuses_is_named(
    authority: DemoAuthority, press: SamplePress, changes: dict[str, Any], reason: str
) -> None:
    data = press.press(press.pass_json() | changes)
    with pytest.raises(PassUnreadable, match=reason):
        read_pass(data, root_pem=authority.root_pem)


def test_a_poster_is_read_with_its_twin_only(authority: DemoAuthority, press: SamplePress) -> None:
    content = press.pass_json()
    fields = content.pop("storeCard")
    poster = content | {"posterGeneric": fields, "generic": fields}
    read = read_pass(press.press(poster), root_pem=authority.root_pem)
    assert read.fields == {"balance": 0}
    with pytest.raises(PassUnreadable, match="iOS 26"):
        read_pass(press.press(content | {"posterGeneric": fields}), root_pem=authority.root_pem)


@pytest.mark.parametrize(
    ("german", "french", "reason"),
    [
        (b'"a" = "b";', b'"a" = "c";\n"d" = "e";', "other texts"),
        (b'"a" = "say "hi"";', b'"a" = "c";', "no ;"),
        (b'"a" = "two\nlines";', b'"a" = "c";', "line ends"),
        (b'"a" = "never ends', b'"a" = "c";', "never ends"),
        ('"a" = "Grüße";'.encode(), b'"a" = "c";', "neither UTF-16 nor ASCII"),
        (b'"a" = "b"; "a" = "c";', b'"a" = "c";', "twice"),
        (b'"a" = "\\x";', b'"a" = "c";', "escape"),
    ],
)
def test_translations_that_a_device_ignores_are_named(
    authority: DemoAuthority, press: SamplePress, german: bytes, french: bytes, reason: str
) -> None:
    files = {"de.lproj/pass.strings": german, "fr.lproj/pass.strings": french}
    data = press.press(press.pass_json(), files=files)
    with pytest.raises(PassUnreadable, match=reason):
        read_pass(data, root_pem=authority.root_pem)


def test_translations_are_read_by_language(authority: DemoAuthority, press: SamplePress) -> None:
    files = {"de.lproj/pass.strings": '"a" = "Grüße \\"dort\\"\\n";'.encode("utf-16")}
    data = press.press(press.pass_json(), files=files)
    assert read_pass(data, root_pem=authority.root_pem).strings == {"de": {"a": 'Grüße "dort"\n'}}


def test_a_bundle_of_passes_is_read_pass_by_pass(
    authority: DemoAuthority, press: SamplePress
) -> None:
    one, other = (press.press(press.pass_json(f"sample-serial-000{n}")) for n in (1, 2))
    found = read_passes(
        archive([("1.pkpass", one), ("2.pkpass", other)]), root_pem=authority.root_pem
    )
    assert [read.serial for read in found.values()] == ["sample-serial-0001", "sample-serial-0002"]
    for wrong in (
        [],
        [("x/1.pkpass", one)],
        [("1.zip", one)],
        [(f"{n}.pkpass", one) for n in range(11)],
    ):
        with pytest.raises(PassUnreadable):
            read_passes(archive(wrong), root_pem=authority.root_pem)
    with pytest.raises(PassUnreadable, match="zip"):
        read_passes(b"junk", root_pem=authority.root_pem)


def test_a_pass_of_another_authority_is_refused(press: SamplePress, tmp_path: Path) -> None:
    stranger = DemoAuthority.create(tmp_path)
    data = press.press(press.pass_json())
    with pytest.raises(PassUnreadable, match=r"chain does not reach|not issued"):
        read_pass(data, root_pem=stranger.root_pem)


def test_a_pass_signed_with_an_expired_certificate_is_refused(authority: DemoAuthority) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    issued = authority.issue_pass_certificate(SAMPLE_PASS_TYPE, SAMPLE_TEAM, not_after=yesterday)
    press = SamplePress(authority, issued=issued)
    with pytest.raises(PassUnreadable, match="not valid now"):
        read_pass(press.press(press.pass_json()), root_pem=authority.root_pem)


def test_a_signature_without_a_signing_date_is_refused(
    authority: DemoAuthority, press: SamplePress
) -> None:
    def rename_attribute(files: Files) -> None:
        # The object identifier of signingTime becomes one that nobody knows.
        time_identifier = bytes.fromhex("06092a864886f70d010905")
        assert time_identifier in files["signature"]
        files["signature"] = files["signature"].replace(
            time_identifier, bytes.fromhex("06092a864886f70d01097f")
        )

    data = press.press(press.pass_json(), spoil=rename_attribute)
    with pytest.raises(PassUnreadable, match="must contain a signing date"):
        read_pass(data, root_pem=authority.root_pem)
