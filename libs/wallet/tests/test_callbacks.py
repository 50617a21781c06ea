"""Google's callbacks: only what is signed for this issuer, now, is believed."""

from __future__ import annotations

import base64
import json
import struct
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from passferry_wallet.google.callbacks import (
    MAX_ENVELOPE_BYTES,
    CallbackRejected,
    RootKeysUnreadable,
    parse_root_keys,
    verify_callback,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ISSUER = "3388000000012345678"
OTHER = "3388000000099999999"
SENDER = "GooglePayPasses"
ECV2 = "ECv2SigningOnly"


def milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def public(key) -> str:
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(key.public_key().public_bytes(*form)).decode()


def sign(key, *parts: str) -> str:
    signed = b"".join(struct.pack("<I", len(p.encode())) + p.encode() for p in parts)
    return base64.b64encode(key.sign(signed, ec.ECDSA(hashes.SHA256()))).decode()


class Google:
    """Signs as the platform does; every part of a callback can be changed beforehand."""

    def __init__(self) -> None:
        self.root, self.intermediate, self.stranger = (
            ec.generate_private_key(ec.SECP256R1()) for _ in range(3)
        )

    def published(self, expires_at=NOW + timedelta(days=1), protocol=ECV2) -> bytes:
        def listed(key, name, end):
            return {"keyValue": public(key), "protocolVersion": name, "keyExpiration": str(end)}

        ends = milliseconds(expires_at)
        keys = [
            listed(self.stranger, "ECv1", ends),
            listed(self.stranger, ECV2, ends),
            listed(self.root, protocol, ends),
        ]
        return json.dumps({"keys": keys}).encode()

    def callback(
        self, *, issuer=ISSUER, key_ends=NOW + timedelta(days=1), escape=True, sender=SENDER,
        signer=None, **message,
    ) -> bytes:  # fmt: skip
        """`message` replaces parts of what is told."""
        told = {
            "classId": f"{ISSUER}.template",
            "objectId": f"{ISSUER}.pass",
            "eventType": "save",
            "expTimeMillis": milliseconds(NOW + timedelta(hours=1)),
            "count": 1,
            "nonce": "c0ffee00-1111-2222-3333-444455556666",
        } | message
        signed_message = json.dumps(told, ensure_ascii=False)
        key = {"keyValue": public(self.intermediate), "keyExpiration": str(milliseconds(key_ends))}
        signed_key = json.dumps(key)
        if escape:
            signed_key = signed_key.replace("=", "\\u003d")
        envelope = {
            "protocolVersion": ECV2,
            "signature": sign(signer or self.intermediate, sender, issuer, ECV2, signed_message),
            "intermediateSigningKey": {
                "signedKey": signed_key,
                "signatures": [
                    sign(self.stranger, "another", ECV2, signed_key),
                    sign(self.root, sender, ECV2, signed_key),
                ],
            },
            "signedMessage": signed_message,
        }
        return json.dumps(envelope, ensure_ascii=False).encode()


@pytest.fixture(scope="module")
def google():
    return Google()


@pytest.fixture(scope="module")
def check(google):
    def verify(body, *, issuer=ISSUER, now=NOW, keys=None, **more):
        roots = parse_root_keys(google.published()) if keys is None else keys
        return verify_callback(body, issuer_id=issuer, root_keys=roots, now=now, **more)

    return verify


def refused(check, body, **how):
    with pytest.raises(CallbackRejected) as refusal:
        check(body, **how)
    return refusal.value.code


def changed(body: bytes, **parts) -> bytes:
    return json.dumps(json.loads(body) | parts).encode()


@pytest.mark.parametrize("event", ["save", "del"])
def test_a_signed_callback_is_believed(google, check, event):
    callback = check(google.callback(eventType=event))
    assert callback.event_type == event
    assert callback.class_id == f"{ISSUER}.template"
    assert callback.object_id == f"{ISSUER}.pass"
    assert callback.nonce == "c0ffee00-1111-2222-3333-444455556666"
    assert callback.expires_at == NOW + timedelta(hours=1)


def test_escaped_and_plain_signing_keys_both_verify_as_they_came(google, check):
    escaped, plain = google.callback(escape=True), google.callback(escape=False)
    assert b"u003d" in escaped
    assert b"u003d" not in plain
    check(escaped)
    check(plain)


def test_a_signing_key_that_was_written_anew_no_longer_fits(google, check):
    envelope = json.loads(google.callback(escape=True))
    part = envelope["intermediateSigningKey"]
    part["signedKey"] = part["signedKey"].replace("\\u003d", "=")
    assert refused(check, json.dumps(envelope).encode()) == "root_signature_invalid"


def test_lengths_are_counted_in_bytes(google, check):
    callback = check(google.callback(objectId=f"{ISSUER}.Grüße-山田", note="ü" * 50))
    assert callback.object_id.endswith("山田")


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"issuer": OTHER}, "message_signature_invalid"),
        ({"sender": "GoogleWalletPasses"}, "root_signature_invalid"),
        ({"key_ends": NOW}, "intermediate_key_expired"),
        ({"expTimeMillis": milliseconds(NOW)}, "message_expired"),
        ({"expTimeMillis": None}, "message_malformed"),
        ({"expTimeMillis": True}, "message_malformed"),
        ({"expTimeMillis": -1}, "message_malformed"),
        ({"eventType": "update"}, "message_malformed"),
        ({"eventType": ["save"]}, "message_malformed"),
        ({"nonce": ""}, "message_malformed"),
        ({"nonce": 7}, "message_malformed"),
        ({"classId": None}, "message_malformed"),
        ({"objectId": f"{ISSUER}." + "x" * 300}, "message_malformed"),
        ({"classId": f"{OTHER}.template"}, "issuer_mismatch"),
        ({"objectId": f"{OTHER}.pass"}, "issuer_mismatch"),
        ({"objectId": ISSUER[:-1]}, "issuer_mismatch"),
    ],
)
def test_a_callback_with_one_wrong_part_is_refused(google, check, message, code):
    assert refused(check, google.callback(**message)) == code


