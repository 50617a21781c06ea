"""Checks the ES256 tokens by which a team proves itself to APNs."""

import base64
import binascii
import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from passferry_testing.apns_simulator.verdicts import Refusal

TOKEN_LIFE_S = 3600
CLOCK_SKEW_S = 60
UPDATE_INTERVAL_S = 1200
MAX_CACHED_TOKENS = 1000
MAX_TOKEN_BYTES = 4096
_SIGNATURE_BYTES = 64


@dataclass(frozen=True, slots=True)
class ProviderKey:
    """The public half of a .p8 key, as Apple holds it for a team."""

    team_identifier: str
    key_id: str
    public_key: ec.EllipticCurvePublicKey
    topics: frozenset[str]
    environment: str = "production"


@dataclass(frozen=True, slots=True)
class _Claims:
    key: ProviderKey
    issued_at: int


@dataclass(slots=True)
class _Updates:
    """The token in use for one key, and when the last replacement happened."""

    known: "OrderedDict[bytes, None]" = field(default_factory=OrderedDict)
    replaced_at: float | None = None


class ProviderTokens:
    """All registered keys; turns an authorization header into a key or a refusal.

    A token may be replaced by another at most once per `update_interval_s`; the one in use stays
    valid for an hour after it was issued. `clock` gives seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float], update_interval_s: float) -> None:
        self._clock = clock
        self._update_interval_s = update_interval_s
        self._keys: dict[str, ProviderKey] = {}
        self._claims: OrderedDict[bytes, _Claims] = OrderedDict()
        self._updates: dict[str, _Updates] = {}

    def register(
        self,
        team_identifier: str,
        key_id: str,
        public_key_pem: bytes,
        topics: frozenset[str],
        environment: str = "production",
    ) -> None:
        public_key = load_pem_public_key(public_key_pem)
        if not isinstance(public_key, ec.EllipticCurvePublicKey):
            raise TypeError("a provider key is an EC key")
        key = ProviderKey(team_identifier, key_id, public_key, topics, environment)
        self._keys[key_id] = key
        self._claims.clear()

    def check(self, header: bytes) -> ProviderKey | Refusal:
        """Judge one `authorization` header."""
        scheme, _, token = header.partition(b" ")
        if scheme.lower() != b"bearer" or not token:
            return Refusal(403, "MissingProviderToken")
        claims = self._claims.get(token) or self._verified(token)
        if claims is None:
            return Refusal(403, "InvalidProviderToken")
        if claims.key.environment != "production":
            return Refusal(403, "BadEnvironmentKeyIdInToken")
        age_s = self._clock() - claims.issued_at
        if age_s > TOKEN_LIFE_S:
            return Refusal(403, "ExpiredProviderToken")
        if age_s < -CLOCK_SKEW_S:
            return Refusal(403, "InvalidProviderToken")
        if not self._admit_update(claims.key.key_id, token):
            return Refusal(429, "TooManyProviderTokenUpdates")
        return claims.key

    def _admit_update(self, key_id: str, token: bytes) -> bool:
        updates = self._updates.setdefault(key_id, _Updates())
        if token in updates.known:
            return True
        now = self._clock()
        if updates.known:
            last = updates.replaced_at
            if last is not None and now - last < self._update_interval_s:
                return False
            updates.replaced_at = now
        updates.known[token] = None
        if len(updates.known) > MAX_CACHED_TOKENS:
            updates.known.popitem(last=False)
        return True

    def _verified(self, token: bytes) -> _Claims | None:
        claims = self._verify(token)
        if claims is not None:
            self._claims[token] = claims
            if len(self._claims) > MAX_CACHED_TOKENS:
                self._claims.popitem(last=False)
        return claims

    def _verify(self, token: bytes) -> _Claims | None:
        parts = token.split(b".")
        if len(token) > MAX_TOKEN_BYTES or len(parts) != 3:
            return None
        header, payload = _json_object(parts[0]), _json_object(parts[1])
        signature = _base64url(parts[2])
        key = self._keys.get(str(header.get("kid")))
        issued_at = payload.get("iat")
        if key is None or header.get("alg") != "ES256" or not isinstance(issued_at, int):
            return None
        if payload.get("iss") != key.team_identifier or len(signature) != _SIGNATURE_BYTES:
            return None
        half = _SIGNATURE_BYTES // 2
        r, s = int.from_bytes(signature[:half]), int.from_bytes(signature[half:])
        try:
            signed = parts[0] + b"." + parts[1]
            key.public_key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return None
        return _Claims(key, issued_at)


def _base64url(text: bytes) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""


def _json_object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(_base64url(text))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
