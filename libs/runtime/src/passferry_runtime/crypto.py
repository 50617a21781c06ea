"""Envelope encryption: every secret under a key of its own, which is wrapped by a key of the ring.

Layout of a ciphertext: version (1 byte), length of the ring key's id (1), the id, nonce and wrapped
data key (12 + 48), nonce (12), ciphertext with its tag. AES-256-GCM throughout; `context` is
authenticated with both, so that a ciphertext moved to another row does not open.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from passferry_runtime.logging import get_logger

VERSION = 1
KEY_BYTES = 32
NONCE_BYTES = 12
WRAPPED_BYTES = KEY_BYTES + 16
MAX_PLAINTEXT_BYTES = 1_000_000


log = get_logger(__name__)


class DecryptionFailed(Exception):
    """Not a ciphertext of this ring and context, or it was changed.

    `context` says which secret it is, and nothing of it.
    """

    def __init__(self, context: str) -> None:
        super().__init__("a ciphertext does not open with this key ring")
        self.context = context


class KeyRingInvalid(Exception):
    """The key ring file cannot be used; the message says why and what to do."""


def key_id_of(ciphertext: bytes) -> str | None:
    """Of the ring's key under which it is; None when it is no ciphertext of any ring."""
    length = ciphertext[1] if len(ciphertext) > 1 and ciphertext[0] == VERSION else 0
    name = ciphertext[2 : 2 + length]
    if not length or len(name) < length:
        return None
    try:
        return name.decode()
    except UnicodeDecodeError:
        return None


class KeyRing:
    """Encrypts under the active key; opens with any key of the ring."""

    def __init__(self, keys: Mapping[str, bytes], active: str) -> None:
        if active not in keys:
            raise KeyRingInvalid(f"the active key {active!r} is not in the ring")
        for name, key in keys.items():
            if len(key) != KEY_BYTES or not 1 <= len(name.encode()) <= 64:
                raise KeyRingInvalid(f"key {name!r} needs {KEY_BYTES} bytes and a short id")
        #: ids of the keys, for those who check where a ring came from
        self.key_ids = tuple(keys)
        self._ciphers = {name: AESGCM(key) for name, key in keys.items()}
        self._active = active

    @classmethod
    def from_json(cls, text: str) -> KeyRing:
        try:
            body = json.loads(text)
            keys = {
                name: base64.b64decode(key, validate=True) for name, key in body["keys"].items()
            }
            return cls(keys, body["active"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise KeyRingInvalid(
                'a key ring is JSON such as {"active": "k1", "keys": {"k1": "<32 bytes, base64>"}}'
            ) from error

    @classmethod
    def from_file(cls, path: Path, *, environment: str = "development") -> KeyRing:
        """Read a ring; in production it must be private (0600) and not of the demo."""
        try:
            text = path.read_text(encoding="utf-8")
            is_private = _is_private(path.stat())
        except OSError as error:
            raise KeyRingInvalid(
                f"cannot read the key ring {path}: {error.strerror}; run the bootstrap command"
            ) from error
        ring = cls.from_json(text)
        if environment == "production":
            if not is_private:
                raise KeyRingInvalid(f"{path} is open to others: chmod 600 it")
            if any(name.startswith("demo") for name in ring.key_ids):
                raise KeyRingInvalid(f"{path} holds keys of the demo: make a ring of your own")
        if not is_private:
            log.warning("key_ring_open_to_others", path=str(path))
        return ring

    @staticmethod
    def generate(key_id: str = "k1") -> str:
        """JSON of a new ring with one random key."""
        key = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
        return json.dumps({"active": key_id, "keys": {key_id: key}}, indent=2)

    def encrypt(self, plaintext: bytes, *, context: str) -> bytes:
        if len(plaintext) > MAX_PLAINTEXT_BYTES:
            raise ValueError(f"more than {MAX_PLAINTEXT_BYTES} bytes")
        name = self._active.encode()
        bound = context.encode()
        data_key = secrets.token_bytes(KEY_BYTES)
        wrap_nonce, nonce = os.urandom(NONCE_BYTES), os.urandom(NONCE_BYTES)
        wrapped = self._ciphers[self._active].encrypt(wrap_nonce, data_key, bound)
        sealed = AESGCM(data_key).encrypt(nonce, plaintext, bound)
        return bytes([VERSION, len(name)]) + name + wrap_nonce + wrapped + nonce + sealed

    def decrypt(self, ciphertext: bytes, *, context: str) -> bytes:
        """Raises `DecryptionFailed`, without saying which part was wrong."""
        data_key, rest = self._unwrap(ciphertext, context)
        try:
            return AESGCM(data_key).decrypt(
                rest[:NONCE_BYTES], rest[NONCE_BYTES:], context.encode()
            )
        except (InvalidTag, ValueError) as error:
            raise DecryptionFailed(context) from error

    @property
    def active_key_id(self) -> str:
        return self._active

    @property
    def active_head(self) -> bytes:
        """What every ciphertext under the active key begins with."""
        name = self._active.encode()
        return bytes([VERSION, len(name)]) + name

    def rewrap(self, ciphertext: bytes, *, context: str) -> bytes:
        """The same secret with its data key under the active key of the ring."""
        data_key, rest = self._unwrap(ciphertext, context)
        name = self._active.encode()
        nonce = os.urandom(NONCE_BYTES)
        wrapped = self._ciphers[self._active].encrypt(nonce, data_key, context.encode())
        return bytes([VERSION, len(name)]) + name + nonce + wrapped + rest

    def _unwrap(self, ciphertext: bytes, context: str) -> tuple[bytes, bytes]:
        try:
            if ciphertext[0] != VERSION:
                raise DecryptionFailed(context)
            start = 2 + ciphertext[1]
            cipher = self._ciphers[ciphertext[2:start].decode()]
            nonce = ciphertext[start : start + NONCE_BYTES]
            end = start + NONCE_BYTES + WRAPPED_BYTES
            data_key = cipher.decrypt(
                nonce, ciphertext[start + NONCE_BYTES : end], context.encode()
            )
        except (InvalidTag, KeyError, IndexError, ValueError) as error:
            raise DecryptionFailed(context) from error
        return data_key, ciphertext[end:]


def _is_private(status: os.stat_result) -> bool:
    """0600 or stricter; or a secret that a cluster mounts: of root, readable by our group."""
    is_mounted = status.st_uid == 0 and os.geteuid() != 0
    return not status.st_mode & (0o037 if is_mounted else 0o077)
