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
    load_service_account,
    signed_jwt,
    token_assertion,
)

__all__ = [
    "SaveLink",
    "ServiceAccount",
    "ServiceAccountRejected",
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


def build_save_link(
    account: ServiceAccount,
    *,
    origins: Sequence[str],
    vertical: Vertical,
    object_body: Mapping[str, Any],
    class_id: str,
    now: datetime,
    base_url: str = SAVE_BASE_URL,
) -> SaveLink:
    """Sign a link to `object_body` (with `id` and `classId`), whole where the token stays short.

    Members that are told as null are left out: the object begins with this link.


    `origins` are the domains that may show it; `now` is aware. The token has no expiry of its own.
    """
    whole = _token(account, origins, vertical, object_body, now)
    if len(whole) <= MAX_JWT_CHARACTERS:
        return SaveLink(_address(base_url, whole), is_skinny=False)
    names = {"id": object_body["id"], "classId": class_id}
    return SaveLink(
        _address(base_url, _token(account, origins, vertical, names, now)), is_skinny=True
    )


def _address(base_url: str, token: str) -> str:
    return f"{base_url.rstrip('/')}/{token}"


def _token(
    account: ServiceAccount,
    origins: Sequence[str],
    vertical: Vertical,
    body: Mapping[str, Any],
    now: datetime,
) -> str:
    claims = {
        "iss": account.client_email,
        "aud": "google",
        "typ": "savetowallet",
        "iat": int(now.timestamp()),
        "origins": list(origins),
        "payload": {payload_key(vertical, "Object"): [told(dict(body))]},
    }
    return signed_jwt(account, claims)
