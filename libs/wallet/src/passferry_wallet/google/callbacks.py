"""Google's signed save and delete callbacks (ECv2SigningOnly), verified before they are read.

What is signed are length-prefixed parts. The JSON texts inside the envelope enter them verbatim:
Google escapes `=` as `\\u003d` in them, and a text that was parsed and written anew no longer fits
its signature.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

import orjson
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

PROTOCOL = "ECv2SigningOnly"
DEFAULT_SENDER_ID = "GooglePayPasses"
MAX_ENVELOPE_BYTES = 32_768
MAX_KEYS_BYTES = 65_536
MAX_ROOT_KEYS = 32
MAX_SIGNATURES = 8
MAX_ID_CHARACTERS = 256

_ENVELOPE_KEYS = {"protocolVersion", "signature", "intermediateSigningKey", "signedMessage"}
_ISSUER_ID = re.compile(r"[0-9]{1,32}")
_MILLISECONDS = re.compile(r"[0-9]{1,15}")
_NONCE = re.compile(r"[\x21-\x7e]{8,128}")


class CallbackRejected(Exception):
    """The callback proves nothing. `code` is stable and safe to log.

    Codes: envelope_too_large, envelope_malformed, issuer_id_invalid, protocol_unsupported,
    root_signature_invalid, intermediate_key_invalid, intermediate_key_expired,
    message_signature_invalid, message_malformed, message_expired, issuer_mismatch.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class RootKeysUnreadable(ValueError):
    """The published file holds no usable key."""


@dataclass(frozen=True, slots=True)
class RootKey:
    """`expires_at` is aware UTC; from then on the key proves nothing."""

    public_key: ec.EllipticCurvePublicKey
    protocol_version: str
    expires_at: datetime


class RootKeySource(Protocol):
    """Where the published keys come from; fetching and caching them is the caller's."""

    async def __call__(self) -> Sequence[RootKey]: ...


@dataclass(frozen=True, slots=True)
class Callback:
    """A verified one. It may be a repetition: `nonce` tells, until `expires_at` (aware UTC)."""

    event_type: Literal["save", "del"]
    class_id: str
    object_id: str
    nonce: str
    expires_at: datetime


def parse_root_keys(document: bytes) -> list[RootKey]:
    """The keys of this protocol from Google's published file; raises RootKeysUnreadable."""
    if len(document) > MAX_KEYS_BYTES:
        raise RootKeysUnreadable("the file of root keys is too large")
    try:
        listed = orjson.loads(document)["keys"]
        found = [_root_key(item) for item in listed[:MAX_ROOT_KEYS] if _is_ours(item)]
    except (ValueError, KeyError, TypeError, UnsupportedAlgorithm) as error:
        raise RootKeysUnreadable("the file of root keys is malformed") from error
    if not found:
        raise RootKeysUnreadable(f"the file holds no key for {PROTOCOL}")
    return found


def verify_callback(
    envelope_body: bytes,
    *,
    issuer_id: str,
    root_keys: Sequence[RootKey],
    now: datetime,
    sender_id: str = DEFAULT_SENDER_ID,
) -> Callback:
    """Verify the body of a callback against the issuer that the called address belongs to.

    `issuer_id` comes from the address, never from the message; `now` is aware. Raises
    CallbackRejected.
    """
    if not _ISSUER_ID.fullmatch(issuer_id):
        raise CallbackRejected("issuer_id_invalid")
    envelope = _envelope(envelope_body)
    intermediate = _intermediate_key(envelope, root_keys, sender_id, now)
    message = envelope["signedMessage"]
    signed = _length_value(sender_id, issuer_id, PROTOCOL, message)
    if not _verifies(intermediate, envelope["signature"], signed):
        raise CallbackRejected("message_signature_invalid")
    return _callback(message, issuer_id, now)


def _is_ours(item: Any) -> bool:
    return bool(item["protocolVersion"] == PROTOCOL and "keyExpiration" in item)


def _root_key(item: Any) -> RootKey:
    key = _public_key(item["keyValue"])
    if key is None:
        raise RootKeysUnreadable("a root key is no P-256 key")
    return RootKey(key, PROTOCOL, _moment(item["keyExpiration"]))


def _envelope(body: bytes) -> dict[str, Any]:
    if len(body) > MAX_ENVELOPE_BYTES:
        raise CallbackRejected("envelope_too_large")
    envelope = _object(body, "envelope_malformed")
    if envelope.keys() != _ENVELOPE_KEYS:
        raise CallbackRejected("envelope_malformed")
    texts = ("protocolVersion", "signature", "signedMessage")
    if not all(isinstance(envelope[name], str) for name in texts):
        raise CallbackRejected("envelope_malformed")
    if envelope["protocolVersion"] != PROTOCOL:
        raise CallbackRejected("protocol_unsupported")
    return envelope


