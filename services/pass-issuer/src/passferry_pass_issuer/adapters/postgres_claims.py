"""Claim codes that were answered and messages that were issued, in Postgres."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from passferry_pass_issuer.application.life_ports import Claim
from passferry_pass_issuer.application.ports import Transaction
from passferry_pass_issuer.domain.wallet_pass import WalletPass

CLAIM = """
SELECT workspace_id, claim_code_sha256, link_id, outcome, pass_id, created_at FROM claim
WHERE workspace_id = $1 AND claim_code_sha256 = $2
"""

INSERT_CLAIM = """
INSERT INTO claim (workspace_id, claim_code_sha256, link_id, outcome, pass_id, created_at)
VALUES ($1, $2, $3, $4, $5, $6)
"""

TAKE_OLD = """
DELETE FROM claim USING (
    SELECT old.workspace_id, old.claim_code_sha256
    FROM unnest($1::uuid[]) AS named(workspace_id) CROSS JOIN LATERAL (
        SELECT workspace_id, claim_code_sha256 FROM claim
        WHERE claim.workspace_id = named.workspace_id AND created_at < $2
        ORDER BY created_at LIMIT $3
    ) AS old
) AS gone
WHERE claim.workspace_id = gone.workspace_id
    AND claim.claim_code_sha256 = gone.claim_code_sha256
RETURNING claim.workspace_id, claim.link_id
"""

ISSUE = """
INSERT INTO issued_message (workspace_id, target_id, message_id, issued_at)
SELECT workspace_id, target_id, message_id, $4
FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS given(workspace_id, target_id, message_id)
ON CONFLICT (workspace_id, target_id, message_id) DO NOTHING
RETURNING workspace_id, target_id, message_id
"""

FORGET_ISSUED = """
DELETE FROM issued_message USING (
    SELECT old.workspace_id, old.target_id, old.message_id
    FROM unnest($1::uuid[]) AS named(workspace_id) CROSS JOIN LATERAL (
        SELECT workspace_id, target_id, message_id FROM issued_message
        WHERE issued_message.workspace_id = named.workspace_id AND issued_at < $2
        ORDER BY issued_at LIMIT $3
    ) AS old
) AS gone
WHERE issued_message.workspace_id = gone.workspace_id
    AND issued_message.target_id = gone.target_id
    AND issued_message.message_id = gone.message_id
"""

SHOW = """
UPDATE pass SET latest_message = new.message
FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS new(workspace_id, pass_id, message)
WHERE pass.workspace_id = new.workspace_id AND pass.pass_id = new.pass_id
"""


class PostgresClaims:
    async def of(
        self, transaction: Transaction, workspace_id: UUID, claim_code_sha256: str
    ) -> Claim | None:
        row = await transaction.fetchrow(CLAIM, workspace_id, claim_code_sha256)
        return None if row is None else Claim(**dict(row))

    async def insert(self, transaction: Transaction, claim: Claim) -> None:
        await transaction.execute(
            INSERT_CLAIM,
            claim.workspace_id,
            claim.claim_code_sha256,
            claim.link_id,
            claim.outcome,
            claim.pass_id,
            claim.created_at,
        )

    async def take_old(
        self,
        transaction: Transaction,
        workspace_ids: Collection[UUID],
        *,
        before: datetime,
        limit: int,
    ) -> list[tuple[UUID, UUID]]:
        rows = await transaction.fetch(TAKE_OLD, sorted(workspace_ids), before, limit)
        return [(row["workspace_id"], row["link_id"]) for row in rows]


class PostgresMessages:
    async def claim(
        self,
        transaction: Transaction,
        targets: Collection[tuple[UUID, UUID, str]],
        *,
        now: datetime,
    ) -> set[tuple[UUID, UUID, str]]:
        # In one order everywhere, so that two batches cannot wait for each other.
        ordered = sorted(set(targets))
        rows = await transaction.fetch(
            ISSUE,
            [each[0] for each in ordered],
            [each[1] for each in ordered],
            [each[2] for each in ordered],
            now,
        )
        return {(row["workspace_id"], row["target_id"], row["message_id"]) for row in rows}

    async def show(self, transaction: Transaction, passes: Sequence[WalletPass]) -> None:
        await transaction.execute(
            SHOW,
            [each.workspace_id for each in passes],
            [each.pass_id for each in passes],
            [each.latest_message for each in passes],
        )

    async def forget_issued(
        self,
        transaction: Transaction,
        workspace_ids: Collection[UUID],
        *,
        before: datetime,
        limit: int,
    ) -> int:
        done = await transaction.execute(FORGET_ISSUED, sorted(workspace_ids), before, limit)
        return int(done.rpartition(" ")[2])
