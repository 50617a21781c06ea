"""Idempotency keys: how they are read, and the fingerprint of what they stand for."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import orjson

from passferry_runtime.errors import Problem

MAX_KEY_CHARACTERS = 255
_ESCAPED = re.compile(r'\\(["\\])')


def parse_idempotency_key(header: str | None, *, required: bool = True) -> str | None:
    """The key, given as a quoted string (as the IETF draft has it) or bare."""
    if header is None or not header.strip():
        if required:
            raise Problem(
                400,
                "idempotency_key_missing",
                "Idempotency-Key is missing: send one that is unique to this operation",
            )
        return None
    key = header.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = _ESCAPED.sub(r"\1", key[1:-1])
    if not key or len(key) > MAX_KEY_CHARACTERS or not key.isascii() or not key.isprintable():
        raise Problem(
            400,
            "idempotency_key_invalid",
            f"Idempotency-Key must be 1 to {MAX_KEY_CHARACTERS} printable ASCII characters",
        )
    return key


def fingerprint(canonical: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON; fields that are None do not count."""
    present = {name: value for name, value in canonical.items() if value is not None}
    return hashlib.sha256(
        orjson.dumps(present, option=orjson.OPT_SORT_KEYS, default=str)
    ).hexdigest()
