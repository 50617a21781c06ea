"""Signatures of upstream events: what is signed, and what breaks it."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passferry_pass_issuer.domain.inbound_signature import (
    RecordProof,
    key_of,
    new_secret,
    signature_fault,
)

KEY = bytes(range(32))
HEADERS = {"ce_type": b"pass.voided", "ce_id": b"e-1", "ce_time": b"2026-05-14T12:00:00Z"}


def signed(key=KEY, *, record_key=b"card-1", value=b"{}", **headers):
    """Written out here once more: what a client does, without the code that checks it."""
    sent = HEADERS | headers
    parts = [record_key, sent["ce_type"], sent["ce_id"], sent["ce_time"]]
    content = b"\n".join(parts) + b"\n" + value
    digest = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest())
    return RecordProof(record_key, (*sent.items(), ("pf-signature", b"v1," + digest)), value)


def with_header(proof, name, raw):
    kept = [(each, value) for each, value in proof.headers if each != name]
    return RecordProof(proof.key, (*kept, (name, raw)), proof.value)


def test_a_signed_record_is_of_its_secret_alone():
    assert signature_fault(signed(), [KEY]) is None
    assert signature_fault(signed(), [bytes(32), KEY]) is None
    assert signature_fault(signed(), [bytes(32)]) is not None
    assert signature_fault(signed(), []) is not None
    assert signature_fault(None, [KEY]) is not None


@pytest.mark.parametrize("name", sorted(HEADERS))
def test_no_signed_header_can_be_changed_doubled_or_left_out(name):
    proof = signed()
    assert signature_fault(with_header(proof, name, b"other"), [KEY]) is not None
    doubled = RecordProof(proof.key, (*proof.headers, (name.upper(), b"other")), proof.value)
    assert "twice" in (signature_fault(doubled, [KEY]) or "")
    left_out = RecordProof(
        proof.key, tuple(each for each in proof.headers if each[0] != name), proof.value
    )
    assert name in (signature_fault(left_out, [KEY]) or "")


def test_key_and_value_cannot_be_changed():
    proof = signed()
    assert signature_fault(RecordProof(b"card-2", proof.headers, proof.value), [KEY]) is not None
    assert signature_fault(RecordProof(proof.key, proof.headers, b"{ }"), [KEY]) is not None


def test_nothing_moves_from_one_part_into_the_next():
    # With only line feeds between them, key `a` and type `b` would be signed as key `a\nb`.
    proof = signed(record_key=b"card-1\npass.voided", ce_type=b"x")
    assert "line feed" in (signature_fault(proof, [KEY]) or "")


def test_one_of_several_signatures_is_enough_and_there_are_not_endless_ones():
    proof = signed()
    good = dict(proof.headers)["pf-signature"]
    bad = b"v1," + base64.b64encode(bytes(32))
    assert signature_fault(with_header(proof, "pf-signature", bad + b" " + good), [KEY]) is None
    many = b" ".join([*[bad] * 5, good])
    assert signature_fault(with_header(proof, "pf-signature", many), [KEY]) is not None


@pytest.mark.parametrize("raw", [b"", b"v1,", b"v2,AAAA", b"v1,%%%", b"\xff\xfe", b"v1,A" * 999])
def test_what_is_no_signature_is_refused_and_breaks_nothing(raw):
    assert signature_fault(with_header(signed(), "pf-signature", raw), [KEY]) is not None


@given(st.binary(max_size=200), st.binary(max_size=40).filter(lambda key: b"\n" not in key))
def test_any_value_and_key_can_be_signed(value, record_key):
    assert signature_fault(signed(record_key=record_key, value=value), [KEY]) is None


def test_a_new_secret_is_256_bits_and_never_the_same():
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert {len(key_of(each)) for each in made} == {32}
