"""Passes that change hands or are replaced, in Postgres."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from passferry_pass_issuer.application.life_ports import MovingReissue, Replacement, RevokedLink
from passferry_pass_issuer.application.ports import Cipher, PassLink, Transaction
from passferry_pass_issuer.domain import secret_contexts
from passferry_pass_issuer.domain.wallet_pass import WalletPass

HAND_OVER = """
UPDATE pass SET holder_id = $3, authentication_token_ciphertext = $4,
    authentication_token_sha256 = $5, latest_message = $6, request_sha256 = $7
WHERE workspace_id = $1 AND pass_id = $2
"""

DROP_LINKS = """
DELETE FROM link WHERE workspace_id = $1 AND pass_id = $2
RETURNING pass_id, link_id, token_sha256, expires_at
"""

# The answer stays known, so that asking again gives no second pass.
DROP_CLAIMS = """
UPDATE claim SET pass_id = NULL WHERE workspace_id = $1 AND pass_id = $2
RETURNING $2 AS pass_id, link_id, claim_code_sha256 AS token_sha256,
    NULL::timestamptz AS expires_at
"""

INSERT_LINK = """
INSERT INTO link (workspace_id, link_id, pass_id, token_ciphertext, token_sha256, expires_at,
    created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""

REPLACEMENT = """
SELECT workspace_id, old_pass_id, new_pass_id, state, attempt, code, left_minor, carried_uses,
    updated_at, told_at
FROM pass_replacement WHERE workspace_id = $1 AND old_pass_id = $2 FOR UPDATE
"""

SAVE_REPLACEMENT = """
INSERT INTO pass_replacement (workspace_id, old_pass_id, new_pass_id, state, attempt, code,
    left_minor, carried_uses, created_at, updated_at, told_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10)
ON CONFLICT (workspace_id, old_pass_id) DO UPDATE SET state = excluded.state,
    new_pass_id = excluded.new_pass_id, attempt = excluded.attempt, code = excluded.code,
    left_minor = excluded.left_minor, carried_uses = excluded.carried_uses,
    updated_at = excluded.updated_at, told_at = excluded.told_at
"""

USED_SINCE = """
SELECT used.workspace_id, used.old_pass_id
FROM unnest($1::uuid[]) AS named(workspace_id) CROSS JOIN LATERAL (
    SELECT r.workspace_id, r.old_pass_id FROM pass_replacement r
    JOIN pass p ON p.workspace_id = r.workspace_id AND p.pass_id = r.old_pass_id
    WHERE r.workspace_id = named.workspace_id AND r.state = 'done' AND r.updated_at > $2
        AND p.uses > r.carried_uses AND r.old_pass_id <> ALL($4::uuid[])
    ORDER BY r.updated_at, r.old_pass_id LIMIT $3
) AS used
"""

OLDEST_MOVING = """
SELECT oldest.workspace_id, oldest.old_pass_id AS pass_id, oldest.updated_at AS since
FROM unnest($1::uuid[]) AS named(workspace_id) CROSS JOIN LATERAL (
    SELECT workspace_id, old_pass_id, updated_at FROM pass_replacement
    WHERE pass_replacement.workspace_id = named.workspace_id AND state = 'moving'
    ORDER BY updated_at, old_pass_id LIMIT 1
) AS oldest
ORDER BY oldest.updated_at, oldest.old_pass_id LIMIT 1
"""

STEP_ASIDE = "UPDATE pass SET replaced_by = $3 WHERE workspace_id = $1 AND pass_id = $2"


class PostgresOwners:
    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher

    async def hand_over(self, transaction: Transaction, wallet_pass: WalletPass) -> None:
        await transaction.execute(
            HAND_OVER,
            wallet_pass.workspace_id,
            wallet_pass.pass_id,
            wallet_pass.holder_id,
            wallet_pass.authentication_token_ciphertext,
            wallet_pass.authentication_token_sha256,
            wallet_pass.latest_message,
            wallet_pass.request_sha256,
        )

    async def replace_link(
        self, transaction: Transaction, wallet_pass: WalletPass, link: PassLink, *, now: datetime
    ) -> list[RevokedLink]:
        key = wallet_pass.workspace_id, wallet_pass.pass_id
        links = await transaction.fetch(DROP_LINKS, *key)
        claims = await transaction.fetch(DROP_CLAIMS, *key)
        context = secret_contexts.link_token(wallet_pass.workspace_id, link.link_id)
        await transaction.execute(
            INSERT_LINK,
            wallet_pass.workspace_id,
            link.link_id,
            wallet_pass.pass_id,
            self._cipher.encrypt(link.token.encode(), context=context),
            link.token_sha256,
            link.expires_at,
            now,
        )
        return [RevokedLink(**dict(row)) for row in (*links, *claims)]


class PostgresReplacements:
    async def of(
        self, transaction: Transaction, workspace_id: UUID, old_pass_id: UUID
    ) -> Replacement | None:
        row = await transaction.fetchrow(REPLACEMENT, workspace_id, old_pass_id)
        return None if row is None else Replacement(**dict(row))

    async def save(self, transaction: Transaction, replacement: Replacement) -> None:
        await transaction.execute(
            SAVE_REPLACEMENT,
            replacement.workspace_id,
            replacement.old_pass_id,
            replacement.new_pass_id,
            replacement.state,
            replacement.attempt,
            replacement.code,
            replacement.left_minor,
            replacement.carried_uses,
            replacement.updated_at,
            replacement.told_at,
        )

    async def used_since(
        self,
        transaction: Transaction,
        workspace_ids: Collection[UUID],
        *,
        settled_after: datetime,
        limit: int,
        passing_over: Sequence[UUID],
    ) -> list[tuple[UUID, UUID]]:
        rows = await transaction.fetch(
            USED_SINCE, sorted(workspace_ids), settled_after, limit, list(passing_over)
        )
        return [(row["workspace_id"], row["old_pass_id"]) for row in rows]

    async def oldest_moving(
        self, transaction: Transaction, workspace_ids: Collection[UUID]
    ) -> MovingReissue | None:
        row = await transaction.fetchrow(OLDEST_MOVING, sorted(workspace_ids))
        return None if row is None else MovingReissue(**dict(row))

    async def step_aside(
        self, transaction: Transaction, workspace_id: UUID, old_pass_id: UUID, new_pass_id: UUID
    ) -> None:
        await transaction.execute(STEP_ASIDE, workspace_id, old_pass_id, new_pass_id)
