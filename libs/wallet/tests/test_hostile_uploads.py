"""Certificates, keys and exports that were made to harm, or that people really upload.

proves: J78 (Apple's pass format: P12)
"""

from __future__ import annotations

import base64
import contextlib
import os
import subprocess

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from passferry_wallet.apple import der
from passferry_wallet.apple.asn1_limits import MAX_DEPTH, Asn1Refused, check_asn1
from passferry_wallet.apple.certificates import load_identity_p12
from passferry_wallet.apple.key_material import (
    SigningIdentityRejected,
    read_certificates,
    read_key,
    read_p12,
)
from passferry_wallet.apple.open_p12 import open_p12

PASSWORD = b"planted-password"
OID = der.object_identifier


def exported(tmp_path, leaf, options: str) -> bytes:
    (tmp_path / "leaf.pem").write_bytes(leaf.certificate_pem + leaf.key_pem)
    command = f"openssl pkcs12 -export -in leaf.pem -passout pass:{PASSWORD.decode()} -out out.p12 "
    subprocess.run(
        (command + options).split(), cwd=tmp_path, check=True, capture_output=True, timeout=60
    )
    return (tmp_path / "out.p12").read_bytes()


@pytest.mark.parametrize(
    "options",
    [
        "-legacy",
        "-legacy -certpbe PBE-SHA1-RC2-128",
        "-keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES -macalg sha1",
        "-keypbe AES-256-CBC -certpbe AES-256-CBC -iter 100000",
        "-nomac",
    ],
)
def test_exports_of_every_age_are_read(authority, tmp_path, options):
    leaf = authority.leaf()
    certificates, key = open_p12(exported(tmp_path, leaf, options), PASSWORD)
    assert certificates[0] == leaf.certificate
    assert key.private_numbers() == leaf.key.private_numbers()


def test_an_export_whose_iterations_would_take_hours_is_refused_unopened(authority, tmp_path):
    export = exported(tmp_path, authority.leaf(), "-iter 500001")
    with pytest.raises(SigningIdentityRejected) as refusal:
        read_p12(export, PASSWORD)
    assert refusal.value.code == "p12_unreadable"
    assert "iterations" in refusal.value.detail