def test_a_callback_of_one_tenant_proves_nothing_at_the_address_of_another(google, check):
    assert refused(check, google.callback(), issuer=OTHER) == "message_signature_invalid"


def test_a_message_signed_by_a_stranger_is_refused(google, check):
    body = google.callback(signer=google.stranger)
    assert refused(check, body) == "message_signature_invalid"


def test_a_message_that_was_changed_is_refused(google, check):
    body = google.callback()
    message = json.loads(body)["signedMessage"].replace("save", "del")
    assert refused(check, changed(body, signedMessage=message)) == "message_signature_invalid"


def test_root_keys_that_ended_or_are_of_another_protocol_prove_nothing(google, check):
    body = google.callback()
    ended = parse_root_keys(google.published(expires_at=NOW))
    other = parse_root_keys(google.published(protocol="ECv2"))
    for keys in (ended, other, []):
        assert refused(check, body, keys=keys) == "root_signature_invalid"


def test_the_sender_is_configurable(google, check):
    body = google.callback(sender="GoogleWalletPasses")
    assert check(body, sender_id="GoogleWalletPasses").event_type == "save"


@pytest.mark.parametrize(
    "parts",
    [
        {"extra": 1},
        {"signature": None},
        {"signedMessage": {"eventType": "save"}},
        {"intermediateSigningKey": "x"},
        {"intermediateSigningKey": {"signedKey": "{}", "signatures": "x"}},
    ],
)
def test_an_envelope_of_another_shape_is_refused(google, check, parts):
    assert refused(check, changed(google.callback(), **parts)) == "envelope_malformed"


def test_an_envelope_without_one_of_its_parts_is_refused(google, check):
    envelope = json.loads(google.callback())
    for missing in envelope:
        rest = {key: value for key, value in envelope.items() if key != missing}
        assert refused(check, json.dumps(rest).encode()) == "envelope_malformed"


@pytest.mark.parametrize("signature", ["", "AAAA", "not base64!", "ü", 5, None])
def test_a_signature_of_any_other_shape_is_refused(google, check, signature):
    code = refused(check, changed(google.callback(), signature=signature))
    assert code in {"message_signature_invalid", "envelope_malformed"}


def test_other_bodies_are_refused(google, check):
    for body in (b"", b"[]", b"nonsense", b"\xff", b'"x"'):
        assert refused(check, body) == "envelope_malformed"
    assert refused(check, b" " * (MAX_ENVELOPE_BYTES + 1)) == "envelope_too_large"
    assert (
        refused(check, changed(google.callback(), protocolVersion="ECv1")) == "protocol_unsupported"
    )
    assert refused(check, google.callback(), issuer="") == "issuer_id_invalid"


@pytest.mark.parametrize(
    "document",
    [b"", b"{}", b"[]", b'{"keys":[]}', b'{"keys":[1]}', b'{"keys":[{"protocolVersion":"ECv1"}]}',
     b'{"keys":[{"protocolVersion":"ECv2SigningOnly","keyExpiration":"1","keyValue":"AAAA"}]}',
     b" " * 70_000],
)  # fmt: skip
def test_a_file_without_usable_root_keys_is_refused(document):
    with pytest.raises(RootKeysUnreadable):
        parse_root_keys(document)
