"""A pass's own token, as devices send it."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

_HEADER = re.compile(r"^ApplePass ([A-Za-z0-9._~+/=-]{16,256})$")


def parse_apple_pass_header(value: str | None) -> str | None:
    """The token of `Authorization: ApplePass <token>`; None for anything else."""
    if value is None:
        return None
    matched = _HEADER.match(value)
    return matched[1] if matched else None


def token_matches(presented: str, stored_sha256: bytes) -> bool:
    """Compares digests of equal length in constant time."""
    digest = hashlib.sha256(presented.encode("utf-8", "replace")).digest()
    return hmac.compare_digest(digest, stored_sha256)


def new_authentication_token() -> str:
    """256 random bits: it cannot be guessed, and says nothing of the pass."""
    return secrets.token_urlsafe(32)


def new_serial_number() -> str:
    """128 random bits, URL-safe, stable for the life of the pass."""
    return secrets.token_urlsafe(16)