def parameters(iterations: int) -> tuple[bytes, bytes]:
    size = (iterations.bit_length() // 8) + 1
    return (
        der.tlv(der.OCTET_STRING, b"saltsalt"),
        der.tlv(der.INTEGER, iterations.to_bytes(size, "big")),
    )


def pbes2(iterations: int, vector: bytes) -> bytes:
    derivation = der.tlv(
        der.SEQUENCE,
        OID("1.2.840.113549.1.5.12"),
        der.tlv(
            der.SEQUENCE,
            *parameters(iterations),
            der.tlv(der.SEQUENCE, OID("1.2.840.113549.2.9"), der.NULL),
        ),
    )
    scheme = der.tlv(
        der.SEQUENCE, OID("2.16.840.1.101.3.4.1.42"), der.tlv(der.OCTET_STRING, vector)
    )
    return der.tlv(
        der.SEQUENCE,
        OID("1.2.840.113549.1.5.13"),
        der.tlv(der.SEQUENCE, derivation, scheme),
    )


def sealed(plaintext: bytes, iterations: int, vector: bytes) -> bytes:
    derived = PBKDF2HMAC(hashes.SHA256(), 32, b"saltsalt", iterations).derive(PASSWORD)
    padding = 16 - len(plaintext) % 16
    encryptor = Cipher(algorithms.AES(derived), modes.CBC(vector)).encryptor()
    return encryptor.update(plaintext + bytes((padding,)) * padding) + encryptor.finalize()


def hidden_bomb() -> bytes:
    """An export whose inner key asks for 2^31 iterations, which shows only once it is opened."""
    vector = os.urandom(16)
    shrouded = der.tlv(
        der.SEQUENCE, pbes2(2**31 - 1, vector), der.tlv(der.OCTET_STRING, bytes(1216))
    )
    bag = der.tlv(der.SEQUENCE, OID("1.2.840.113549.1.12.10.1.2"), der.tlv(der.CONTEXT_0, shrouded))
    safe = sealed(der.tlv(der.SEQUENCE, bag), 2048, vector)
    encrypted = der.tlv(
        der.SEQUENCE,
        der.tlv(der.INTEGER, b"\x00"),
        der.tlv(
            der.SEQUENCE,
            OID("1.2.840.113549.1.7.1"),
            pbes2(2048, vector),
            der.tlv(0x80, safe),
        ),
    )
    contents = der.tlv(
        der.SEQUENCE,
        der.tlv(der.SEQUENCE, OID("1.2.840.113549.1.7.6"), der.tlv(der.CONTEXT_0, encrypted)),
    )
    wrapped = der.tlv(
        der.SEQUENCE,
        OID("1.2.840.113549.1.7.1"),
        der.tlv(der.CONTEXT_0, der.tlv(der.OCTET_STRING, contents)),
    )
    return der.tlv(der.SEQUENCE, der.tlv(der.INTEGER, b"\x03"), wrapped)


def test_a_bomb_inside_an_encrypted_part_ends_the_process_that_opens_it_and_nothing_else(load):
    bomb = hidden_bomb()
    check_asn1(bomb)
    with pytest.raises(SigningIdentityRejected) as refusal:
        load_identity_p12(
            p12=bomb,
            password=PASSWORD,
            authorities=[],
            pass_type_identifier=None,
            team_identifier=None,
            now=None,
        )
    assert (refusal.value.code, "too long" in refusal.value.detail) == ("p12_unreadable", True)
    assert refusal.value.__cause__ is None, "a cause would quote the password"


def nested(depth: int) -> bytes:
    data = b""
    for _ in range(depth):
        data = der.tlv(der.SEQUENCE, data)
    return data


def in_pieces(data: bytes) -> bytes:
    half = len(data) // 2
    pieces = (der.tlv(der.OCTET_STRING, data[:half]), der.tlv(der.OCTET_STRING, data[half:]))
    return b"\x24\x80" + b"".join(pieces) + b"\x00\x00"


FILLER = der.tlv(der.OCTET_STRING, bytes(80))
WORK = der.tlv(der.SEQUENCE, *parameters(2**40), FILLER)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (nested(MAX_DEPTH + 1), "nested"),
        (nested(5_000), "nested"),
        (b"\x30\x80" * 5_000, "nested"),
        (b"\x30\x84\xff\xff\xff\xff", "longer"),
        (b"\x30\x89" + bytes(9), "too large"),
        (b"\x30", "ends"),
        (b"\x04\x80", "without a length"),
        (b"\x1f\x81\x00", "not read"),
        (der.tlv(der.SEQUENCE, b"\x05\x00" * 5_000), "elements"),
        (WORK, "iterations"),
        (der.tlv(der.OCTET_STRING, WORK), "iterations"),
        (in_pieces(WORK), "iterations"),
        (der.tlv(der.SEQUENCE, *parameters(900_000), *parameters(900_000)), "iterations"),
        (der.tlv(der.SEQUENCE, OID("1.3.6.1.4.1.11591.4.11")), "scrypt"),
    ],
)
def test_what_would_exhaust_a_reader_is_refused_before_it_is_read(data, told):
    with pytest.raises(Asn1Refused, match=told):
        check_asn1(data)
    for read, code in ((read_certificates, "certificate_unreadable"), (p12_of, "p12_unreadable")):
        with pytest.raises(SigningIdentityRejected) as refusal:
            read(data)
        assert refusal.value.code == code


def p12_of(data):
    return read_p12(data, PASSWORD)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_garbage_is_always_a_refusal(data):
    for read in (read_certificates, p12_of, lambda given: read_key(given, PASSWORD)):
        with pytest.raises(SigningIdentityRejected):
            read(data)


@pytest.fixture(scope="module")
def a_leaf(authority):
    return authority.leaf()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4_000), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_changed_certificate_is_read_or_refused_and_nothing_else(a_leaf, load, changes):
    changed = bytearray(a_leaf.certificate.public_bytes(Encoding.DER))
    for place, byte in changes:
        changed[place % len(changed)] = byte
    with contextlib.suppress(SigningIdentityRejected):
        taken = load(a_leaf, certificate_pem=bytes(changed)).certificate
        assert taken == a_leaf.certificate, "a signature covers all of it"


