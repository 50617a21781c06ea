"""Detached CMS signatures over manifests, built from parts that are encoded once.

All of a signature but its time, its digest and the signature value is the same for every pass of
an identity. Encoding the rest anew each time costs about a tenth of the RSA operation itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from passferry_wallet.apple import der
from passferry_wallet.apple.certificates import SigningIdentity

_DATA = der.object_identifier("1.2.840.113549.1.7.1")
_SIGNED_DATA = der.object_identifier("1.2.840.113549.1.7.2")
_CONTENT_TYPE = der.object_identifier("1.2.840.113549.1.9.3")
_MESSAGE_DIGEST = der.object_identifier("1.2.840.113549.1.9.4")
_SIGNING_TIME = der.object_identifier("1.2.840.113549.1.9.5")
_VERSION_1 = der.tlv(der.INTEGER, b"\x01")
_SHA256 = der.tlv(der.SEQUENCE, der.object_identifier("2.16.840.1.101.3.4.2.1"), der.NULL)
_RSA_ENCRYPTION = der.tlv(der.SEQUENCE, der.object_identifier("1.2.840.113549.1.1.1"), der.NULL)
_ECDSA_WITH_SHA256 = der.tlv(der.SEQUENCE, der.object_identifier("1.2.840.10045.4.3.2"))
_CONTENT_TYPE_ATTRIBUTE = der.tlv(der.SEQUENCE, _CONTENT_TYPE, der.tlv(der.SET, _DATA))
_DIGEST_ATTRIBUTE_HEAD = der.tlv(
    der.SEQUENCE,
    _MESSAGE_DIGEST,
    der.tlv(der.SET, der.tlv(der.OCTET_STRING, bytes(32))),
)[:-32]

_PKCS1, _SHA256_HASH, _ECDSA = padding.PKCS1v15(), hashes.SHA256(), ec.ECDSA(hashes.SHA256())

#: Years that UTCTime can tell; later ones need GeneralizedTime.
_UTC_TIME_YEARS = range(1950, 2050)


class SignatureFrame:
    """All of an identity's signatures but the signature value, for a key that may be elsewhere.

    `is_rsa`: the value is PKCS#1 v1.5 with SHA-256 over `to_be_signed`; else ECDSA with SHA-256,
    as DER.
    """

    def __init__(self, certificate: x509.Certificate, wwdr: x509.Certificate) -> None:
        self.is_rsa = isinstance(certificate.public_key(), rsa.RSAPublicKey)
        certificates = sorted(each.public_bytes(Encoding.DER) for each in (certificate, wwdr))
        self._before_signers = b"".join(
            (
                _VERSION_1,
                der.tlv(der.SET, _SHA256),
                # No content inside: the signature is detached.
                der.tlv(der.SEQUENCE, _DATA),
                der.tlv(der.CONTEXT_0, *certificates),
            )
        )
        self._signer_head = _VERSION_1 + _issuer_and_serial(certificate) + _SHA256
        self._signature_algorithm = _RSA_ENCRYPTION if self.is_rsa else _ECDSA_WITH_SHA256
        #: By the sizes of attributes and signature, which are nearly always the same.
        self._frames: dict[tuple[int, int], tuple[bytes, bytes]] = {}

    def attributes(self, manifest: bytes, *, signing_time: datetime) -> bytes:
        """What a signature says about a manifest, to be handed to the other two."""
        return _attributes(hashlib.sha256(manifest).digest(), signing_time)

    def to_be_signed(self, attributes: bytes) -> bytes:
        # They are signed as a SET and stored under [0]; only the first byte differs.
        return _set_head(len(attributes)) + attributes

    def completed(self, attributes: bytes, signature: bytes) -> bytes:
        """The detached signature, DER."""
        sizes = len(attributes), len(signature)
        frame = self._frames.get(sizes)
        if frame is None:
            frame = self._frames[sizes] = self._frame(*sizes)
        before, between = frame
        return b"".join((before, attributes, between, signature))

    def _frame(self, attributes_size: int, signature_size: int) -> tuple[bytes, bytes]:
        """What stands before the attributes, and between them and the signature, which is last."""
        attributes, signature = bytes(attributes_size), bytes(signature_size)
        stored = der.tlv(der.CONTEXT_0, attributes)
        end = self._signature_algorithm + der.tlv(der.OCTET_STRING, signature)
        signer = der.tlv(der.SEQUENCE, self._signer_head, stored, end)
        signed_data = der.tlv(der.SEQUENCE, self._before_signers, der.tlv(der.SET, signer))
        whole = der.tlv(der.SEQUENCE, _SIGNED_DATA, der.tlv(der.CONTEXT_0, signed_data))
        return whole[: -len(end) - attributes_size], end[:-signature_size]


class ManifestSigner:
    """Signs manifests with one identity; safe to share between threads."""

    def __init__(self, identity: SigningIdentity) -> None:
        self._sign = _signing(identity.private_key)
        self._frame = SignatureFrame(identity.certificate, identity.wwdr)

    def sign(self, manifest: bytes, *, signing_time: datetime) -> bytes:
        """The detached signature, DER. `signing_time` is aware and told to the second."""
        attributes = self._frame.attributes(manifest, signing_time=signing_time)
        signature = self._sign(self._frame.to_be_signed(attributes))
        return self._frame.completed(attributes, signature)


def _signing(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> Callable[[bytes], bytes]:
    if isinstance(key, rsa.RSAPrivateKey):
        return lambda signed: key.sign(signed, _PKCS1, _SHA256_HASH)
    return lambda signed: key.sign(signed, _ECDSA)


def _attributes(digest: bytes, signing_time: datetime) -> bytes:
    # DER orders a SET OF by encoding; these three grow in length, so this order is that order.
    return b"".join(
        (
            _CONTENT_TYPE_ATTRIBUTE,
            _signing_time_attribute(signing_time),
            _DIGEST_ATTRIBUTE_HEAD,
            digest,
        )
    )


@lru_cache(maxsize=64)
def _set_head(size: int) -> bytes:
    return bytes((der.SET,)) + der.length(size)


@lru_cache(maxsize=64)
def _signing_time_attribute(moment: datetime) -> bytes:
    # All signatures of a batch have one time.
    return der.tlv(der.SEQUENCE, _SIGNING_TIME, der.tlv(der.SET, _time(moment)))


def _time(moment: datetime) -> bytes:
    if moment.tzinfo is None:
        raise ValueError("a signing time has a zone")
    utc = moment.astimezone(UTC)
    if utc.year in _UTC_TIME_YEARS:
        return der.tlv(der.UTC_TIME, utc.strftime("%y%m%d%H%M%SZ").encode())
    return der.tlv(der.GENERALIZED_TIME, utc.strftime("%Y%m%d%H%M%SZ").encode())


def _issuer_and_serial(certificate: x509.Certificate) -> bytes:
    """Byte for byte from the certificate: an issuer encoded anew might differ and not be found."""
    _, fields, _ = next(der.elements(certificate.tbs_certificate_bytes))
    parts = [(tag, whole) for tag, _, whole in der.elements(fields) if tag != der.CONTEXT_0]
    # Without the version: serial number, signature algorithm, issuer.
    (_, serial), _, (_, issuer) = parts[:3]
    return der.tlv(der.SEQUENCE, issuer, serial)
