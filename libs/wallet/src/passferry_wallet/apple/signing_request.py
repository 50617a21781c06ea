"""Signing requests made by us: the private key is born here and never leaves."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

#: A common name has 64 characters at most.
MAX_COMMON_NAME = 64


class KeyKind(StrEnum):
    RSA_2048 = "rsa2048"
    P_256 = "p256"


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """Both PEM; the key unencrypted, for encrypted storage only."""

    request_pem: bytes
    private_key_pem: bytes = field(repr=False)


def make_signing_request(pass_type_identifier: str, kind: KeyKind) -> SigningRequest:
    """A PKCS#10 request with a new key. Blocks: an RSA key takes a part of a second."""
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = (
        rsa.generate_private_key(public_exponent=65537, key_size=2048)
        if kind is KeyKind.RSA_2048
        else ec.generate_private_key(ec.SECP256R1())
    )
    # Apple takes the key alone, and puts names of its own into the certificate.
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, pass_type_identifier[:MAX_COMMON_NAME])]
    )
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return SigningRequest(
        request.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
