"""Envelope encryption and key rings. Proves J72 for the part that the runtime has."""

from __future__ import annotations

import base64
import json

import pytest

from passferry_runtime.crypto import DecryptionFailed, KeyRing, KeyRingInvalid, key_id_of

CONTEXT = "workspace-1:passes.authentication_token:pass-1"


def ring_of(active: str, *names: str, seed: int = 1) -> KeyRing:
    return KeyRing({name: bytes([seed + place] * 32) for place, name in enumerate(names)}, active)


def test_what_was_encrypted_opens_again_and_looks_different_each_time():
    ring = KeyRing.from_json(KeyRing.generate())
    first = ring.encrypt(b"secret value", context=CONTEXT)
    second = ring.encrypt(b"secret value", context=CONTEXT)
    assert first != second
    assert b"secret value" not in first
    assert ring.decrypt(first, context=CONTEXT) == b"secret value"


def test_a_ciphertext_moved_to_another_row_does_not_open():
    ring = ring_of("k1", "k1")
    sealed = ring.encrypt(b"secret", context=CONTEXT)
    with pytest.raises(DecryptionFailed):
        ring.decrypt(sealed, context=CONTEXT.replace("pass-1", "pass-2"))


def test_no_changed_or_cut_byte_goes_unnoticed():
    ring = ring_of("k1", "k1")
    sealed = ring.encrypt(b"secret", context=CONTEXT)
    for place in range(len(sealed)):
        changed = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        with pytest.raises(DecryptionFailed):
            ring.decrypt(changed, context=CONTEXT)
        with pytest.raises(DecryptionFailed):
            ring.decrypt(sealed[:place], context=CONTEXT)


def test_after_a_rotation_old_ciphertexts_open_and_new_ones_use_the_new_key():
    before = ring_of("k1", "k1")
    old = before.encrypt(b"secret", context=CONTEXT)
    during = ring_of("k2", "k1", "k2")
    assert during.decrypt(old, context=CONTEXT) == b"secret"
    new = during.encrypt(b"secret", context=CONTEXT)
    with pytest.raises(DecryptionFailed):
        before.decrypt(new, context=CONTEXT)


def test_a_rewrapped_secret_opens_without_the_old_key():
    old = ring_of("k1", "k1").encrypt(b"secret", context=CONTEXT)
    rewrapped = ring_of("k2", "k1", "k2").rewrap(old, context=CONTEXT)
    only_new = KeyRing({"k2": bytes([2] * 32)}, "k2")
    assert only_new.decrypt(rewrapped, context=CONTEXT) == b"secret"
    with pytest.raises(DecryptionFailed):
        only_new.decrypt(old, context=CONTEXT)


def test_a_ring_never_shows_its_keys():
    ring = ring_of("k1", "k1")
    assert base64.b64encode(bytes([1] * 32)).decode() not in repr(vars(ring)) + repr(ring)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"active": "k1"}',
        '{"active": "k1", "keys": {}}',
        '{"active": "k1", "keys": {"k1": "AAAA"}}',
        '{"active": "k1", "keys": {"k1": "not base64!"}}',
        '{"active": ["k1"], "keys": {"k1": "AAAA"}}',
    ],
)
def test_a_ring_that_cannot_be_used_says_so(text):
    with pytest.raises(KeyRingInvalid):
        KeyRing.from_json(text)


def write(path, text: str, mode: int):
    path.write_text(text)
    path.chmod(mode)
    return path


def test_in_production_a_ring_open_to_others_is_refused(tmp_path):
    path = write(tmp_path / "ring.json", KeyRing.generate(), 0o644)
    KeyRing.from_file(path)
    with pytest.raises(KeyRingInvalid, match="chmod 600"):
        KeyRing.from_file(path, environment="production")
    path.chmod(0o400)
    KeyRing.from_file(path, environment="production")


def test_a_ring_that_others_may_write_is_refused_in_production_even_unreadable(tmp_path):
    path = write(tmp_path / "ring.json", KeyRing.generate(), 0o602)
    with pytest.raises(KeyRingInvalid):
        KeyRing.from_file(path, environment="production")


def test_in_production_keys_of_the_demo_are_refused(tmp_path):
    path = write(tmp_path / "ring.json", KeyRing.generate("demo-1"), 0o600)
    KeyRing.from_file(path)
    with pytest.raises(KeyRingInvalid, match="demo"):
        KeyRing.from_file(path, environment="production")


def test_a_missing_ring_names_the_command_that_makes_one(tmp_path):
    with pytest.raises(KeyRingInvalid, match="bootstrap"):
        KeyRing.from_file(tmp_path / "none.json")


def test_a_generated_ring_has_a_fresh_key_of_256_bits():
    rings = [json.loads(KeyRing.generate()) for _ in range(2)]
    assert all(len(base64.b64decode(ring["keys"]["k1"])) == 32 for ring in rings)
    assert rings[0] != rings[1]


def test_a_ciphertext_says_which_key_of_the_ring_it_needs():
    sealed = ring_of("k-ü", "k1", "k-ü").encrypt(b"secret", context=CONTEXT)
    assert key_id_of(sealed) == "k-ü"


@pytest.mark.parametrize(
    "given", [b"", b"\x00", b"\x01", b"\x01\x00", b"\x01\x04go", b"\x01\x02\xff\xfe", b"\x02\x01k"]
)
def test_what_is_no_ciphertext_needs_no_key(given):
    assert key_id_of(given) is None
