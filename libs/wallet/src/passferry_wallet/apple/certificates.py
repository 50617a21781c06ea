"""Signing identities: a pass certificate with its key and the intermediate that issued it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509.oid import NameOID

from passferry_wallet.apple import der

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

PASS_TYPE_EXTENSION = x509.ObjectIdentifier("1.2.840.113635.100.6.1.16")
PLAIN_PREFIX = "Pass Type ID: "
NFC_PREFIX = "Pass Type ID with NFC: "

MAX_UPLOAD_BYTES = 64 * 1024
MAX_AUTHORITIES = 100
MIN_RSA_BITS = 2048
CURVES = ("secp256r1", "secp384r1")

#: pbeWithSHAAnd40BitRC2-CBC, with which older exports of macOS encrypt.
_RC2_IDENTIFIER = der.object_identifier("1.2.840.113549.1.12.1.6")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningIdentity:
    """`not_after` is aware UTC, `fingerprint_sha256` is lowercase hex of the certificate."""

    certificate: x509.Certificate
    private_key: PrivateKey = field(repr=False)
    wwdr: x509.Certificate
    pass_type_identifier: str
    team_identifier: str
    not_after: datetime
    has_nfc: bool
    fingerprint_sha256: str


@dataclass(frozen=True, slots=True)
class _PassSubject:
    pass_type_identifier: str
    team_identifier: str
    has_nfc: bool


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
    """Read and check an upload; the certificate may also be DER, as it is downloaded.

    `authorities` are the accepted WWDR intermediates. A pass type or team identifier that is given
    must be the certificate's. `now` is aware. Raises SigningIdentityRejected.
    """
    return _checked(
        _read_certificate(certificate_pem),
        _read_key(private_key_pem, password),
        authorities,
        pass_type_identifier,
        team_identifier,
        now,
    )


def load_identity_p12(
    *,
    p12: bytes,
    password: bytes | None,
    authorities: Sequence[x509.Certificate],
    pass_type_identifier: str | None,
    team_identifier: str | None,
    now: datetime,
) -> SigningIdentity:
    """The same for a PKCS#12 export; an intermediate inside it is not trusted."""
    certificate, key = _read_p12(p12, password)
    return _checked(certificate, key, authorities, pass_type_identifier, team_identifier, now)


def to_pem(identity: SigningIdentity) -> tuple[bytes, bytes, bytes]:
    """(certificate, unencrypted PKCS#8 key, WWDR), each PEM; for encrypted storage only."""
    return (
        identity.certificate.public_bytes(Encoding.PEM),
        identity.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        identity.wwdr.public_bytes(Encoding.PEM),
    )


def from_pem(certificate_pem: bytes, private_key_pem: bytes, wwdr_pem: bytes) -> SigningIdentity:
    """Read back what `to_pem` gave, without the checks of an upload."""
    certificate = _read_certificate(certificate_pem)
    key = _read_key(private_key_pem, None)
    return _identity(certificate, key, _read_certificate(wwdr_pem), _pass_subject(certificate))


def _checked(
    certificate: x509.Certificate,
    key: PrivateKey,
    authorities: Sequence[x509.Certificate],
    pass_type_identifier: str | None,
    team_identifier: str | None,
    now: datetime,
) -> SigningIdentity:
    subject = _pass_subject(certificate)
    _check_names(subject, pass_type_identifier, team_identifier)
    _check_key_pair(certificate, key)
    _check_validity(certificate, now)
    return _identity(certificate, key, _issuer_of(certificate, authorities, now), subject)


def _identity(
    certificate: x509.Certificate,
    key: PrivateKey,
    wwdr: x509.Certificate,
    subject: _PassSubject,
) -> SigningIdentity:
    return SigningIdentity(
        certificate=certificate,
        private_key=key,
        wwdr=wwdr,
        pass_type_identifier=subject.pass_type_identifier,
        team_identifier=subject.team_identifier,
        not_after=certificate.not_valid_after_utc,
        has_nfc=subject.has_nfc,
        fingerprint_sha256=certificate.fingerprint(hashes.SHA256()).hex(),
    )


def _read_certificate(data: bytes) -> x509.Certificate:
    _bound(data, "certificate_unreadable")
    try:
        if b"-----BEGIN" in data:
            return x509.load_pem_x509_certificate(data)
        return x509.load_der_x509_certificate(data)
    except ValueError as error:
        raise SigningIdentityRejected(
            "certificate_unreadable", "the certificate is neither PEM nor DER"
        ) from error


def _read_key(data: bytes, password: bytes | None) -> PrivateKey:
    _bound(data, "key_unreadable")
    try:
        # A password for a key that is not encrypted does no harm, though the library minds it.
        is_encrypted = b"ENCRYPTED" in data
        key = load_pem_private_key(data, password if is_encrypted else None)
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
    return _supported(key)


def _supported(key: object) -> PrivateKey:
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= MIN_RSA_BITS:
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in CURVES:
        return key
    raise SigningIdentityRejected(
        "key_unsupported", f"the key is neither RSA of {MIN_RSA_BITS} bits or more nor EC P-256"
    )


def _read_p12(data: bytes, password: bytes | None) -> tuple[x509.Certificate, PrivateKey]:
    _bound(data, "p12_unreadable")
    try:
        content = pkcs12.load_pkcs12(data, password)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _p12_rejection(data, password, error) from error
    if content.cert is None or content.key is None:
        raise SigningIdentityRejected(
            "p12_unreadable",
            "the file holds no certificate with its private key: export both together",
        )
    return content.cert.certificate, _supported(content.key)


