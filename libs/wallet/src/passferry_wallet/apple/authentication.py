"""The per-pass secret that devices present, and identifiers that cannot be guessed."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

_APPLE_PASS = re.compile(r"ApplePass ([\x21-\x7e]{16,256})")
_TOKEN_BYTES = 32
_SERIAL_BYTES = 18


def parse_apple_pass_header(value: str | None) -> str | None:
    """The token of `Authorization: ApplePass <token>`; None for anything else.

    One space, no other scheme, no parameters: devices send exactly this.
    """
    if value is None:
        return None
    found = _APPLE_PASS.fullmatch(value)
    return found[1] if found else None


def token_sha256(token: str) -> bytes:
    """What is stored for lookup and comparison: 32 bytes."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def token_matches(presented: str, stored_sha256: bytes) -> bool:
    """Compare in constant time; the work is the same for a wrong token."""
    return hmac.compare_digest(token_sha256(presented), stored_sha256)


def new_authentication_token() -> str:
    """256 random bits, 43 characters, URL-safe."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def new_serial_number() -> str:
    """144 random bits, 24 characters, URL-safe."""
    return secrets.token_urlsafe(_SERIAL_BYTES)
