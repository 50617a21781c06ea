"""Signatures of passes that come from elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cryptography import x509

from passferry_testing.pki import DemoAuthority
from passferry_testing.sample_pass import SAMPLE_PASS_TYPE, SAMPLE_TEAM, SamplePress
from passferry_wallet.apple.certificates import load_identity
from passferry_wallet.apple.signature_check import SignatureNotVerified, verify_signature
from passferry_wallet.apple.signing import ManifestSigner

MANIFEST = b'{"pass.json":"da39a3ee5e6b4b0d3255bfef95601890afd80709"}'


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return DemoAuthority.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def known(authority):
    return [x509.load_pem_x509_certificate(authority.wwdr_pem)]


@pytest.fixture(scope="module")
def signature(authority):
    return SamplePress(authority).sign(MANIFEST)


def test_a_signature_of_another_tool_tells_who_made_it(signature, known):
    signer = verify_signature(signature, MANIFEST, known)
    assert (signer.pass_type_identifier, signer.team_identifier) == (SAMPLE_PASS_TYPE, SAMPLE_TEAM)


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_our_own_signatures_verify(authority, known, kind):
    issued = authority.issue_pass_certificate(SAMPLE_PASS_TYPE, SAMPLE_TEAM, key=kind)
    now = datetime.now(UTC)
    identity = load_identity(
        certificate_pem=issued.certificate_pem,
        private_key_pem=issued.private_key_pem,
        password=None,
        authorities=known,
        pass_type_identifier=None,
        team_identifier=None,
        now=now,
    )
    made = ManifestSigner(identity).sign(MANIFEST, signing_time=now)
    assert verify_signature(made, MANIFEST, known).signed_at == now.replace(microsecond=0)


def test_another_manifest_is_not_signed(signature, known):
    with pytest.raises(SignatureNotVerified, match="another manifest"):
        verify_signature(signature, MANIFEST + b" ", known)


def test_an_authority_that_is_not_known_proves_nothing(signature, tmp_path):
    other = DemoAuthority.create(tmp_path)
    with pytest.raises(SignatureNotVerified, match="WWDR"):
        verify_signature(signature, MANIFEST, [x509.load_pem_x509_certificate(other.wwdr_pem)])
    with pytest.raises(SignatureNotVerified):
        verify_signature(signature, MANIFEST, [])


def test_no_changed_byte_goes_unseen_or_breaks_anything(signature, known):
    verified = 0
    for at in range(0, len(signature), 3):
        broken = signature[:at] + bytes((signature[at] ^ 0x55,)) + signature[at + 1 :]
        try:
            verify_signature(broken, MANIFEST, known)
            verified += 1
        except SignatureNotVerified:
            continue
    # The second certificate inside is not needed: its authority is known here already.
    assert verified < len(signature) // 3


@pytest.mark.parametrize(
    "data",
    [b"", b"0", b"\x30\x80\x00\x00", b"\x30\x03\x02\x01", bytes(99), b"\x30\x84\xff\xff\xff\xff"],
)
def test_what_is_no_signature_is_refused(data, known):
    with pytest.raises(SignatureNotVerified):
        verify_signature(data, MANIFEST, known)


def test_a_certificate_of_a_server_signs_no_pass(authority, known):
    issued = authority.issue_server_certificate(["localhost"])
    press = SamplePress(authority, issued=issued)
    with pytest.raises(SignatureNotVerified):
        verify_signature(press.sign(MANIFEST), MANIFEST, known)


def test_the_wrong_leaf_is_not_taken_for_the_signer(authority, known):
    # Two passes' certificates: the signature of one under the name of the other.
    first, second = SamplePress(authority), SamplePress(authority, team_identifier="OTHER12345")
    assert verify_signature(second.sign(MANIFEST), MANIFEST, known).team_identifier == "OTHER12345"
    assert verify_signature(first.sign(MANIFEST), MANIFEST, known).team_identifier == SAMPLE_TEAM
