"""How upstream systems sign what they say on `pass.inbound`.

In the manner of Standard Webhooks: `pf-signature: v1,<base64 of HMAC-SHA256>`, several of them
with spaces between. What is signed is the record's key, `ce_type`, `ce_id` and `ce_time`, each with
a line feed behind it, and then the record's value, all as the bytes that are sent.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

HEADER = "pf-signature"
SCHEME = "v1,"
SECRET_PREFIX = "whsec_"  # noqa: S105  # marks a secret and is none
SECRET_BYTES = 32
MAX_LIVE_SECRETS = 2
#: One for each live secret of a rotation, and some to spare.
MAX_SIGNATURES = 5
MAX_HEADER_BYTES = 1_000

_SIGNED_HEADERS = ("ce_type", "ce_id", "ce_time")


@dataclass(frozen=True, slots=True)
class RecordProof:
    """A record as it came: what a signature is checked against."""

    key: bytes
    headers: Sequence[tuple[str, bytes]]
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundKeys:
    """What a workspace asks of its upstream systems. Never logged."""

    is_required: bool = False
    keys: tuple[bytes, ...] = ()


def new_secret() -> str:
    """As it is shown, once."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def key_of(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(SECRET_PREFIX))


def signature_fault(proof: RecordProof | None, keys: Iterable[bytes]) -> str | None:
    """Why the record is not signed with one of `keys`; None when it is."""
    if proof is None:
        return "the record has no signature"
    found: dict[str, bytes] = {}
    for name, raw in proof.headers:
        lowered = name.lower()
        if lowered != HEADER and lowered not in _SIGNED_HEADERS:
            continue
        if lowered in found:
            # Readers differ in which of two they take.
            return f"the header {lowered} is there twice"
        found[lowered] = raw
    missing = [name for name in (HEADER, *_SIGNED_HEADERS) if not found.get(name)]
    if missing:
        return f"the header {missing[0]} is missing; a signed event is sent in binary mode"
    parts = [proof.key, *(found[name] for name in _SIGNED_HEADERS)]
    if any(b"\n" in part for part in parts):
        return "a signed part holds a line feed"
    content = b"".join(part + b"\n" for part in parts) + proof.value
    presented = _presented(found[HEADER])
    # Every pair is compared, so that time tells nothing of which one fitted.
    fits = [
        hmac.compare_digest(hmac.new(key, content, hashlib.sha256).digest(), each)
        for key in keys
        for each in presented
    ]
    return None if any(fits) else "the signature is not of a live secret of the workspace"


def _presented(header: bytes) -> list[bytes]:
    if len(header) > MAX_HEADER_BYTES:
        return []
    found = []
    for each in header.decode("ascii", "replace").split(" ")[:MAX_SIGNATURES]:
        if each.startswith(SCHEME):
            try:
                found.append(base64.b64decode(each.removeprefix(SCHEME), validate=True))
            except (binascii.Error, ValueError):
                continue
    return found