def test_an_encrypted_key_that_asks_for_too_much_is_refused(authority):
    leaf = authority.leaf("ec")
    pem = leaf.key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD)
    )
    assert read_key(pem, PASSWORD).private_numbers() == leaf.key.private_numbers()
    body = der.tlv(
        der.SEQUENCE, pbes2(2**31 - 1, os.urandom(16)), der.tlv(der.OCTET_STRING, bytes(160))
    )
    with pytest.raises(SigningIdentityRejected) as refusal:
        read_key(as_pem("ENCRYPTED PRIVATE KEY", body), PASSWORD)
    assert refusal.value.code == "key_unreadable"
    assert "iterations" in refusal.value.detail


def as_pem(name: str, body: bytes) -> bytes:
    text = base64.encodebytes(body).decode()
    return f"-----BEGIN {name}-----\n{text}-----END {name}-----\n".encode()


def test_a_chain_in_any_order_and_the_key_beside_it_are_one_upload(authority, load):
    leaf = authority.leaf()
    wwdr, root = (each.public_bytes(Encoding.PEM) for each in (authority.wwdr, authority.root))
    for text in (
        wwdr + leaf.certificate_pem + root,
        root + wwdr + leaf.certificate_pem,
        leaf.key_pem + wwdr + leaf.certificate_pem,
    ):
        assert load(leaf, certificate_pem=text).certificate == leaf.certificate
    both = b"Bag Attributes\n  friendlyName: Pass\n" + leaf.certificate_pem + leaf.key_pem
    assert load(leaf, certificate_pem=both, private_key_pem=both).certificate == leaf.certificate


def test_a_chain_without_the_certificate_of_the_key_is_refused(authority, load):
    leaf = authority.leaf("ec")
    chain = authority.leaf("ec").certificate_pem + authority.wwdr.public_bytes(Encoding.PEM)
    with pytest.raises(SigningIdentityRejected) as refusal:
        load(leaf, certificate_pem=chain)
    assert refusal.value.code == "key_mismatch"
    wwdr = authority.wwdr.public_bytes(Encoding.PEM)
    with pytest.raises(SigningIdentityRejected) as refusal:
        load(leaf, certificate_pem=wwdr)
    assert refusal.value.code == "not_a_pass_certificate"
    assert "intermediate" in refusal.value.detail


def test_more_certificates_than_a_chain_has_are_refused(authority, load):
    leaf = authority.leaf()
    with pytest.raises(SigningIdentityRejected) as refusal:
        load(leaf, certificate_pem=authority.wwdr.public_bytes(Encoding.PEM) * 11)
    assert refusal.value.code == "certificate_unreadable"


def test_a_certificate_for_something_else_is_told_what_it_is_for(authority, load):
    leaf = authority.leaf(common_name="Apple Push Services: org.example.app")
    with pytest.raises(SigningIdentityRejected) as refusal:
        load(leaf)
    assert refusal.value.detail.endswith("but for pushes to apps")


def test_a_missing_intermediate_is_named(authority, load):
    with pytest.raises(SigningIdentityRejected) as refusal:
        load(authority.leaf(), authorities=[authority.old_wwdr])
    assert "Apple's G4 intermediate with the key identifier" in refusal.value.detail


def test_a_key_that_is_too_small_is_refused(authority, load):
    small = rsa.generate_private_key(65537, 1024)
    pem = small.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(SigningIdentityRejected) as refusal:
        load(authority.leaf(), private_key_pem=pem)
    assert refusal.value.code == "key_unsupported"


def test_several_keys_in_one_text_are_refused(authority, load):
    leaf = authority.leaf("ec")
    with pytest.raises(SigningIdentityRejected) as refusal:
        load(leaf, private_key_pem=leaf.key_pem + authority.leaf("ec").key_pem)
    assert refusal.value.code == "key_unreadable"