def _intermediate_key(
    envelope: dict[str, Any], root_keys: Sequence[RootKey], sender_id: str, now: datetime
) -> ec.EllipticCurvePublicKey:
    part = envelope["intermediateSigningKey"]
    signed_key = part.get("signedKey") if isinstance(part, dict) else None
    signatures = part.get("signatures") if isinstance(part, dict) else None
    if not isinstance(signed_key, str) or not isinstance(signatures, list):
        raise CallbackRejected("envelope_malformed")
    signed = _length_value(sender_id, PROTOCOL, signed_key)
    roots = [
        root.public_key
        for root in root_keys[:MAX_ROOT_KEYS]
        if root.protocol_version == PROTOCOL and now < root.expires_at
    ]
    if not _any_verifies(roots, signatures[:MAX_SIGNATURES], signed):
        raise CallbackRejected("root_signature_invalid")
    return _unexpired_key(signed_key, now)


def _unexpired_key(signed_key: str, now: datetime) -> ec.EllipticCurvePublicKey:
    """Read only after its signature was verified."""
    content = _object(signed_key.encode(), "intermediate_key_invalid")
    try:
        expires_at = _moment(content.get("keyExpiration"))
    except ValueError as error:
        raise CallbackRejected("intermediate_key_invalid") from error
    key = _public_key(content.get("keyValue"))
    if key is None:
        raise CallbackRejected("intermediate_key_invalid")
    if now >= expires_at:
        raise CallbackRejected("intermediate_key_expired")
    return key


def _callback(message: str, issuer_id: str, now: datetime) -> Callback:
    content = _object(message.encode(), "message_malformed")
    class_id, object_id = _identifier(content, "classId"), _identifier(content, "objectId")
    event_type, nonce = content.get("eventType"), content.get("nonce")
    if event_type not in ("save", "del"):
        raise CallbackRejected("message_malformed")
    if not isinstance(nonce, str) or not _NONCE.fullmatch(nonce):
        raise CallbackRejected("message_malformed")
    try:
        expires_at = _moment(content.get("expTimeMillis"))
    except ValueError as error:
        raise CallbackRejected("message_malformed") from error
    if now >= expires_at:
        raise CallbackRejected("message_expired")
    for identifier in (class_id, object_id):
        if identifier.partition(".")[0] != issuer_id:
            raise CallbackRejected("issuer_mismatch")
    return Callback(event_type, class_id, object_id, nonce, expires_at)


def _identifier(content: dict[str, Any], name: str) -> str:
    value = content.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_ID_CHARACTERS:
        raise CallbackRejected("message_malformed")
    return value


def _object(text: bytes, code: str) -> dict[str, Any]:
    try:
        content = orjson.loads(text)
    except ValueError as error:
        raise CallbackRejected(code) from error
    if not isinstance(content, dict):
        raise CallbackRejected(code)
    return content


def _moment(milliseconds: object) -> datetime:
    """From milliseconds since the epoch, a number in messages and a text in keys."""
    text = "" if isinstance(milliseconds, bool) else str(milliseconds)
    if not isinstance(milliseconds, int | str) or not _MILLISECONDS.fullmatch(text):
        raise ValueError("no time in milliseconds")
    try:
        return datetime.fromtimestamp(int(text) // 1000, UTC)
    except (OverflowError, OSError) as error:
        raise ValueError("no time that can be told") from error


def _length_value(*parts: str) -> bytes:
    """Each part behind its length in bytes (not characters), four bytes little-endian."""
    encoded = [part.encode() for part in parts]
    return b"".join(struct.pack("<I", len(part)) + part for part in encoded)


def _any_verifies(
    keys: Iterable[ec.EllipticCurvePublicKey], signatures: Sequence[object], signed: bytes
) -> bool:
    return any(_verifies(key, signature, signed) for key in keys for signature in signatures)


def _verifies(key: ec.EllipticCurvePublicKey, signature: object, signed: bytes) -> bool:
    if not isinstance(signature, str):
        return False
    try:
        key.verify(base64.b64decode(signature, validate=True), signed, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError, binascii.Error):
        return False
    return True


def _public_key(text: object) -> ec.EllipticCurvePublicKey | None:
    if not isinstance(text, str):
        return None
    try:
        key = load_der_public_key(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error, UnsupportedAlgorithm):
        return None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        return None
    return key
