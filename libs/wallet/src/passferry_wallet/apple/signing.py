"""Detached CMS signatures over manifests, at nearly the speed of the bare RSA operation.

Everything but the signing time, the digest and the signature is the same for each pass of an
identity, so it is encoded once. RFC 5652: the attributes are signed as a SET and embedded with the
implicit tag [0].
"""

from __future__ import annotations

import hashlib
from datetime import datetime

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from passferry_wallet.apple import der
from passferry_wallet.apple.certificates import SigningIdentity

_SIGNED_DATA = der.object_identifier("1.2.840.113549.1.7.2")
_DATA = der.object_identifier("1.2.840.113549.1.7.1")
_SHA256 = der.sequence(der.object_identifier("2.16.840.1.101.3.4.2.1"), b"\x05\x00")
_RSA = der.sequence(der.object_identifier("1.2.840.113549.1.1.1"), b"\x05\x00")
_ECDSA_SHA256 = der.sequence(der.object_identifier("1.2.840.10045.4.3.2"))

_CONTENT_TYPE = der.sequence(
    der.object_identifier("1.2.840.113549.1.9.3"), der.element(0x31, _DATA)
)
_SIGNING_TIME = der.object_identifier("1.2.840.113549.1.9.5")
_MESSAGE_DIGEST = der.object_identifier("1.2.840.113549.1.9.4")

_PKCS1 = padding.PKCS1v15()
_HASH = hashes.SHA256()
_ECDSA = ec.ECDSA(hashes.SHA256())


class ManifestSigner:
    """Signs for one identity; may be used from several threads at once."""

    def __init__(self, identity: SigningIdentity) -> None:
        self._key = identity.private_key
        certificate = identity.certificate
        encoding = serialization.Encoding.DER
        embedded = certificate.public_bytes(encoding) + identity.wwdr.public_bytes(encoding)
        self._certificates = der.element(0xA0, embedded)
        self._signer = der.sequence(
            certificate.issuer.public_bytes(), der.integer(certificate.serial_number)
        )
        is_rsa = isinstance(self._key, rsa.RSAPrivateKey)
        self._algorithm = _RSA if is_rsa else _ECDSA_SHA256
        self._head = der.integer(1) + der.element(0x31, _SHA256) + der.sequence(_DATA)

    def sign(self, manifest: bytes, *, signing_time: datetime) -> bytes:
        """DER of the ContentInfo; `manifest` itself is not in it."""
        attributes = self._attributes(manifest, signing_time)
        signature = self._raw_signature(der.element(0x31, attributes))
        info = der.sequence(
            der.integer(1),
            self._signer,
            _SHA256,
            der.element(0xA0, attributes),
            self._algorithm,
            der.element(0x04, signature),
        )
        signed_data = der.sequence(self._head, self._certificates, der.element(0x31, info))
        return der.sequence(_SIGNED_DATA, der.element(0xA0, signed_data))

    def _attributes(self, manifest: bytes, signing_time: datetime) -> bytes:
        digest = der.element(0x04, hashlib.sha256(manifest).digest())
        # DER orders a SET by encoding, here by length: content type, time, digest.
        return (
            _CONTENT_TYPE
            + der.sequence(_SIGNING_TIME, der.element(0x31, der.time(signing_time)))
            + der.sequence(_MESSAGE_DIGEST, der.element(0x31, digest))
        )

    def _raw_signature(self, signed: bytes) -> bytes:
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(signed, _PKCS1, _HASH)
        return self._key.sign(signed, _ECDSA)
