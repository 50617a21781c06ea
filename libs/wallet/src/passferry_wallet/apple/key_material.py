"""Reads certificates and private keys as they are uploaded: PEM, DER and PKCS#12."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12

from passferry_wallet.apple import der
from passferry_wallet.apple.asn1_limits import Asn1Refused, check_asn1

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

MAX_UPLOAD_BYTES = 64 * 1024
#: Certificates in one upload: a leaf with its chain.
MAX_CERTIFICATES = 10
MIN_RSA_BITS = 2048
#: Larger ones only make every signature slow.
MAX_RSA_BITS = 4096
CURVES = ("secp256r1", "secp384r1")

#: What the library raises for parts of a certificate, many of which it reads only when asked.
MALFORMED = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
#: The first byte of a negative number has this bit.
_NEGATIVE = 0x80
#: pbeWithSHAAnd40BitRC2-CBC, with which older exports of macOS encrypt.
_RC2_IDENTIFIER = der.object_identifier("1.2.840.113549.1.12.1.6")
_PEM_BLOCK = re.compile(
    rb"-----BEGIN ([A-Z0-9 ]{1,40})-----([^-]{0,65536})-----END \1-----", re.DOTALL
)
_CONVERT = (
    "convert it with `openssl pkcs12 -legacy -in old.p12 -nodes -out identity.pem` and upload "
    "the PEM"
)


class SigningIdentityRejected(Exception):
    """The identity cannot sign passes of this type. `code` is stable, `detail` is a sentence.

    Codes: certificate_unreadable, key_unreadable, key_unsupported, key_mismatch, password_missing,
    password_wrong, p12_unreadable, not_a_pass_certificate, pass_type_mismatch, team_mismatch,
    certificate_expired, certificate_not_yet_valid, wwdr_not_found, wwdr_expired.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{detail} ({code})")
        self.code = code
        self.detail = detail


def read_certificates(data: bytes) -> list[x509.Certificate]:
    """One certificate in DER, or those of a PEM file in their order; other blocks are skipped."""
    bound(data, "certificate_unreadable")
    try:
        if b"-----BEGIN" not in data:
            check_asn1(data)
            return [_certificate(data)]
        blocks = [der_of for name, der_of in _blocks(data) if name == b"CERTIFICATE"]
        if not 0 < len(blocks) <= MAX_CERTIFICATES:
            raise SigningIdentityRejected(
                "certificate_unreadable", f"the PEM holds not 1 to {MAX_CERTIFICATES} certificates"
            )
        for block in blocks:
            check_asn1(block)
        return [_certificate(block) for block in blocks]
    except Asn1Refused as refusal:
        raise SigningIdentityRejected(
            "certificate_unreadable", f"the certificate {refusal}"
        ) from refusal
    except MALFORMED as error:
        raise SigningIdentityRejected(
            "certificate_unreadable", "the certificate is neither PEM nor DER"
        ) from error


def _certificate(data: bytes) -> x509.Certificate:
    if not _has_positive_serial_number(data):
        # The library reads it today with a warning, and will refuse it.
        raise ValueError("the serial number is not positive")
    return x509.load_der_x509_certificate(data)


def _has_positive_serial_number(data: bytes) -> bool:
    """True too where there is none to be seen: that is for the library to refuse."""
    for _, certificate, _ in der.elements(data):
        for _, signed, _ in der.elements(certificate):
            numbers = (content for tag, content, _ in der.elements(signed) if tag == der.INTEGER)
            serial = next(numbers, b"\x01")
            return any(serial) and serial[0] < _NEGATIVE
    return True


def read_certificate(data: bytes) -> x509.Certificate:
    return read_certificates(data)[0]


def read_key(data: bytes, password: bytes | None) -> PrivateKey:
    """The private key of a PEM text, in which certificates may stand too."""
    bound(data, "key_unreadable")
    found = [match for match in _PEM_BLOCK.finditer(data) if b"PRIVATE KEY" in match[1]]
    if len(found) != 1:
        raise SigningIdentityRejected(
            "key_unreadable", "the private key is not in PEM format, or there are several"
        )
    pem = found[0][0] + b"\n"
    # A password for a key that is not encrypted does no harm, though the library minds it.
    is_encrypted = b"ENCRYPTED" in pem
    try:
        for _, block in _blocks(pem) if b"Proc-Type" not in pem else ():
            check_asn1(block)
        key = load_pem_private_key(pem, password if is_encrypted else None)
    except Asn1Refused as refusal:
        raise SigningIdentityRejected("key_unreadable", f"the private key {refusal}") from refusal
    except TypeError as error:
        raise SigningIdentityRejected(
            "password_missing", "the private key is encrypted, and no password was given"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        if is_encrypted:
            raise SigningIdentityRejected(
                "password_wrong", "the password does not open the private key"
            ) from error
        raise SigningIdentityRejected(
            "key_unreadable", "the private key is not in PEM format"
        ) from error
    return supported(key)


def supported(key: object) -> PrivateKey:
    if isinstance(key, rsa.RSAPrivateKey) and MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in CURVES:
        return key
    raise SigningIdentityRejected(
        "key_unsupported",
        f"the key is neither RSA of {MIN_RSA_BITS} to {MAX_RSA_BITS} bits nor EC P-256 or P-384",
    )


def read_p12(data: bytes, password: bytes | None) -> tuple[list[x509.Certificate], PrivateKey]:
    """The certificate that stands with the key, then the others of the file."""
    bound(data, "p12_unreadable")
    try:
        check_asn1(data)
        content = pkcs12.load_pkcs12(data, password)
    except Asn1Refused as refusal:
        raise SigningIdentityRejected("p12_unreadable", f"the file {refusal}") from refusal
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _p12_rejection(data, password, error) from error
    if content.cert is None or content.key is None:
        raise SigningIdentityRejected(
            "p12_unreadable",
            "the file holds no certificate with its private key: export both together",
        )
    others = [each.certificate for each in content.additional_certs[:MAX_CERTIFICATES]]
    return [content.cert.certificate, *others], supported(content.key)


def bound(data: bytes, code: str) -> None:
    if len(data) > MAX_UPLOAD_BYTES:
        raise SigningIdentityRejected(code, f"the file is larger than {MAX_UPLOAD_BYTES} bytes")


def _p12_rejection(
    data: bytes, password: bytes | None, error: Exception
) -> SigningIdentityRejected:
    if "password" not in str(error).lower() and _RC2_IDENTIFIER in data:
        return SigningIdentityRejected(
            "p12_unreadable",
            f"the file is encrypted with RC2, which is not supported here: {_CONVERT}",
        )
    if "password" not in str(error).lower():
        return SigningIdentityRejected("p12_unreadable", "the file is not PKCS#12")
    if password is None:
        return SigningIdentityRejected(
            "password_missing", "the file is encrypted, and no password was given"
        )
    return SigningIdentityRejected(
        "password_wrong",
        f"the password does not open the file; if it is right, the file is damaged: {_CONVERT}",
    )


def _blocks(pem: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name, content) of each PEM block."""
    for match in _PEM_BLOCK.finditer(pem):
        try:
            yield match[1], base64.b64decode(b"".join(match[2].split()), validate=True)
        except binascii.Error as error:
            raise ValueError("a PEM block is not base64") from error
