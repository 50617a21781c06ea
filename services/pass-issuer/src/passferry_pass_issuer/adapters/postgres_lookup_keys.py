"""The key of each workspace under which it finds people again without keeping their names."""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from uuid import UUID

from passferry_pass_issuer.application.ports import Cipher, Transaction
from passferry_pass_issuer.domain import secret_contexts

CACHED_LOOKUP_KEYS = 1_000

LOOKUP_KEY = "SELECT lookup_key_ciphertext FROM workspace WHERE workspace_id = $1"


class PostgresLookupKeys:
    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher
        self._keys: OrderedDict[UUID, bytes] = OrderedDict()

    async def digest(self, transaction: Transaction, workspace_id: UUID, text: bytes) -> bytes:
        """Of this workspace alone: the same text is another digest in another one."""
        return hmac.digest(await self._key(transaction, workspace_id), text, hashlib.sha256)

    async def _key(self, transaction: Transaction, workspace_id: UUID) -> bytes:
        key = self._keys.get(workspace_id)
        if key is None:
            sealed = await transaction.fetchval(LOOKUP_KEY, workspace_id)
            if sealed is None:
                raise LookupError("the workspace is not among those of the transaction")
            key = self._cipher.decrypt(sealed, context=secret_contexts.lookup_key(workspace_id))
            self._keys[workspace_id] = key
            if len(self._keys) > CACHED_LOOKUP_KEYS:
                self._keys.popitem(last=False)
        return key
