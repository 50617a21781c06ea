import subprocess
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12
from cryptography.x509.oid import NameOID

from passferry_testing.pki import (
    PASS_TYPE_EXTENSION,
    WWDR_COMMON_NAME,
    AuthorityIncomplete,
    DemoAuthority,
    export_p12,
)

TOPIC = "pass.demo.cafe"


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("authority")
    DemoAuthority.create(path)
    return path


@pytest.fixture
def authority(directory):
    return DemoAuthority.load(directory)


def leaf_of(issued):
    return x509.load_pem_x509_certificate(issued.certificate_pem)


def one(certificate, oid):
    return certificate.subject.get_attributes_for_oid(oid)[0].value


def openssl_verify(tmp_path, authority, issued):
    for name, content in (
        ("root.pem", authority.root_pem),
        ("wwdr.pem", authority.wwdr_pem),
        ("leaf.pem", issued.certificate_pem),
    ):
        (tmp_path / name).write_bytes(content)
    command = ["openssl", "verify", "-CAfile", "root.pem", "-untrusted", "wwdr.pem", "leaf.pem"]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("kind", "type_"), [("rsa", rsa.RSAPrivateKey), ("ec", ec.EllipticCurvePrivateKey)]
)
def test_a_pass_certificate_has_what_upload_checks_look_for(authority, kind, type_):
    """proves: P12 (the fixtures of the upload checks)."""
    issued = authority.issue_pass_certificate(TOPIC, "TEAM123456", key=kind)
    leaf = leaf_of(issued)
    assert one(leaf, NameOID.USER_ID) == TOPIC
    assert one(leaf, NameOID.ORGANIZATIONAL_UNIT_NAME) == "TEAM123456"
    assert one(leaf, NameOID.COMMON_NAME) == f"Pass Type ID: {TOPIC}"
    assert leaf.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == WWDR_COMMON_NAME
    marker = leaf.extensions.get_extension_for_oid(PASS_TYPE_EXTENSION).value.value
    assert marker == bytes([0x0C, len(TOPIC)]) + TOPIC.encode()
    assert isinstance(load_pem_private_key(issued.private_key_pem, None), type_)


def test_the_leafs_authority_key_is_the_intermediates_subject_key(authority):
    leaf = leaf_of(authority.issue_pass_certificate(TOPIC, "T"))
    wwdr = x509.load_pem_x509_certificate(authority.wwdr_pem)
    wanted = wwdr.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    found = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert found.key_identifier == wanted


def test_openssl_accepts_the_chain_and_refuses_an_expired_leaf(authority, tmp_path):
    assert (
        openssl_verify(tmp_path, authority, authority.issue_pass_certificate(TOPIC, "T")).returncode
        == 0
    )
    past = datetime(2024, 1, 1, tzinfo=UTC)
    expired = authority.issue_pass_certificate(TOPIC, "T", not_after=past)
    verdict = openssl_verify(tmp_path, authority, expired)
    assert verdict.returncode != 0
    assert "expired" in verdict.stdout + verdict.stderr


def test_a_certificate_of_another_authority_does_not_verify_despite_equal_names(
    authority, tmp_path
):
    other = DemoAuthority.create(tmp_path / "other")
    assert (
        openssl_verify(tmp_path, authority, other.issue_pass_certificate(TOPIC, "T")).returncode
        != 0
    )


def test_parts_of_a_certificate_can_be_made_to_disagree(authority):
    issued = authority.issue_pass_certificate(TOPIC, "T", user_id="pass.other", nfc=True)
    leaf = leaf_of(issued)
    assert one(leaf, NameOID.USER_ID) == "pass.other"
    assert one(leaf, NameOID.COMMON_NAME) == f"Pass Type ID with NFC: {TOPIC}"


def test_keys_are_readable_by_their_owner_only(directory):
    modes = {path.name: path.stat().st_mode & 0o777 for path in directory.glob("*.key")}
    assert modes == {"root.key": 0o600, "wwdr.key": 0o600}


def test_loading_gives_the_same_authority_and_an_empty_folder_is_refused(directory, tmp_path):
    assert DemoAuthority.load(directory).root_pem == DemoAuthority.load(directory).root_pem
    with pytest.raises(AuthorityIncomplete):
        DemoAuthority.load(tmp_path)


def test_a_p12_holds_key_certificate_and_intermediate(authority):
    issued = authority.issue_pass_certificate(TOPIC, "T")
    packed = export_p12(issued, "secret", wwdr_pem=authority.wwdr_pem)
    key, leaf, chain = pkcs12.load_key_and_certificates(packed, b"secret")
    assert key is not None
    assert leaf == leaf_of(issued)
    assert [c.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value for c in chain] == [
        WWDR_COMMON_NAME
    ]
    with pytest.raises(ValueError):
        pkcs12.load_key_and_certificates(packed, b"wrong")


def test_a_server_certificate_names_localhost_and_its_address(authority):
    names = leaf_of(authority.issue_server_certificate()).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(ip) for ip in names.value.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
