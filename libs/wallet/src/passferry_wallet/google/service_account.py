"""Service accounts: the key that signs save links and asks for access tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from google.auth.crypt import RSASigner

from passferry_wallet.google.encoding import base64url

MIN_RSA_BITS = 2048
#: Larger ones only make every link and token slow.
MAX_RSA_BITS = 4096
MAX_MEMBERS = 32
MAX_KEY_CHARACTERS = 16_384
MAX_TEXT_CHARACTERS = 512
ASSERTION_LIFE_S = 3600
WALLET_SCOPE = "https://www.googleapis.com/auth/wallet_object.issuer"

_EMAIL = re.compile(r"[^@\s]{1,200}@[^@\s]{1,200}")
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_URL = re.compile(r"https?://\S{1,500}")


class ServiceAccountRejected(Exception):
    """The JSON is no usable service account; `code` is stable, `detail` is a sentence, `member`
    is the member of the JSON that it is about, if it is one.

    Codes: service_account_invalid, key_unreadable, key_unsupported.
    """

    def __init__(self, code: str, detail: str, *, member: str | None = None) -> None:
        super().__init__(f"{detail} ({code})")
        self.code = code
        self.detail = detail
        self.member = member


class Signer(Protocol):
    """Signs with RS256; safe to share between threads."""

    def sign(self, message: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccount:
    client_email: str
    private_key_id: str
    project_id: str | None
    token_uri: str
    signer: Signer = field(repr=False)
    #: Bytes of its signatures.
    signature_size: int


def load_service_account(info: Mapping[str, Any]) -> ServiceAccount:
    """Read the JSON that Google's console gives. Raises ServiceAccountRejected."""
    if len(info) > MAX_MEMBERS:
        raise ServiceAccountRejected(
            "service_account_invalid", f"the JSON has more than {MAX_MEMBERS} members"
        )
    if info.get("type") != "service_account":
        raise ServiceAccountRejected(
            "service_account_invalid",
            "type is not service_account: download a service account key",
            member="type",
        )
    project = info.get("project_id")
    key_id = _text(info, "private_key_id", _KEY_ID)
    key = _key(info.get("private_key"))
    signer: Signer = RSASigner(key, key_id)  # type: ignore[no-untyped-call]  # untyped in google-auth
    return ServiceAccount(
        client_email=_text(info, "client_email", _EMAIL),
        private_key_id=key_id,
        project_id=project if isinstance(project, str) else None,
        token_uri=_text(info, "token_uri", _URL),
        signer=signer,
        signature_size=(key.key_size + 7) // 8,
    )


def token_assertion(account: ServiceAccount, *, scope: str = WALLET_SCOPE, now: datetime) -> str:
    """The JWT of a bearer grant, valid for an hour from `now` (aware)."""
    issued = int(now.timestamp())
    claims = {
        "iss": account.client_email,
        "scope": scope,
        "aud": account.token_uri,
        "iat": issued,
        "exp": issued + ASSERTION_LIFE_S,
    }
    return signed_jwt(account, claims)


def signed_jwt(account: ServiceAccount, claims: Mapping[str, Any]) -> str:
    unsigned = unsigned_jwt(account, claims)
    return completed_jwt(unsigned, account.signer.sign(unsigned))


def unsigned_jwt(account: ServiceAccount, claims: Mapping[str, Any]) -> bytes:
    """What RS256 signs, without a byte that is not needed: save links must stay short."""
    header = {"alg": "RS256", "kid": account.private_key_id, "typ": "JWT"}
    return b".".join(
        base64url(orjson.dumps(part, option=orjson.OPT_SORT_KEYS)) for part in (header, claims)
    )


def completed_jwt(unsigned: bytes, signature: bytes) -> str:
    return b".".join((unsigned, base64url(signature))).decode("ascii")


def _text(info: Mapping[str, Any], name: str, pattern: re.Pattern[str] | None = None) -> str:
    value = info.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT_CHARACTERS:
        raise ServiceAccountRejected("service_account_invalid", f"{name} is missing", member=name)
    if pattern is not None and not pattern.fullmatch(value):
        raise ServiceAccountRejected("service_account_invalid", f"{name} is malformed", member=name)
    return value


def _key(pem: object) -> rsa.RSAPrivateKey:
    if not isinstance(pem, str) or len(pem) > MAX_KEY_CHARACTERS:
        raise _refused_key("key_unreadable", "private_key is missing or too long")
    # An encrypted key has no place in this JSON, and could ask for any amount of work.
    if "ENCRYPTED" in pem:
        raise _refused_key("key_unreadable", "private_key is encrypted")
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _refused_key("key_unreadable", "private_key is no PEM key") from error
    if not isinstance(key, rsa.RSAPrivateKey) or not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        raise _refused_key(
            "key_unsupported", f"private_key is not RSA of {MIN_RSA_BITS} to {MAX_RSA_BITS} bits"
        )
    return key


def _refused_key(code: str, detail: str) -> ServiceAccountRejected:
    return ServiceAccountRejected(code, detail, member="private_key")
