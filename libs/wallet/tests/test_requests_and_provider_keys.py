"""Keys that are made here, and keys of the push service. proves: A13, A14, J2"""

from __future__ import annotations

import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from passferry_wallet.apple.provider_key import ProviderKeyRejected, check_provider_key
from passferry_wallet.apple.signing_request import KeyKind, make_signing_request

PASS_TYPE = "pass.org.example.cafe"


@pytest.mark.parametrize(
    ("kind", "told"), [(KeyKind.RSA_2048, "2048 bit"), (KeyKind.P_256, "256 bit")]
)
def test_a_request_is_verified_by_openssl_and_holds_the_half_of_its_key(tmp_path, kind, told):
    made = make_signing_request(PASS_TYPE, kind)
    (tmp_path / "request.pem").write_bytes(made.request_pem)
    command = "openssl req -in request.pem -noout -verify -text"
    done = subprocess.run(
        command.split(), cwd=tmp_path, capture_output=True, text=True, timeout=20, check=True
    )
    assert "verify OK" in done.stdout + done.stderr
    assert told in done.stdout
    key = load_pem_private_key(made.private_key_pem, None)
    assert x509.load_pem_x509_csr(made.request_pem).public_key() == key.public_key()
    assert b"PRIVATE" not in made.request_pem
    assert "PRIVATE" not in repr(made)


def test_no_two_requests_share_a_key():
    first, second = (make_signing_request(PASS_TYPE, KeyKind.P_256) for _ in range(2))
    assert first.private_key_pem != second.private_key_pem


def p8_of(key, encryption=None):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


P_256 = ec.generate_private_key(ec.SECP256R1())


def test_a_provider_key_is_taken_as_apple_gives_it():
    taken = check_provider_key(key_id="ABC1234567", team_id="TEAM123456", p8=p8_of(P_256))
    assert load_pem_private_key(taken, None).private_numbers() == P_256.private_numbers()


@pytest.mark.parametrize(
    ("given", "code", "field"),
    [
        ({"key_id": "abc"}, "key_id_invalid", "key_id"),
        ({"team_id": "TEAM1234567"}, "team_id_invalid", "team_id"),
        ({"p8": b"garbage"}, "key_unreadable", "p8"),
        ({"p8": b"-----BEGIN PRIVATE KEY-----" + b"A" * 5_000}, "key_unreadable", "p8"),
        ({"p8": p8_of(P_256, BestAvailableEncryption(b"x"))}, "key_unreadable", "p8"),
        ({"p8": p8_of(ec.generate_private_key(ec.SECP384R1()))}, "key_unsupported", "p8"),
        ({"p8": p8_of(ec.generate_private_key(ec.SECP224R1()))}, "key_unsupported", "p8"),
        ({"p8": p8_of(rsa.generate_private_key(65537, 2048))}, "key_unsupported", "p8"),
        (
            {
                "p8": P_256.private_bytes(
                    Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
                )
            },
            "key_unreadable",
            "p8",
        ),
    ],
)
def test_what_is_no_provider_key_is_refused_with_its_field(given, code, field):
    right = {"key_id": "ABC1234567", "team_id": "TEAM123456", "p8": p8_of(P_256)}
    with pytest.raises(ProviderKeyRejected) as refusal:
        check_provider_key(**(right | given))
    assert (refusal.value.code, refusal.value.field) == (code, field)
    assert "BEGIN" not in refusal.value.detail
