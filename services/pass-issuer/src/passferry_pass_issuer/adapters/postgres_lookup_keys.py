"""The key of each workspace under which it finds people again without keeping their names."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import OrderedDict
from typing import Protocol
from uuid import UUID

from passferry_pass_issuer.application.ports import Cipher, Transaction
from passferry_pass_issuer.domain import secret_contexts

CACHED_LOOKUP_KEYS = 1_000
#: One that was lost is replaced: a process that still knows it does not go on with it for long.
KEPT_S = 60.0

LOOKUP_KEY = "SELECT lookup_key_ciphertext FROM workspace WHERE workspace_id = $1"


class LookupKeys(Protocol):
    async def digest(self, transaction: Transaction, workspace_id: UUID, text: bytes) -> bytes:
        """Of this workspace alone: the same text is another digest in another one."""


class PostgresLookupKeys:
    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher
        #: With when each was read, the oldest first.
        self._keys: OrderedDict[UUID, tuple[bytes, float]] = OrderedDict()

    async def digest(self, transaction: Transaction, workspace_id: UUID, text: bytes) -> bytes:
        return hmac.digest(await self._key(transaction, workspace_id), text, hashlib.sha256)

    async def _key(self, transaction: Transaction, workspace_id: UUID) -> bytes:
        key, read_at = self._keys.get(workspace_id, (b"", 0.0))
        now = time.monotonic()
        if not key or now - read_at > KEPT_S:
            self._keys.pop(workspace_id, None)
            sealed = await transaction.fetchval(LOOKUP_KEY, workspace_id)
            if sealed is None:
                raise LookupError("the workspace is not among those of the transaction")
            key = self._cipher.decrypt(sealed, context=secret_contexts.lookup_key(workspace_id))
            self._keys[workspace_id] = key, now
            if len(self._keys) > CACHED_LOOKUP_KEYS:
                self._keys.popitem(last=False)
        return key


class GivenLookupKey:
    """One that is not stored yet."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    async def digest(self, transaction: Transaction, workspace_id: UUID, text: bytes) -> bytes:
        return hmac.digest(self._key, text, hashlib.sha256)
