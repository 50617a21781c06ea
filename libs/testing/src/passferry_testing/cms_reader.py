"""Verifies a detached CMS signature in process, by walking its DER.

It serves the many fetches of simulated phones; `pass_reader.verify_with_openssl` is the judge that
shares no code with it.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

_INTEGER, _OCTETS, _OID, _SEQUENCE, _SET = 0x02, 0x04, 0x06, 0x30, 0x31
_CONTEXT_0, _CONTEXT_1 = 0xA0, 0xA1
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18

_SIGNED_DATA = bytes.fromhex("2a864886f70d010702")
_DATA = bytes.fromhex("2a864886f70d010701")
_CONTENT_TYPE = bytes.fromhex("2a864886f70d010903")
_MESSAGE_DIGEST = bytes.fromhex("2a864886f70d010904")
_SIGNING_TIME = bytes.fromhex("2a864886f70d010905")
_DIGESTS: dict[bytes, tuple[str, hashes.HashAlgorithm]] = {
    bytes.fromhex("2b0e03021a"): ("sha1", hashes.SHA1()),
    bytes.fromhex("608648016503040201"): ("sha256", hashes.SHA256()),
}
_CHAINS_KEPT = 64


class SignatureUnreadable(Exception):
    """The signature does not hold; the text says why."""


@dataclass(frozen=True, slots=True)
class VerifiedSignature:
    """A good signature: who made it (the leaf) and when it says so."""

    leaf: x509.Certificate
    signing_time: datetime


@dataclass(frozen=True, slots=True)
class _Chain:
    leaf: x509.Certificate
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class _Node:
    """One DER element: its tag, its content and all its bytes."""

    tag: int
    content: bytes
    raw: bytes

    def children(self) -> list[_Node]:
        return list(_elements(self.content))


@dataclass(frozen=True, slots=True)
class _SignerInfo:
    serial_number: int
    digest: bytes
    attributes_raw: bytes
    attributes: dict[bytes, _Node]
    signature: bytes


def verify_detached(
    signature: bytes, content: bytes, *, root_pem: bytes, now: datetime
) -> VerifiedSignature:
    """Check a detached signature over `content` up to the root, at the time `now`.

    Raises SignatureUnreadable: not DER, not detached, an attribute missing (signingTime, too),
    another digest, a signature that does not verify, or a chain that does not reach the root.
    """
    certificates, signer = _parse(signature)
    chain = _chain(tuple(certificates), signer.serial_number, root_pem)
    if not chain.not_before <= now <= chain.not_after:
        raise SignatureUnreadable("a certificate of the chain is not valid now")
    name, algorithm = _known_digest(signer.digest)
    _check_attributes(signer.attributes, hashlib.new(name, content, usedforsecurity=False).digest())
    # Signed as a SET, although it is stored with the tag [0].
    signed = bytes([_SET]) + signer.attributes_raw[1:]
    _check_signature(chain.leaf, signer.signature, signed, algorithm)
    return VerifiedSignature(chain.leaf, _time(signer.attributes[_SIGNING_TIME]))


def _parse(signature: bytes) -> tuple[list[bytes], _SignerInfo]:
    try:
        content_type, explicit = _only(signature, _SEQUENCE).children()
        if content_type.content != _SIGNED_DATA:
            raise SignatureUnreadable("the signature is not CMS SignedData")
        (signed_data,) = explicit.children()
        parts = signed_data.children()
        encapsulated = parts[2].children()
        certificates = [
            one.raw for part in parts[3:] if part.tag == _CONTEXT_0 for one in part.children()
        ]
        signers = parts[-1].children()
    except (ValueError, IndexError) as broken:
        raise SignatureUnreadable("the signature is not well-formed CMS") from broken
    if len(encapsulated) != 1 or encapsulated[0].content != _DATA:
        raise SignatureUnreadable("the signature is not detached")
    if len(signers) != 1:
        raise SignatureUnreadable(f"{len(signers)} signers instead of one")
    return certificates, _signer(signers[0])


def _signer(node: _Node) -> _SignerInfo:
    try:
        _, identifier, digest, attributes, _, value = node.children()[:6]
        if identifier.tag != _SEQUENCE or attributes.tag != _CONTEXT_0 or value.tag != _OCTETS:
            raise ValueError("unexpected element")
        _, serial = identifier.children()
        found: dict[bytes, _Node] = {}
        for attribute in attributes.children():
            kind, values = attribute.children()
            found[kind.content] = values.children()[0]
        return _SignerInfo(
            serial_number=int.from_bytes(serial.content, signed=True),
            digest=digest.children()[0].content,
            attributes_raw=attributes.raw,
            attributes=found,
            signature=value.content,
        )
    except (ValueError, IndexError) as broken:
        raise SignatureUnreadable("the signer is not well formed, or signs no attributes") from (
            broken
        )


def _check_attributes(attributes: dict[bytes, _Node], digest: bytes) -> None:
    if _SIGNING_TIME not in attributes:
        raise SignatureUnreadable("Signature must contain a signing date")
    if _CONTENT_TYPE not in attributes or attributes[_CONTENT_TYPE].content != _DATA:
        raise SignatureUnreadable("the attribute contentType is missing or wrong")
    if _MESSAGE_DIGEST not in attributes or attributes[_MESSAGE_DIGEST].content != digest:
        raise SignatureUnreadable("the signed digest is not that of the manifest")


def _check_signature(
    leaf: x509.Certificate, signature: bytes, signed: bytes, algorithm: hashes.HashAlgorithm
) -> None:
    key = leaf.public_key()
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, signed, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, signed, ec.ECDSA(algorithm))
        else:
            raise SignatureUnreadable("the leaf's key is neither RSA nor EC")
    except InvalidSignature as wrong:
        raise SignatureUnreadable("the signature does not verify with the leaf's key") from wrong


@lru_cache(maxsize=_CHAINS_KEPT)
def _chain(certificates: tuple[bytes, ...], serial_number: int, root_pem: bytes) -> _Chain:
    """Order the embedded certificates from the signer's up to the root, and check each link."""
    try:
        pool = [x509.load_der_x509_certificate(one) for one in certificates]
        root = x509.load_pem_x509_certificate(root_pem)
    except ValueError as broken:
        raise SignatureUnreadable("an embedded certificate cannot be read") from broken
    leaf = next((one for one in pool if one.serial_number == serial_number), None)
    if leaf is None:
        raise SignatureUnreadable("the signer's certificate is not embedded")
    path = [leaf]
    while path[-1].issuer != root.subject:
        issuer = next((one for one in pool if one.subject == path[-1].issuer), None)
        if issuer is None or issuer in path:
            raise SignatureUnreadable("the chain does not reach the root")
        path.append(issuer)
    path.append(root)
    for child, parent in itertools.pairwise(path):
        _check_link(child, parent)
    return _Chain(
        leaf,
        not_before=max(one.not_valid_before_utc for one in path),
        not_after=min(one.not_valid_after_utc for one in path),
    )


