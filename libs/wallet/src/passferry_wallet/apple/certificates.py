"""Pass-type certificates: what an upload must be before anything is signed with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

UID = x509.ObjectIdentifier("0.9.2342.19200300.100.1.1")
PASS_TYPE_EXTENSION = x509.ObjectIdentifier("1.2.840.113635.100.6.1.16")
ISSUER_NAME = "Apple Worldwide Developer Relations Certification Authority"
MIN_RSA_BITS = 2048

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class SigningIdentityRejected(Exception):
    """The upload cannot be used; `code` is stable, `detail` says what to do."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class SigningIdentity:
    certificate: x509.Certificate
    private_key: PrivateKey
    wwdr: x509.Certificate
    pass_type_identifier: str
    team_identifier: str
    not_after: datetime
    has_nfc: bool
    fingerprint_sha256: str


def load_authorities(pems: Sequence[bytes]) -> list[x509.Certificate]:
    """WWDR intermediates from PEM files, several to a file allowed."""
    return [each for pem in pems for each in x509.load_pem_x509_certificates(pem)]


def load_identity(
    *,
    certificate_pem: bytes,
    private_key_pem: bytes,
    password: bytes | None,
    authorities: Sequence[x509.Certificate],
    pass_type_identifier: str | None,
    team_identifier: str | None,
    now: datetime,
) -> SigningIdentity:
    """Check an upload in PEM; raises `SigningIdentityRejected`."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
    except ValueError as error:
        raise SigningIdentityRejected(
            "certificate_unreadable", "the certificate is not PEM; export it as .pem"
        ) from error
    try:
        key = serialization.load_pem_private_key(private_key_pem, password or None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SigningIdentityRejected(
            "private_key_unreadable", "the private key is not PEM, or its password is wrong"
        ) from error
    return _checked(certificate, key, authorities, pass_type_identifier, team_identifier, now)


def load_identity_p12(
    *,
    p12: bytes,
    password: bytes | None,
    authorities: Sequence[x509.Certificate],
    pass_type_identifier: str | None,
    team_identifier: str | None,
    now: datetime,
) -> SigningIdentity:
    """Check an upload as PKCS#12; raises `SigningIdentityRejected`."""
    try:
        key, certificate, _ = pkcs12.load_key_and_certificates(p12, password or None)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SigningIdentityRejected(
            "p12_unreadable",
            "the .p12 cannot be opened: the password is wrong, or it was exported with the old"
            " RC2/3DES encryption (export it again with AES, or give certificate and key as PEM)",
        ) from error
    if key is None or certificate is None:
        raise SigningIdentityRejected(
            "p12_incomplete", "the .p12 must hold the certificate and its private key"
        )
    return _checked(certificate, key, authorities, pass_type_identifier, team_identifier, now)


def to_pem(identity: SigningIdentity) -> tuple[bytes, bytes, bytes]:
    """Certificate, private key (PKCS#8, unencrypted: encrypt it before it is stored), WWDR."""
    pem = serialization.Encoding.PEM
    key = identity.private_key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return identity.certificate.public_bytes(pem), key, identity.wwdr.public_bytes(pem)


def from_pem(certificate_pem: bytes, private_key_pem: bytes, wwdr_pem: bytes) -> SigningIdentity:
    """What `to_pem` gave; was checked when it was uploaded."""
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    key = serialization.load_pem_private_key(private_key_pem, None)
    return _identity(certificate, key, x509.load_pem_x509_certificate(wwdr_pem))


