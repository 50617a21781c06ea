"""Google's signed callbacks (ECv2SigningOnly): root key → intermediate key → message.

What was signed are the JSON strings as they stand in the envelope. They are never serialised again:
`\\u003d` must stay as it came. Lengths are of the UTF-8 bytes, not of characters.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

PROTOCOL = "ECv2SigningOnly"
SENDER_ID = "GooglePayPasses"
MAX_SIGNATURES = 8
MAX_ROOT_KEYS = 32
_KEYS = {"protocolVersion", "signature", "intermediateSigningKey", "signedMessage"}


class CallbackRejected(Exception):
    """Malformed, forged, expired, or of another issuer."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class RootKey:
    public_key: ec.EllipticCurvePublicKey
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Callback:
    """`event_type` is `save` or `del`; `nonce` tells repetitions."""

    event_type: str
    class_id: str
    object_id: str
    nonce: str
    expires_at: datetime


def parse_root_keys(body: bytes) -> list[RootKey]:
    """Of the published keys those for this protocol; raises `ValueError` when there is none."""
    found = []
    for entry in list(json.loads(body)["keys"])[:MAX_ROOT_KEYS]:
        if entry.get("protocolVersion") == PROTOCOL:
            expires_at = _moment(entry["keyExpiration"])
            found.append(RootKey(_public_key(entry["keyValue"]), expires_at))
    if not found:
        raise ValueError("no usable root key")
    return found


def verify_callback(
    body: bytes,
    *,
    issuer_id: str,
    root_keys: Sequence[RootKey],
    now: datetime,
    sender_id: str = SENDER_ID,
) -> Callback:
    """Everything is checked before a word of the message is used; raises `CallbackRejected`."""
    try:
        envelope = json.loads(body)
        if not isinstance(envelope, dict) or set(envelope) != _KEYS:
            raise CallbackRejected("envelope_malformed")
        if envelope["protocolVersion"] != PROTOCOL:
            raise CallbackRejected("protocol_unknown")
        key = _intermediate_key(envelope["intermediateSigningKey"], root_keys, now, sender_id)
        message = _text(envelope["signedMessage"])
        signed = _joined(sender_id, issuer_id, PROTOCOL, message)
        if not _verifies(key, envelope["signature"], signed):
            raise CallbackRejected("signature_invalid")
        return _callback(json.loads(message), issuer_id, now)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError) as error:
        raise CallbackRejected("envelope_malformed") from error


def _intermediate_key(
    entry: Any, root_keys: Sequence[RootKey], now: datetime, sender_id: str
) -> ec.EllipticCurvePublicKey:
    signed_key = _text(entry["signedKey"])
    signed = _joined(sender_id, PROTOCOL, signed_key)
    signatures = list(entry["signatures"])[:MAX_SIGNATURES]
    is_signed = any(
        _verifies(root.public_key, signature, signed)
        for root in root_keys
        if root.expires_at > now
        for signature in signatures
    )
    if not is_signed:
        raise CallbackRejected("intermediate_key_forged")
    content = json.loads(signed_key)
    if _moment(content["keyExpiration"]) <= now:
        raise CallbackRejected("intermediate_key_expired")
    return _public_key(content["keyValue"])


def _callback(message: Any, issuer_id: str, now: datetime) -> Callback:
    expires_at = _moment(message["expTimeMillis"])
    if expires_at <= now:
        raise CallbackRejected("message_expired")
    class_id, object_id = _text(message["classId"]), _text(message["objectId"])
    if any(each.split(".", 1)[0] != issuer_id for each in (class_id, object_id)):
        raise CallbackRejected("issuer_mismatch")
    event_type = _text(message["eventType"]).lower()
    if event_type not in {"save", "del"}:
        raise CallbackRejected("event_type_unknown")
    return Callback(event_type, class_id, object_id, _text(message["nonce"])[:200], expires_at)


def _joined(*texts: str) -> bytes:
    parts = (text.encode() for text in texts)
    return b"".join(len(part).to_bytes(4, "little") + part for part in parts)


def _verifies(key: ec.EllipticCurvePublicKey, signature: Any, signed: bytes) -> bool:
    try:
        key.verify(base64.b64decode(_text(signature)), signed, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def _public_key(text: Any) -> ec.EllipticCurvePublicKey:
    key = serialization.load_der_public_key(base64.b64decode(_text(text)))
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError("not an elliptic-curve key")  # noqa: TRY004  # a malformed message
    return key


def _moment(milliseconds: Any) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("not a string")  # noqa: TRY004  # a malformed message
    return value
