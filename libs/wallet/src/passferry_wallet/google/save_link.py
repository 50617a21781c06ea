"""Tokens signed with a service account: save links, and the assertion for an access token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from google.auth import jwt
from google.auth.crypt import RSASigner

from passferry_wallet.google.objects import payload_names

SAVE_BASE_URL = "https://pay.google.com/gp/v/save/"
#: Browsers cut longer addresses.
MAX_TOKEN_CHARACTERS = 1_800
ASSERTION_LIFE_S = 3_600
DEFAULT_TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105  # an address
_REQUIRED = ("client_email", "private_key", "private_key_id")


class ServiceAccountRejected(Exception):
    """The uploaded JSON is no usable service-account key."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    client_email: str
    private_key_id: str
    signer: RSASigner
    token_uri: str
    project_id: str | None = None


@dataclass(frozen=True, slots=True)
class SaveLink:
    """`is_skinny`: it holds only ids, so the object must exist before anyone follows it."""

    url: str
    is_skinny: bool


def load_service_account(info: Mapping[str, Any]) -> ServiceAccount:
    missing = [name for name in _REQUIRED if not isinstance(info.get(name), str)]
    if missing or info.get("type", "service_account") != "service_account":
        raise ServiceAccountRejected(
            "service_account_incomplete",
            f"give the JSON key of a service account; missing: {', '.join(missing) or 'type'}",
        )
    try:
        signer = RSASigner.from_service_account_info(info)
    except (ValueError, TypeError) as error:
        raise ServiceAccountRejected(
            "private_key_unreadable", "its private_key is not a PEM key"
        ) from error
    return ServiceAccount(
        str(info["client_email"]),
        str(info["private_key_id"]),
        signer,
        str(info.get("token_uri") or DEFAULT_TOKEN_URI),
        info.get("project_id"),
    )


def build_save_link(
    account: ServiceAccount,
    *,
    origins: Sequence[str],
    vertical: str,
    object_body: Mapping[str, Any],
    now: datetime,
    class_body: Mapping[str, Any] | None = None,
    base_url: str = SAVE_BASE_URL,
) -> SaveLink:
    """The whole object in the link, or its ids alone when the token would be too long."""
    class_name, object_name = payload_names(vertical)
    payload: dict[str, Any] = {object_name: [dict(object_body)]}
    if class_body is not None:
        payload[class_name] = [dict(class_body)]
    token = _token(account, origins, payload, now)
    if len(token) <= MAX_TOKEN_CHARACTERS:
        return SaveLink(base_url + token, is_skinny=False)
    ids = {"id": object_body["id"], "classId": object_body["classId"]}
    return SaveLink(base_url + _token(account, origins, {object_name: [ids]}, now), is_skinny=True)


def _token(
    account: ServiceAccount, origins: Sequence[str], payload: Mapping[str, Any], now: datetime
) -> str:
    claims = {
        "iss": account.client_email,
        "aud": "google",
        "typ": "savetowallet",
        "iat": int(now.timestamp()),
        "origins": list(origins),
        "payload": payload,
    }
    return jwt.encode(account.signer, claims).decode("ascii")  # type: ignore[no-any-return, no-untyped-call]  # the library has no types


def token_assertion(account: ServiceAccount, *, scope: str, now: datetime) -> str:
    """What the token endpoint exchanges for an access token."""
    issued_at = int(now.timestamp())
    claims = {
        "iss": account.client_email,
        "scope": scope,
        "aud": account.token_uri,
        "iat": issued_at,
        "exp": issued_at + ASSERTION_LIFE_S,
    }
    return jwt.encode(account.signer, claims).decode("ascii")  # type: ignore[no-any-return, no-untyped-call]  # the library has no types