def _checked(
    certificate: x509.Certificate,
    key: object,
    authorities: Sequence[x509.Certificate],
    pass_type_identifier: str | None,
    team_identifier: str | None,
    now: datetime,
) -> SigningIdentity:
    own_type = _subject(certificate, UID)
    if own_type is None or not own_type.startswith("pass."):
        raise SigningIdentityRejected(
            "not_a_pass_certificate", "this is no Pass Type ID certificate: it has no pass type"
        )
    if _extension_identifier(certificate) != own_type:
        raise SigningIdentityRejected(
            "not_a_pass_certificate", "its pass type extension is missing or names another type"
        )
    if pass_type_identifier is not None and own_type != pass_type_identifier:
        raise SigningIdentityRejected(
            "pass_type_mismatch", f"it is for {own_type}, not for {pass_type_identifier}"
        )
    own_team = _subject(certificate, x509.NameOID.ORGANIZATIONAL_UNIT_NAME)
    if own_team is None or (team_identifier is not None and own_team != team_identifier):
        raise SigningIdentityRejected(
            "team_mismatch", f"it belongs to team {own_team}, not to {team_identifier}"
        )
    if certificate.not_valid_after_utc <= now:
        raise SigningIdentityRejected(
            "certificate_expired", f"it ended on {certificate.not_valid_after_utc:%Y-%m-%d}"
        )
    if certificate.not_valid_before_utc > now:
        raise SigningIdentityRejected(
            "certificate_not_yet_valid", f"it begins on {certificate.not_valid_before_utc:%Y-%m-%d}"
        )
    wwdr = _authority_of(certificate, authorities, now)
    return _identity(certificate, key, wwdr)


def _identity(
    certificate: x509.Certificate, key: object, wwdr: x509.Certificate
) -> SigningIdentity:
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise SigningIdentityRejected("key_unsupported", "use an RSA or an elliptic-curve key")
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < MIN_RSA_BITS:
        raise SigningIdentityRejected("key_too_small", f"RSA keys need {MIN_RSA_BITS} bits")
    if _public_bytes(key.public_key()) != _public_bytes(certificate.public_key()):
        raise SigningIdentityRejected(
            "key_mismatch", "the private key does not belong to this certificate"
        )
    name = _subject(certificate, x509.NameOID.COMMON_NAME) or ""
    return SigningIdentity(
        certificate,
        key,
        wwdr,
        _subject(certificate, UID) or "",
        _subject(certificate, x509.NameOID.ORGANIZATIONAL_UNIT_NAME) or "",
        certificate.not_valid_after_utc,
        "with NFC" in name,
        certificate.fingerprint(hashes.SHA256()).hex(),
    )


def _authority_of(
    certificate: x509.Certificate, authorities: Sequence[x509.Certificate], now: datetime
) -> x509.Certificate:
    """The one generation whose key made this certificate: never a hard-coded one."""
    wanted = _key_identifier(certificate, x509.AuthorityKeyIdentifier)
    for authority in authorities:
        if _key_identifier(authority, x509.SubjectKeyIdentifier) != wanted or wanted is None:
            continue
        try:
            certificate.verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature):
            continue
        if authority.not_valid_after_utc > now:
            return authority
    raise SigningIdentityRejected(
        "wwdr_not_found",
        "no known WWDR certificate made it: add Apple's intermediate of the right generation",
    )


def _key_identifier(
    certificate: x509.Certificate,
    kind: type[x509.AuthorityKeyIdentifier | x509.SubjectKeyIdentifier],
) -> bytes | None:
    try:
        value = certificate.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, ValueError):
        return None
    if isinstance(value, x509.AuthorityKeyIdentifier):
        return value.key_identifier
    return value.digest


def _subject(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> str | None:
    found = certificate.subject.get_attributes_for_oid(oid)
    return str(found[0].value) if found else None


def _extension_identifier(certificate: x509.Certificate) -> str | None:
    try:
        extension = certificate.extensions.get_extension_for_oid(PASS_TYPE_EXTENSION)
    except (x509.ExtensionNotFound, ValueError):
        return None
    value = extension.value
    if not isinstance(value, x509.UnrecognizedExtension) or len(value.value) < 2:
        return None
    # A DER string: tag, one byte of length, text.
    return value.value[2:].decode("utf-8", "replace")


def _public_bytes(key: object) -> bytes:
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        return b""
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
