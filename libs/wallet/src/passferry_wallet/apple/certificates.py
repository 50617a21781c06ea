"""Signing identities: a pass certificate with its key and the intermediate that issued it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

from passferry_wallet.apple import der
from passferry_wallet.apple.key_material import (
    MALFORMED,
    MAX_UPLOAD_BYTES,
    PrivateKey,
    SigningIdentityRejected,
    read_certificate,
    read_certificates,
    read_key,
)
from passferry_wallet.apple.open_p12 import open_p12

__all__ = [
    "MAX_UPLOAD_BYTES",
    "PrivateKey",
    "SigningIdentity",
    "SigningIdentityRejected",
    "from_pem",
    "load_identity",
    "load_identity_p12",
    "to_pem",
]

PASS_TYPE_EXTENSION = x509.ObjectIdentifier("1.2.840.113635.100.6.1.16")
PLAIN_PREFIX = "Pass Type ID: "
NFC_PREFIX = "Pass Type ID with NFC: "

WWDR_COMMON_NAME = "Apple Worldwide Developer Relations Certification Authority"
MAX_AUTHORITIES = 100
MAX_KEY_IDENTIFIER_BYTES = 64
_GENERATION = re.compile(r"G[0-9]{1,2}")
#: What other certificates of Apple begin with, and what they are for.
_OTHER_KINDS = {
    "Apple Push Services": "pushes to apps",
    "Apple Development": "development of apps",
    "Apple Distribution": "distribution of apps",
    "iPhone D": "apps",
    "Developer ID": "apps outside the store",
    "Apple Pay": "payments",
    "Merchant ID": "payments",
    "Order Type ID": "orders",
    "Website Push ID": "pushes to websites",
    "Apple Worldwide Developer Relations": "issuing others: it is the intermediate itself",
}


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
    """Read and check an upload; the certificate may also be DER, as it is downloaded. With it in
    PEM may stand its chain, in any order, and the key.

    `authorities` are the accepted WWDR intermediates. A pass type or team identifier that is given
    must be the certificate's. `now` is aware. Raises SigningIdentityRejected.
    """
    key = read_key(private_key_pem, password)
    return _checked(
        _leaf_of(read_certificates(certificate_pem), key),
        key,
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
    """The same for a PKCS#12 export; an intermediate inside it is not trusted. Blocks while
    another process opens it."""
    found, key = open_p12(p12, password)
    return _checked(
        _leaf_of(found, key), key, authorities, pass_type_identifier, team_identifier, now
    )


def to_pem(identity: SigningIdentity) -> tuple[bytes, bytes, bytes]:
    """(certificate, unencrypted PKCS#8 key, WWDR), each PEM; for encrypted storage only."""
    return (
        identity.certificate.public_bytes(Encoding.PEM),
        identity.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        identity.wwdr.public_bytes(Encoding.PEM),
    )


def from_pem(certificate_pem: bytes, private_key_pem: bytes, wwdr_pem: bytes) -> SigningIdentity:
    """Read back what `to_pem` gave, without the checks of an upload."""
    certificate = read_certificate(certificate_pem)
    key = read_key(private_key_pem, None)
    return _identity(certificate, key, read_certificate(wwdr_pem), _pass_subject(certificate))


def _leaf_of(found: Sequence[x509.Certificate], key: PrivateKey) -> x509.Certificate:
    """The certificate that the key belongs to: exports order a chain as they like."""
    own = _public_bytes(key.public_key())
    fitting = [each for each in found if _public_bytes_of(each) == own]
    # Of a renewal with the same key, whoever exports both gets both: the newer one is meant.
    return max(fitting or found[:1], key=lambda each: each.not_valid_after_utc)


def _public_bytes_of(certificate: x509.Certificate) -> bytes:
    try:
        return _public_bytes(certificate.public_key())
    except MALFORMED:
        return b""


def _public_bytes(key: CertificatePublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _checked(
    certificate: x509.Certificate,
    key: PrivateKey,
    authorities: Sequence[x509.Certificate],
    pass_type_identifier: str | None,
    team_identifier: str | None,
    now: datetime,
) -> SigningIdentity:
    try:
        subject = _pass_subject(certificate)
        _check_names(subject, pass_type_identifier, team_identifier)
        _check_key_pair(certificate, key)
        _check_validity(certificate, now)
        return _identity(certificate, key, _issuer_of(certificate, authorities, now), subject)
    except MALFORMED as error:
        raise SigningIdentityRejected(
            "certificate_unreadable", "the certificate holds a part that cannot be read"
        ) from error


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


def _pass_subject(certificate: x509.Certificate) -> _PassSubject:
    user_id = _subject_text(certificate, NameOID.USER_ID)
    common_name = _subject_text(certificate, NameOID.COMMON_NAME)
    team = _subject_text(certificate, NameOID.ORGANIZATIONAL_UNIT_NAME)
    marker = _pass_type_marker(certificate)
    if not (user_id and team and marker) or not common_name.startswith((PLAIN_PREFIX, NFC_PREFIX)):
        raise SigningIdentityRejected("not_a_pass_certificate", _other_kind(common_name))
    if _is_authority(certificate):
        raise SigningIdentityRejected(
            "not_a_pass_certificate", "the certificate is of an authority, not of a pass type"
        )
    if marker != user_id:
        raise SigningIdentityRejected(
            "not_a_pass_certificate", "the certificate names two different pass type identifiers"
        )
    return _PassSubject(user_id, team, common_name.startswith(NFC_PREFIX))


def _other_kind(common_name: str) -> str:
    told = "the certificate was not issued for a pass type identifier"
    for prefix, purpose in _OTHER_KINDS.items():
        if common_name.startswith(prefix):
            return f"{told}, but for {purpose}"
    return told


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        found = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except (x509.ExtensionNotFound, ValueError):
        return False
    return found.value.ca


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
    if _public_bytes_of(certificate) != _public_bytes(key.public_key()):
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
            "none of the configured WWDR intermediates issued this certificate"
            + _wanted_authority(certificate),
        )
    return _newest_valid(candidates, now)


def _wanted_authority(certificate: x509.Certificate) -> str:
    """Which one is missing, if the certificate says so in a way that can be repeated."""
    key_id = _authority_key_identifier(certificate)
    names = certificate.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
    if not key_id or len(key_id) > MAX_KEY_IDENTIFIER_BYTES or not names:
        return ""
    if names[0].value != WWDR_COMMON_NAME:
        return ": its issuer is not Apple's Worldwide Developer Relations"
    units = certificate.issuer.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
    unit = units[0].value if units else ""
    generation = f" {unit}" if isinstance(unit, str) and _GENERATION.fullmatch(unit) else ""
    return f": add Apple's{generation} intermediate with the key identifier {key_id.hex()}"


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