def _p12_rejection(
    data: bytes, password: bytes | None, error: Exception
) -> SigningIdentityRejected:
    if "password" not in str(error).lower() and _RC2_IDENTIFIER in data:
        return SigningIdentityRejected(
            "p12_unreadable",
            "the file is encrypted with RC2, which is not supported here: convert it with "
            "`openssl pkcs12 -legacy -in old.p12 -nodes -out identity.pem` and upload the PEM",
        )
    if "password" not in str(error).lower():
        return SigningIdentityRejected("p12_unreadable", "the file is not PKCS#12")
    if password is None:
        return SigningIdentityRejected(
            "password_missing", "the file is encrypted, and no password was given"
        )
    return SigningIdentityRejected("password_wrong", "the password does not open the file")


def _bound(data: bytes, code: str) -> None:
    if len(data) > MAX_UPLOAD_BYTES:
        raise SigningIdentityRejected(code, f"the file is larger than {MAX_UPLOAD_BYTES} bytes")


def _pass_subject(certificate: x509.Certificate) -> _PassSubject:
    user_id = _subject_text(certificate, NameOID.USER_ID)
    common_name = _subject_text(certificate, NameOID.COMMON_NAME)
    team = _subject_text(certificate, NameOID.ORGANIZATIONAL_UNIT_NAME)
    marker = _pass_type_marker(certificate)
    if not (user_id and team and marker) or not common_name.startswith((PLAIN_PREFIX, NFC_PREFIX)):
        raise SigningIdentityRejected(
            "not_a_pass_certificate", "the certificate was not issued for a pass type identifier"
        )
    if marker != user_id:
        raise SigningIdentityRejected(
            "not_a_pass_certificate", "the certificate names two different pass type identifiers"
        )
    return _PassSubject(user_id, team, common_name.startswith(NFC_PREFIX))


def _subject_text(certificate: x509.Certificate, name: x509.ObjectIdentifier) -> str:
    values = certificate.subject.get_attributes_for_oid(name)
    text = values[0].value if len(values) == 1 else ""
    return text if isinstance(text, str) else ""


def _pass_type_marker(certificate: x509.Certificate) -> str:
    """The extension's text, which authorities wrap in one of three string types."""
    try:
        value = certificate.extensions.get_extension_for_oid(PASS_TYPE_EXTENSION).value
        if not isinstance(value, x509.UnrecognizedExtension):
            return ""
        found = [(tag, content) for tag, content, _ in der.elements(value.value)]
        return found[0][1].decode() if len(found) == 1 and found[0][0] in der.TEXT_TAGS else ""
    except (x509.ExtensionNotFound, ValueError):
        return ""


def _check_names(
    subject: _PassSubject, pass_type_identifier: str | None, team_identifier: str | None
) -> None:
    if pass_type_identifier not in (None, subject.pass_type_identifier):
        raise SigningIdentityRejected(
            "pass_type_mismatch", f"the certificate is for {subject.pass_type_identifier}"
        )
    if team_identifier not in (None, subject.team_identifier):
        raise SigningIdentityRejected(
            "team_mismatch", f"the certificate is of team {subject.team_identifier}"
        )


def _check_key_pair(certificate: x509.Certificate, key: PrivateKey) -> None:
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if certificate.public_key().public_bytes(*form) != key.public_key().public_bytes(*form):
        raise SigningIdentityRejected(
            "key_mismatch", "the private key does not belong to the certificate"
        )


def _check_validity(certificate: x509.Certificate, now: datetime) -> None:
    if now >= certificate.not_valid_after_utc:
        ended = certificate.not_valid_after_utc.date().isoformat()
        raise SigningIdentityRejected("certificate_expired", f"the certificate ended on {ended}")
    if now < certificate.not_valid_before_utc:
        begins = certificate.not_valid_before_utc.isoformat()
        raise SigningIdentityRejected(
            "certificate_not_yet_valid", f"the certificate is not valid before {begins}"
        )


def _issuer_of(
    certificate: x509.Certificate, authorities: Sequence[x509.Certificate], now: datetime
) -> x509.Certificate:
    """The authority whose key identifier the certificate names and whose key verifies it.

    Which generation that is follows from the certificate alone; no generation is built in.
    """
    candidates = [known for known in authorities[:MAX_AUTHORITIES] if _issued(known, certificate)]
    if not candidates:
        raise SigningIdentityRejected(
            "wwdr_not_found",
            "none of the configured WWDR intermediates issued this certificate",
        )
    return _newest_valid(candidates, now)


def _newest_valid(candidates: Iterable[x509.Certificate], now: datetime) -> x509.Certificate:
    valid = [
        known
        for known in candidates
        if known.not_valid_before_utc <= now < known.not_valid_after_utc
    ]
    if not valid:
        raise SigningIdentityRejected(
            "wwdr_expired", "the WWDR intermediate that issued this certificate is not valid now"
        )
    return max(valid, key=lambda known: known.not_valid_after_utc)


def _issued(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    named, own = _authority_key_identifier(certificate), _subject_key_identifier(authority)
    if named is None or named != own:
        return False
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _authority_key_identifier(certificate: x509.Certificate) -> bytes | None:
    try:
        found = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    except (x509.ExtensionNotFound, ValueError):
        return None
    return found.value.key_identifier


def _subject_key_identifier(certificate: x509.Certificate) -> bytes | None:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except (x509.ExtensionNotFound, ValueError):
        return None
    return found.value.digest


def issued_by(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Whether the certificate names the authority by key identifier and verifies with its key."""
    return _issued(authority, certificate)


def pass_names(certificate: x509.Certificate) -> tuple[str, str]:
    """(pass type identifier, team); raises `SigningIdentityRejected` for other certificates."""
    subject = _pass_subject(certificate)
    return subject.pass_type_identifier, subject.team_identifier
