"""The link behind "Add to Google Wallet": a signed token that carries the whole object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from passferry_wallet.google.content import Vertical
from passferry_wallet.google.objects import payload_key, told
from passferry_wallet.google.service_account import (
    ServiceAccount,
    ServiceAccountRejected,
    completed_jwt,
    load_service_account,
    token_assertion,
    unsigned_jwt,
)

__all__ = [
    "SaveLink",
    "ServiceAccount",
    "ServiceAccountRejected",
    "UnsignedSaveLink",
    "build_save_link",
    "load_service_account",
    "token_assertion",
]

SAVE_BASE_URL = "https://pay.google.com/gp/v/save/"
#: Browsers cut longer addresses.
MAX_JWT_CHARACTERS = 1800


@dataclass(frozen=True, slots=True)
class SaveLink:
    """`is_skinny`: it names the object only, which must have been inserted before it is shown."""

    url: str
    is_skinny: bool


@dataclass(frozen=True, slots=True)
class UnsignedSaveLink:
    """`to_be_signed` with the account's key: PKCS#1 v1.5 with SHA-256, wherever that key is."""

    to_be_signed: bytes
    is_skinny: bool
    base_url: str

    def completed(self, signature: bytes) -> SaveLink:
        token = completed_jwt(self.to_be_signed, signature)
        return SaveLink(f"{self.base_url.rstrip('/')}/{token}", is_skinny=self.is_skinny)


def build_save_link(
    account: ServiceAccount,
    *,
    origins: Sequence[str],
    vertical: Vertical,
    object_body: Mapping[str, Any],
    class_id: str,
    now: datetime,
    base_url: str = SAVE_BASE_URL,
) -> UnsignedSaveLink:
    """A link to `object_body` (with `id` and `classId`), whole where the token stays short.

    Members that are told as null are left out: the object begins with this link.

    `origins` are the domains that may show it; `now` is aware. The token has no expiry of its own.
    """
    whole = _unsigned(account, origins, vertical, object_body, now)
    if len(completed_jwt(whole, bytes(account.signature_size))) <= MAX_JWT_CHARACTERS:
        return UnsignedSaveLink(whole, is_skinny=False, base_url=base_url)
    names = {"id": object_body["id"], "classId": class_id}
    named = _unsigned(account, origins, vertical, names, now)
    return UnsignedSaveLink(named, is_skinny=True, base_url=base_url)


def _unsigned(
    account: ServiceAccount,
    origins: Sequence[str],
    vertical: Vertical,
    body: Mapping[str, Any],
    now: datetime,
) -> bytes:
    claims = {
        "iss": account.client_email,
        "aud": "google",
        "typ": "savetowallet",
        "iat": int(now.timestamp()),
        "origins": list(origins),
        "payload": {payload_key(vertical, "Object"): [told(dict(body))]},
    }
    return unsigned_jwt(account, claims)