def _check_link(child: x509.Certificate, parent: x509.Certificate) -> None:
    try:
        child.verify_directly_issued_by(parent)
        constraints = parent.extensions.get_extension_for_class(x509.BasicConstraints)
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound) as wrong:
        raise SignatureUnreadable("a certificate was not issued by the next one") from wrong
    if not constraints.value.ca:
        raise SignatureUnreadable("a certificate of the chain is no authority")


def _known_digest(identifier: bytes) -> tuple[str, hashes.HashAlgorithm]:
    if identifier not in _DIGESTS:
        raise SignatureUnreadable("the digest is neither SHA-1 nor SHA-256")
    return _DIGESTS[identifier]


def _time(node: _Node) -> datetime:
    forms = {_UTC_TIME: "%y%m%d%H%M%SZ", _GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}
    try:
        return datetime.strptime(node.content.decode(), forms[node.tag]).replace(tzinfo=UTC)
    except (ValueError, KeyError) as broken:
        raise SignatureUnreadable("the signing date cannot be read") from broken


def _only(data: bytes, tag: int) -> _Node:
    elements = list(_elements(data))
    if len(elements) != 1 or elements[0].tag != tag:
        raise ValueError("one element was expected")
    return elements[0]


def _elements(data: bytes) -> Iterator[_Node]:
    position = 0
    while position < len(data):
        tag, start = data[position], position + 2
        length = data[position + 1]
        if length & 0x80:
            count = length & 0x7F
            if not 1 <= count <= 4:
                raise ValueError("a length that DER does not know")
            length = int.from_bytes(data[start : start + count])
            start += count
        end = start + length
        if end > len(data):
            raise ValueError("an element is longer than what holds it")
        yield _Node(tag, data[start:end], data[position:end])
        position = end
