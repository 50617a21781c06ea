"""Service accounts and access tokens: who may speak to the API, and for which issuer."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

SCOPE = "https://www.googleapis.com/auth/wallet_object.issuer"
GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"

_TOKEN_LIFE_S = 3600
_CLOCK_SKEW_S = 300
_MAX_TOKENS = 10_000
_JWT_PARTS = 3


class JwtRejected(Exception):
    """The token is not a JWT that a registered service account signed; the text says why."""


class GrantRefused(Exception):
    """The token endpoint says no: OAuth `error` code and a description."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


@dataclass(frozen=True, slots=True)
class Account:
    """A registered service account and the issuer that it is a user of."""

    client_email: str
    issuer_id: str
    private_key_id: str
    public_key: rsa.RSAPublicKey


@dataclass(frozen=True, slots=True)
class _AccessToken:
    account: Account
    expires_at: float


class Accounts:
    """Registered accounts and the tokens given to them. `now` returns seconds since the epoch."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._by_key_id: dict[str, Account] = {}
        self._tokens: dict[str, _AccessToken] = {}

    def create(self, issuer_id: str, *, token_uri: str) -> dict[str, str]:
        """Register a new account; returns its key file as Google would let one download it."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        key_id = secrets.token_hex(20)
        email = f"passferry-{issuer_id}-{key_id[:6]}@demo-project.iam.gserviceaccount.com"
        self._by_key_id[key_id] = Account(email, issuer_id, key_id, key.public_key())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return {
            "type": "service_account",
            "project_id": "demo-project",
            "private_key_id": key_id,
            "private_key": pem,
            "client_email": email,
            "client_id": str(100_000_000_000_000_000_000 + secrets.randbelow(10**20)),
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": token_uri,
            "universe_domain": "googleapis.com",
        }

    def verify(self, token: str) -> tuple[Account, dict[str, Any]]:
        """Check form, algorithm, key and signature; returns the account and the claims."""
        parts = token.split(".")
        if len(parts) != _JWT_PARTS:
            raise JwtRejected("a JWT has three parts")
        try:
            header, claims = (json.loads(_unbase64(part)) for part in parts[:2])
            signature = _unbase64(parts[2])
        except ValueError as broken:
            raise JwtRejected("the JWT cannot be decoded") from broken
        if not isinstance(header, dict) or not isinstance(claims, dict):
            raise JwtRejected("header and claims must be objects")
        if header.get("alg") != "RS256":
            raise JwtRejected("alg must be RS256")
        account = self._by_key_id.get(str(header.get("kid")))
        if account is None:
            raise JwtRejected("kid is not a registered private_key_id")
        signed = f"{parts[0]}.{parts[1]}".encode()
        try:
            account.public_key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature as wrong:
            raise JwtRejected("the signature does not verify") from wrong
        if claims.get("iss") != account.client_email:
            raise JwtRejected("iss is not the e-mail of the signing account")
        return account, claims

    def grant(self, grant_type: str, assertion: str, *, token_uri: str) -> dict[str, Any]:
        """Exchange a signed assertion for an access token; raises GrantRefused."""
        if grant_type != GRANT_TYPE:
            raise GrantRefused("unsupported_grant_type", f"Invalid grant_type: {grant_type}")
        try:
            account, claims = self.verify(assertion)
        except JwtRejected as rejected:
            raise GrantRefused("invalid_grant", f"Invalid JWT: {rejected}") from rejected
        self._check_claims(claims, token_uri)
        token = "ya29.sim-" + secrets.token_urlsafe(32)
        if len(self._tokens) >= _MAX_TOKENS:
            self._tokens.pop(next(iter(self._tokens)))
        self._tokens[token] = _AccessToken(account, self._now() + _TOKEN_LIFE_S)
        return {"access_token": token, "expires_in": _TOKEN_LIFE_S - 1, "token_type": "Bearer"}

    def account_of(self, authorization: str | None) -> Account | None:
        """The account behind an `Authorization: Bearer` header, None when absent or expired."""
        scheme, _, token = (authorization or "").partition(" ")
        held = self._tokens.get(token) if scheme == "Bearer" else None
        return held.account if held and held.expires_at > self._now() else None

    def revoke_tokens(self) -> None:
        self._tokens.clear()

    def _check_claims(self, claims: dict[str, Any], token_uri: str) -> None:
        now = self._now()
        issued, expires = claims.get("iat"), claims.get("exp")
        if claims.get("aud") != token_uri:
            raise GrantRefused("invalid_grant", "Invalid JWT: aud is not the token endpoint")
        if not isinstance(issued, int) or not isinstance(expires, int):
            raise GrantRefused("invalid_grant", "Invalid JWT: iat and exp are required")
        is_short = issued <= now + _CLOCK_SKEW_S and expires - issued <= _TOKEN_LIFE_S
        if not is_short or expires <= now:
            raise GrantRefused(
                "invalid_grant",
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable "
                "timeframe. Check your iat and exp values in the JWT claim.",
            )
        if SCOPE not in str(claims.get("scope", "")).split():
            raise GrantRefused("invalid_scope", "Invalid OAuth scope or ID token audience.")


def _unbase64(part: str) -> bytes:
    if "=" in part:
        raise ValueError("JWT parts carry no padding")
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
