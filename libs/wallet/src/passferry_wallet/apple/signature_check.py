"""Who signed a pass that came from elsewhere: its detached CMS signature, up to a known authority.

An import must not say of a pass that it is genuine unless this says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from passferry_wallet.apple import der
from passferry_wallet.apple.certificates import SigningIdentityRejected, issued_by, pass_names

MAX_SIGNATURE_BYTES = 65_536
MAX_CERTIFICATES = 10

_SIGNED_DATA = der.object_identifier("1.2.840.113549.1.7.2")
_DATA = der.object_identifier("1.2.840.113549.1.7.1")
_CONTENT_TYPE = der.object_identifier("1.2.840.113549.1.9.3")
_MESSAGE_DIGEST = der.object_identifier("1.2.840.113549.1.9.4")
_SIGNING_TIME = der.object_identifier("1.2.840.113549.1.9.5")
_DIGESTS: dict[bytes, tuple[str, hashes.HashAlgorithm]] = {
    # Passes were signed over SHA-1 for years, and are still installed.
    der.object_identifier("1.3.14.3.2.26"): ("sha1", hashes.SHA1()),  # noqa: S303  # it is what they were signed over
    der.object_identifier("2.16.840.1.101.3.4.2.1"): ("sha256", hashes.SHA256()),
    der.object_identifier("2.16.840.1.101.3.4.2.2"): ("sha384", hashes.SHA384()),
    der.object_identifier("2.16.840.1.101.3.4.2.3"): ("sha512", hashes.SHA512()),
}
_TIME_FORMS = {der.UTC_TIME: "%y%m%d%H%M%SZ", der.GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}


class SignatureNotVerified(Exception):
    """The message is a sentence for the person who uploaded the pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedSigner:
    pass_type_identifier: str
    team_identifier: str
    signed_at: datetime


@dataclass(frozen=True, slots=True)
class _Signer:
    issuer: bytes
    serial_number: int
    digest: bytes
    attributes: bytes
    signature: bytes


def verify_signature(
    signature: bytes, manifest: bytes, authorities: Sequence[x509.Certificate]
) -> VerifiedSigner:
    """Raises `SignatureNotVerified`. A certificate that ended since then was valid at its time."""
    if len(signature) > MAX_SIGNATURE_BYTES:
        raise SignatureNotVerified(f"the signature is larger than {MAX_SIGNATURE_BYTES} bytes")
    try:
        return _verified(signature, manifest, authorities)
    except SignatureNotVerified:
        raise
    except Exception as broken:  # hostile bytes meet many exceptions of two libraries
        raise SignatureNotVerified("the signature is no detached CMS signature") from broken


def _verified(
    signature: bytes, manifest: bytes, authorities: Sequence[x509.Certificate]
) -> VerifiedSigner:
    certificates, signer = _parsed(signature)
    attributes = _attributes(signer.attributes)
    if signer.digest not in _DIGESTS:
        raise SignatureNotVerified("the signature uses a digest that is not known here")
    name, algorithm = _DIGESTS[signer.digest]
    digest = hashlib.new(name, manifest, usedforsecurity=False).digest()
    if attributes.get(_MESSAGE_DIGEST) != der.tlv(der.OCTET_STRING, digest):
        raise SignatureNotVerified("the signature is of another manifest")
    if attributes.get(_CONTENT_TYPE) != _DATA:
        raise SignatureNotVerified("the signature is of another kind of content")
    leaf = _leaf(certificates, signer)
    _check_value(leaf, signer, algorithm)
    signed_at = _moment(attributes.get(_SIGNING_TIME))
    if not leaf.not_valid_before_utc <= signed_at <= leaf.not_valid_after_utc:
        raise SignatureNotVerified("the certificate was not valid when the pass was signed")
    if not any(issued_by(authority, leaf) for authority in authorities):
        raise SignatureNotVerified("no configured WWDR intermediate issued the certificate")
    try:
        pass_type_identifier, team_identifier = pass_names(leaf)
    except SigningIdentityRejected as refusal:
        raise SignatureNotVerified(refusal.detail) from refusal
    return VerifiedSigner(
        pass_type_identifier=pass_type_identifier,
        team_identifier=team_identifier,
        signed_at=signed_at,
    )


def _parsed(signature: bytes) -> tuple[list[bytes], _Signer]:
    (_, content, _) = next(der.elements(signature))
    (_, _, kind), (_, explicit, _) = list(der.elements(content))
    if kind != _SIGNED_DATA:
        raise ValueError("not SignedData")
    (_, signed_data, _) = next(der.elements(explicit))
    parts = list(der.elements(signed_data))
    encapsulated = list(der.elements(parts[2][1]))
    if len(encapsulated) != 1 or encapsulated[0][2] != _DATA:
        raise ValueError("not detached")
    certificates = [
        whole
        for tag, inner, _ in parts[3:]
        if tag == der.CONTEXT_0
        for _, _, whole in der.elements(inner)
    ]
    signers = list(der.elements(parts[-1][1]))
    if len(signers) != 1 or len(certificates) > MAX_CERTIFICATES:
        raise ValueError("not one signer")
    return certificates, _signer(signers[0][1])


def _signer(content: bytes) -> _Signer:
    _, (_, identifier, _), (_, digest, _), (tag, _, attributes), _, (value_tag, value, _) = list(
        der.elements(content)
    )[:6]
    if tag != der.CONTEXT_0 or value_tag != der.OCTET_STRING:
        raise ValueError("no signed attributes")
    (_, _, issuer), (_, serial, _) = list(der.elements(identifier))
    return _Signer(
        issuer=issuer,
        serial_number=int.from_bytes(serial, "big", signed=True),
        digest=next(der.elements(digest))[2],
        # Stored under [0] and signed as a SET: only the first byte differs.
        attributes=bytes((der.SET,)) + attributes[1:],
        signature=value,
    )


def _attributes(attributes: bytes) -> dict[bytes, bytes]:
    """Kind to its one value, both as whole elements."""
    found: dict[bytes, bytes] = {}
    (_, inner, _) = next(der.elements(attributes))
    for _, attribute, _ in der.elements(inner):
        (_, _, kind), (_, values, _) = list(der.elements(attribute))
        wholes = [whole for _, _, whole in der.elements(values)]
        if len(wholes) != 1 or kind in found:
            raise ValueError("an attribute with several values")
        found[kind] = wholes[0]
    return found


def _leaf(certificates: Sequence[bytes], signer: _Signer) -> x509.Certificate:
    for each in map(x509.load_der_x509_certificate, certificates):
        is_named = each.issuer.public_bytes() == signer.issuer
        if each.serial_number == signer.serial_number and is_named:
            return each
    raise SignatureNotVerified("the signature does not hold its signer's certificate")


def _check_value(leaf: x509.Certificate, signer: _Signer, algorithm: hashes.HashAlgorithm) -> None:
    key = leaf.public_key()
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signer.signature, signer.attributes, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signer.signature, signer.attributes, ec.ECDSA(algorithm))
        else:
            raise SignatureNotVerified("the signer's key is neither RSA nor EC")
    except InvalidSignature as wrong:
        raise SignatureNotVerified("the signature does not fit its certificate") from wrong


def _moment(element: bytes | None) -> datetime:
    if element is None:
        raise SignatureNotVerified("the signature does not say when it was made")
    tag, content, _ = next(der.elements(element))
    try:
        return datetime.strptime(content.decode(), _TIME_FORMS[tag]).replace(tzinfo=UTC)
    except (ValueError, KeyError) as broken:
        raise SignatureNotVerified("the time of the signature cannot be read") from broken
