"""What imports made, in Postgres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from passferry_pass_issuer.application.ports import Transaction

TEMPLATE_IDS = """
SELECT source_sha256, template_id FROM imported_template
WHERE workspace_id = $1 AND source_sha256 = ANY($2::text[])
"""

REMEMBER = """
INSERT INTO imported_template (workspace_id, source_sha256, template_id, created_at)
VALUES ($1, $2, $3, $4)
"""

BY_SERIAL_NUMBERS = """
SELECT p.pass_type_identifier, p.serial_number, p.pass_id FROM pass p
JOIN unnest($2::text[], $3::text[]) AS wanted(pass_type_identifier, serial_number)
    ON p.pass_type_identifier = wanted.pass_type_identifier
    AND p.serial_number = wanted.serial_number
WHERE p.workspace_id = $1
"""

MARK_ON_APPLE = """
UPDATE pass SET is_on_apple = true WHERE workspace_id = $1 AND pass_id = ANY($2::uuid[])
"""


class PostgresImports:
    async def template_ids(
        self, transaction: Transaction, workspace_id: UUID, keys: Sequence[str]
    ) -> Mapping[str, UUID]:
        rows = await transaction.fetch(TEMPLATE_IDS, workspace_id, list(keys))
        return {row["source_sha256"]: row["template_id"] for row in rows}

    async def remember(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        key: str,
        template_id: UUID,
        at: datetime,
    ) -> None:
        await transaction.execute(REMEMBER, workspace_id, key, template_id, at)

    async def pass_ids(
        self, transaction: Transaction, workspace_id: UUID, wanted: Sequence[tuple[str, str]]
    ) -> Mapping[tuple[str, str], UUID]:
        types, serials = [each[0] for each in wanted], [each[1] for each in wanted]
        rows = await transaction.fetch(BY_SERIAL_NUMBERS, workspace_id, types, serials)
        return {(row["pass_type_identifier"], row["serial_number"]): row["pass_id"] for row in rows}

    async def mark_on_apple(
        self, transaction: Transaction, workspace_id: UUID, pass_ids: Sequence[UUID]
    ) -> None:
        await transaction.execute(MARK_ON_APPLE, workspace_id, list(pass_ids))
