"""Provider tokens (.p8): one per key for 45 minutes, shared between replicas through Redis."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from redis.asyncio import Redis

from passferry_notifier.domain.credentials import AppleCredential
from passferry_runtime.logging import get_logger
from passferry_runtime.redis import REDIS_UNAVAILABLE, workspace_key

log = get_logger(__name__)

LIFE_S = 45 * 60
#: Apple refuses a new token sooner than this after the last one.
MIN_AGE_S = 20 * 60


class ProviderKeyInvalid(Exception):
    """The private key of a provider credential is not a P-256 key."""


@dataclass(slots=True)
class _Slot:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    token: str = ""
    issued_at: int = 0


class ProviderTokens:
    def __init__(self, redis: Redis | None, now: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._now = now
        self._slots: dict[str, _Slot] = {}

    async def token(self, credential: AppleCredential) -> str:
        slot = self._slots.setdefault(credential.key, _Slot())
        if self._now() - slot.issued_at < LIFE_S:
            return slot.token
        async with slot.lock:
            if self._now() - slot.issued_at >= LIFE_S:
                await self._renew(credential, slot)
            return slot.token

    async def replace(self, credential: AppleCredential, refused: str) -> str:
        """Another token than `refused`, if one may be had already; else the same one."""
        slot = self._slots.setdefault(credential.key, _Slot())
        async with slot.lock:
            if slot.token == refused and self._now() - slot.issued_at >= MIN_AGE_S:
                await self._forget_shared(credential)
                await self._renew(credential, slot)
            return slot.token

    async def _renew(self, credential: AppleCredential, slot: _Slot) -> None:
        issued_at = int(self._now())
        made = f"{issued_at} {_sign(credential, issued_at)}"
        shared = await self._share(credential, made)
        issued, _, slot.token = shared.partition(" ")
        slot.issued_at = int(issued)

    async def _share(self, credential: AppleCredential, made: str) -> str:
        """The token that some replica made first, or `made` itself."""
        if self._redis is None:
            return made
        name = _name(credential)
        try:
            if await self._redis.set(name, made, nx=True, ex=LIFE_S):
                return made
            found = await self._redis.get(name)
        except REDIS_UNAVAILABLE as error:
            log.warning("provider_token_not_shared", error=type(error).__name__)
            return made
        if found is None:
            return made
        return found.decode() if isinstance(found, bytes) else str(found)

    async def _forget_shared(self, credential: AppleCredential) -> None:
        if self._redis is None:
            return
        try:
            await self._redis.delete(_name(credential))
        except REDIS_UNAVAILABLE as error:
            log.warning("provider_token_not_forgotten", error=type(error).__name__)


def _name(credential: AppleCredential) -> str:
    # `key` is a digest over the private key too: only who holds it finds the token.
    return workspace_key(credential.workspace_id, "apns", "provider_token", credential.key)


def _sign(credential: AppleCredential, issued_at: int) -> str:
    key = load_pem_private_key(credential.private_key_pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.key_size != 256:
        raise ProviderKeyInvalid(credential.key_id)
    header = {"alg": "ES256", "kid": credential.key_id}
    claims = {"iss": credential.team_identifier, "iat": issued_at}
    signed = b".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
    r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA256())))
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return b".".join((signed, _base64url(signature))).decode()


def _base64url(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")
