"""Signed save and delete callbacks (ECv2SigningOnly), with the simulator's own chain of keys."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import struct
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal
from urllib.parse import urlsplit
from urllib.robotparser import RobotFileParser

import httpx
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PROTOCOL = "ECv2SigningOnly"
EventType = Literal["save", "del"]

_DAY_MS = 24 * 3600 * 1000
_MESSAGE_LIFE_MS = 3600 * 1000
_KEY_AGENT = "Googlebot"
_MAX_RECORDED = 10_000
_MAX_IN_FLIGHT = 16
_ATTEMPTS = 4
_RETRY_DELAY_S = 0.25
_TIMEOUT_S = 10.0


@dataclass
class CallbackSwitches:
    """How callbacks misbehave. `copies` counts the first one; `loss` is a probability."""

    copies: int = 1
    loss: float = 0.0
    delay_s: float = 0.0
    sender_id: str = "GooglePayPasses"
    #: Used for classes without callbackOptions.url; empty: such classes get no callbacks.
    default_url: str = ""


@dataclass(frozen=True, slots=True)
class SentCallback:
    """One delivery attempt series: `status` 0 means lost, refused or never answered."""

    event_type: str
    object_id: str
    nonce: str
    url: str
    status: int
    attempts: int
    detail: str = ""


class CallbackKeys:
    """Root and intermediate signing keys. `now` gives seconds since the epoch."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._root = ec.generate_private_key(ec.SECP256R1())
        self._decoy = ec.generate_private_key(ec.SECP256R1())
        self._intermediate = ec.generate_private_key(ec.SECP256R1())

    def root_keys(self) -> dict[str, Any]:
        """The published file: beside the good key, one of another protocol and an expired one."""
        now_ms = int(self._now() * 1000)
        return {
            "keys": [
                _key(self._decoy, "ECv1", now_ms + 365 * _DAY_MS),
                _key(self._decoy, PROTOCOL, now_ms - _DAY_MS),
                _key(self._root, PROTOCOL, now_ms + 365 * _DAY_MS),
            ]
        }

    def envelope(
        self, *, sender_id: str, issuer_id: str, class_id: str, object_id: str,
        event_type: EventType, nonce: str,
    ) -> dict[str, Any]:  # fmt: skip
        """The body of one callback."""
        now_ms = int(self._now() * 1000)
        message = {
            "classId": class_id,
            "objectId": object_id,
            "eventType": event_type,
            "expTimeMillis": now_ms + _MESSAGE_LIFE_MS,
            "count": 1,
            "nonce": nonce,
        }
        signed_message = json.dumps(message, separators=(",", ":"))
        key = {"keyValue": _public(self._intermediate), "keyExpiration": str(now_ms + 7 * _DAY_MS)}
        # The real one escapes "=" inside this string, and the escape is part of what is signed.
        signed_key = json.dumps(key, separators=(",", ":")).replace("=", "\\u003d")
        return {
            "signature": _sign(self._intermediate, sender_id, issuer_id, PROTOCOL, signed_message),
            "intermediateSigningKey": {
                "signedKey": signed_key,
                "signatures": [_sign(self._root, sender_id, PROTOCOL, signed_key)],
            },
            "protocolVersion": PROTOCOL,
            "signedMessage": signed_message,
        }


class CallbackSender:
    """Posts callbacks in the background, as the platform does: best effort, with a few retries."""

    def __init__(
        self, keys: CallbackKeys, switches: CallbackSwitches, client: httpx.AsyncClient, seed: int
    ) -> None:
        self._keys = keys
        self._switches = switches
        self._client = client
        self._random = random.Random(seed)
        self._slots = asyncio.Semaphore(_MAX_IN_FLIGHT)
        self._tasks: set[asyncio.Task[None]] = set()
        self.sent: deque[SentCallback] = deque(maxlen=_MAX_RECORDED)

    def summary(self) -> list[dict[str, Any]]:
        return [asdict(one) for one in self.sent]

    @property
    def pending(self) -> int:
        return len(self._tasks)

    def announce(self, class_body: dict[str, Any], object_id: str, event_type: EventType) -> None:
        """Tell the class's callback address that a user saved or deleted an object."""
        options = class_body.get("callbackOptions") or {}
        url = options.get("url") or self._switches.default_url
        if not url:
            return
        nonce = str(uuid.uuid4())
        envelope = self._keys.envelope(
            sender_id=self._switches.sender_id,
            issuer_id=object_id.partition(".")[0],
            class_id=class_body["id"],
            object_id=object_id,
            event_type=event_type,
            nonce=nonce,
        )
        body = json.dumps(envelope).encode()
        for _ in range(self._switches.copies):
            if self._random.random() < self._switches.loss:
                self.sent.append(SentCallback(event_type, object_id, nonce, url, 0, 0, "lost"))
                continue
            task = asyncio.create_task(self._deliver(url, body, event_type, object_id, nonce))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def settle(self) -> None:
        """Wait until nothing is on its way."""
        while self._tasks:
            await asyncio.gather(*list(self._tasks), return_exceptions=True)

    async def _deliver(
        self, url: str, body: bytes, event_type: str, object_id: str, nonce: str
    ) -> None:
        await asyncio.sleep(self._switches.delay_s)
        async with self._slots:
            status, attempts, detail = await self._try(url, body)
        self.sent.append(SentCallback(event_type, object_id, nonce, url, status, attempts, detail))

    async def _try(self, url: str, body: bytes) -> tuple[int, int, str]:
        status, detail = 0, ""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                if not await self._robots_allow(url):
                    return 0, attempt, "robots.txt forbids Googlebot"
                answer = await self._client.post(
                    url,
                    content=body,
                    headers={"content-type": "application/json", "user-agent": _KEY_AGENT},
                    timeout=_TIMEOUT_S,
                )
                status, detail = answer.status_code, ""
                if answer.is_success:
                    return status, attempt, ""
            except httpx.HTTPError as failed:
                status, detail = 0, type(failed).__name__
            await asyncio.sleep(_RETRY_DELAY_S * attempt)
        return status, _ATTEMPTS, detail

    async def _robots_allow(self, url: str) -> bool:
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        answer = await self._client.get(f"{origin}/robots.txt", timeout=_TIMEOUT_S)
        if not answer.is_success:
            return True  # no file: everything is allowed
        parser = RobotFileParser()
        parser.parse(answer.text.splitlines())
        return parser.can_fetch(_KEY_AGENT, url)


def length_value(text: str) -> bytes:
    """Four little-endian bytes of the UTF-8 length, then the bytes."""
    encoded = text.encode()
    return struct.pack("<I", len(encoded)) + encoded


def _sign(key: ec.EllipticCurvePrivateKey, *parts: str) -> str:
    signed = b"".join(length_value(part) for part in parts)
    return base64.b64encode(key.sign(signed, ec.ECDSA(hashes.SHA256()))).decode()


def _public(key: ec.EllipticCurvePrivateKey) -> str:
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


def _key(key: ec.EllipticCurvePrivateKey, protocol: str, expires_ms: int) -> dict[str, str]:
    return {
        "keyValue": _public(key),
        "protocolVersion": protocol,
        "keyExpiration": str(expires_ms),
    }
