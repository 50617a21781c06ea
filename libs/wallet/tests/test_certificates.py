"""Uploads of signing identities. proves: A13, A14 (Apple's pass format: P12)"""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from passferry_wallet.apple.certificates import (
    MAX_UPLOAD_BYTES,
    SigningIdentityRejected,
    from_pem,
    load_identity_p12,
    to_pem,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PASS_TYPE = "pass.org.example.cafe"
TEAM = "TEAM123456"


def test_an_upload_gives_what_the_certificate_says(authority, load):
    leaf = authority.leaf()
    identity = load(leaf, pass_type_identifier=None, team_identifier=None)
    assert (identity.pass_type_identifier, identity.team_identifier) == (PASS_TYPE, TEAM)
    assert identity.not_after == NOW + timedelta(days=365)
    assert not identity.has_nfc
    assert len(identity.fingerprint_sha256) == 64


@pytest.mark.parametrize("tag", [0x0C, 0x13, 0x16])
def test_the_marker_is_read_from_every_string_type(authority, load, tag):
    marker = bytes((tag, len(PASS_TYPE))) + PASS_TYPE.encode()
    assert load(authority.leaf(marker=marker)).pass_type_identifier == PASS_TYPE


def test_an_nfc_certificate_is_told_apart(authority, load):
    assert load(authority.leaf(common_name=f"Pass Type ID with NFC: {PASS_TYPE}")).has_nfc


def test_the_intermediate_is_chosen_by_key_and_never_by_generation(authority, load):
    old = load(authority.leaf(is_of_old_generation=True))
    new = load(authority.leaf())
    assert (old.wwdr, new.wwdr) == (authority.old_wwdr, authority.wwdr)


def test_a_certificate_downloaded_as_der_is_read(authority, load):
    leaf = authority.leaf()
    load(leaf, certificate_pem=leaf.certificate.public_bytes(Encoding.DER))


@pytest.mark.parametrize(
    ("leaf", "upload", "code"),
    [
        ({"not_after": NOW}, {}, "certificate_expired"),
        ({}, {"now": NOW - timedelta(days=400)}, "certificate_not_yet_valid"),
        ({}, {"pass_type_identifier": "pass.org.example.other"}, "pass_type_mismatch"),
        ({}, {"team_identifier": "OTHERTEAM1"}, "team_mismatch"),
        ({"marker": None}, {}, "not_a_pass_certificate"),
        ({"marker": b"\x0c\x05pass."}, {}, "not_a_pass_certificate"),
        ({"marker": b"\x0c\x99broken"}, {}, "not_a_pass_certificate"),
        ({"common_name": "Apple Development: Jo"}, {}, "not_a_pass_certificate"),
        ({}, {"authorities": []}, "wwdr_not_found"),
        ({}, {"certificate_pem": b"hello"}, "certificate_unreadable"),
        ({}, {"certificate_pem": b"x" * (MAX_UPLOAD_BYTES + 1)}, "certificate_unreadable"),
        ({}, {"private_key_pem": b"hello"}, "key_unreadable"),
        ({"key": "weak-ec"}, {}, "key_unsupported"),
    ],
)
def test_an_unfit_upload_is_refused_with_its_reason(authority, load, leaf, upload, code):
    with pytest.raises(SigningIdentityRejected) as refusal:
        load(authority.leaf(**leaf), **upload)
    assert refusal.value.code == code


def test_the_key_of_another_certificate_is_refused(authority, load):
    with pytest.raises(SigningIdentityRejected) as refusal:
        load(authority.leaf("ec"), private_key_pem=authority.leaf("ec").key_pem)
    assert refusal.value.code == "key_mismatch"


def test_an_intermediate_of_equal_name_with_another_key_is_not_accepted(
    authority, another_authority, load
):
    with pytest.raises(SigningIdentityRejected) as refusal:
        load(authority.leaf(), authorities=[another_authority.wwdr, authority.old_wwdr])
    assert refusal.value.code == "wwdr_not_found"


def test_a_leaf_that_only_names_the_intermediate_is_not_accepted(authority, load):
    forged = authority.leaf("ec", signed_with=ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(SigningIdentityRejected) as refusal:
        load(forged)
    assert refusal.value.code == "wwdr_not_found"


def test_an_intermediate_that_ended_is_told_apart_from_a_missing_one(authority, load):
    late = NOW + timedelta(days=3651)
    leaf = authority.leaf(not_after=late + timedelta(days=1))
    with pytest.raises(SigningIdentityRejected) as refusal:
        load(leaf, now=late)
    assert refusal.value.code == "wwdr_expired"


def test_an_encrypted_key_needs_its_password(authority, load):
    leaf = authority.leaf("ec")
    encryption = BestAvailableEncryption(b"right")
    pem = leaf.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    load(leaf, private_key_pem=pem, password=b"right")
    load(leaf, password=b"needless")
    for password, code in ((None, "password_missing"), (b"wrong", "password_wrong")):
        with pytest.raises(SigningIdentityRejected) as refusal:
            load(leaf, private_key_pem=pem, password=password)
        assert refusal.value.code == code


def test_an_ec_key_in_the_older_sec1_form_is_read(authority, load):
    leaf = authority.leaf("ec")
    pem = leaf.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    identity = load(leaf, private_key_pem=pem)
    assert isinstance(identity.private_key, ec.EllipticCurvePrivateKey)


def load_p12(authority, p12, password):
    return load_identity_p12(
        p12=p12,
        password=password,
        authorities=[authority.wwdr],
        pass_type_identifier=PASS_TYPE,
        team_identifier=TEAM,
        now=NOW,
    )


def test_a_p12_is_read_with_its_password_only(authority):
    leaf = authority.leaf("ec")
    p12 = pkcs12.serialize_key_and_certificates(
        b"pass", leaf.key, leaf.certificate, [authority.wwdr], BestAvailableEncryption(b"right")
    )
    assert load_p12(authority, p12, b"right").certificate == leaf.certificate
    for data, password, code in (
        (p12, b"wrong", "password_wrong"),
        (p12, None, "password_missing"),
        (b"no archive", b"right", "p12_unreadable"),
    ):
        with pytest.raises(SigningIdentityRejected) as refusal:
            load_p12(authority, data, password)
        assert refusal.value.code == code


def test_a_p12_without_a_key_is_refused(authority):
    p12 = pkcs12.serialize_key_and_certificates(
        b"pass", None, authority.leaf("ec").certificate, None, BestAvailableEncryption(b"right")
    )
    with pytest.raises(SigningIdentityRejected) as refusal:
        load_p12(authority, p12, b"right")
    assert refusal.value.code == "p12_unreadable"


def test_a_legacy_p12_is_read_or_answered_with_the_way_out(authority, tmp_path):
    """Whether RC2 is there depends on how the cryptographic library was built."""
    leaf = authority.leaf()
    (tmp_path / "leaf.pem").write_bytes(leaf.certificate_pem + leaf.key_pem)
    command = "openssl pkcs12 -export -legacy -in leaf.pem -passout pass:right -out legacy.p12"
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True, timeout=20)
    told = None
    try:
        told = load_p12(authority, (tmp_path / "legacy.p12").read_bytes(), b"right").certificate
    except SigningIdentityRejected as refusal:
        told = refusal.detail
    assert told == leaf.certificate or "openssl pkcs12 -legacy" in told


def test_an_identity_survives_storage(authority, load):
    identity = load(authority.leaf("ec"))
    assert to_pem(from_pem(*to_pem(identity))) == to_pem(identity)
    assert from_pem(*to_pem(identity)).fingerprint_sha256 == identity.fingerprint_sha256


def test_an_identity_does_not_print_its_key(rsa_identity):
    assert "private" not in repr(rsa_identity).lower()
