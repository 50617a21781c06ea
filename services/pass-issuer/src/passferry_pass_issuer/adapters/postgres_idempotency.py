"""Answers of mutating calls, kept a day under their Idempotency-Key."""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from passferry_pass_issuer.application.life_ports import ANSWERS_KEPT
from passferry_pass_issuer.application.ports import Cipher, Transaction
from passferry_pass_issuer.domain import secret_contexts
from passferry_pass_issuer.domain.refusals import ContentRejected

MAX_ANSWER_BYTES = 8_000_000
#: What a key ring seals at once.
MAX_SEALED_BYTES = 1_000_000
#: A longer answer is packed; shorter ones are not worth it.
PACKED_FROM_BYTES = 100_000

# The second of two equal calls waits here until the first has committed its answer.
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended($1, 1))"

SELECT = """
SELECT fingerprint, status, answer_ciphertext FROM idempotency
WHERE workspace_id = $1 AND idempotency_key = $2 AND created_at > $3
"""

INSERT = """
INSERT INTO idempotency (workspace_id, idempotency_key, fingerprint, status, answer_ciphertext,
    created_at, subject_id)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""

FORGET_SUBJECTS = """
DELETE FROM idempotency WHERE workspace_id = $1 AND subject_id = ANY($2::uuid[])
"""

# Its time is over, so that the key may be used again.
FORGET_KEY = """
DELETE FROM idempotency WHERE workspace_id = $1 AND idempotency_key = $2 AND created_at <= $3
"""

FORGET_OLD = """
DELETE FROM idempotency USING (
    SELECT old.workspace_id, old.idempotency_key
    FROM unnest($1::uuid[]) AS named(workspace_id) CROSS JOIN LATERAL (
        SELECT workspace_id, idempotency_key FROM idempotency
        WHERE idempotency.workspace_id = named.workspace_id AND created_at <= $2
        ORDER BY created_at LIMIT $3 FOR UPDATE SKIP LOCKED
    ) AS old
) AS gone
WHERE idempotency.workspace_id = gone.workspace_id
    AND idempotency.idempotency_key = gone.idempotency_key
RETURNING 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RememberedAnswer:
    fingerprint: str
    status: int
    body: dict[str, Any]


class PostgresIdempotency:
    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher

    async def recall(
        self, transaction: Transaction, workspace_id: UUID, key: str, now: datetime
    ) -> RememberedAnswer | None:
        """Waits for an equal call that is under way; the lock is held until the transaction ends."""
        await transaction.execute(LOCK, f"{workspace_id}:{key}")
        row = await transaction.fetchrow(SELECT, workspace_id, key, now - ANSWERS_KEPT)
        if row is None:
            return None
        context = secret_contexts.idempotent_answer(workspace_id, key)
        body = _unpacked(self._cipher.decrypt(row["answer_ciphertext"], context=context))
        return RememberedAnswer(fingerprint=row["fingerprint"], status=row["status"], body=body)

    async def remember(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        key: str,
        now: datetime,
        *,
        fingerprint: str,
        status: int,
        body: dict[str, Any],
        subject_id: UUID | None = None,
    ) -> None:
        """`subject_id` is the pass or holder that the answer is about."""
        await transaction.execute(FORGET_KEY, workspace_id, key, now - ANSWERS_KEPT)
        context = secret_contexts.idempotent_answer(workspace_id, key)
        sealed = self._cipher.encrypt(_packed(body), context=context)
        await transaction.execute(
            INSERT, workspace_id, key, fingerprint, status, sealed, now, subject_id
        )

    async def forget_old(
        self,
        transaction: Transaction,
        workspace_ids: Collection[UUID],
        *,
        now: datetime,
        limit: int,
    ) -> int:
        named = sorted(workspace_ids)
        return len(await transaction.fetch(FORGET_OLD, named, now - ANSWERS_KEPT, limit))

    async def forget_subjects(
        self, transaction: Transaction, workspace_id: UUID, subject_ids: Collection[UUID]
    ) -> None:
        """What was answered about these holders and passes is gone."""
        await transaction.execute(FORGET_SUBJECTS, workspace_id, sorted(subject_ids))


def _packed(body: Mapping[str, Any]) -> bytes:
    told = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    if len(told) < PACKED_FROM_BYTES:
        return told
    packed = zlib.compress(told, level=1) if len(told) <= MAX_ANSWER_BYTES else told
    if len(packed) > MAX_SEALED_BYTES:
        raise ContentRejected(
            "answer_too_large",
            "Idempotency-Key",
            "cannot keep an answer that large: ask for less at once, or without the key",
        )
    return packed


def _unpacked(kept: bytes) -> dict[str, Any]:
    told = kept if kept.startswith(b"{") else zlib.decompress(kept)
    body: dict[str, Any] = json.loads(told)
    return body
