"""Active passes of a program, in Postgres."""

from __future__ import annotations

from uuid import UUID

from passferry_pass_issuer.application.ports import Transaction

COUNT = """
SELECT count(*) FROM pass WHERE workspace_id = $1 AND program_id = $2 AND status = 'active'
"""

PAGE = """
SELECT pass_id FROM pass
WHERE workspace_id = $1 AND program_id = $2 AND status = 'active' AND pass_id > $3
ORDER BY pass_id LIMIT $4
"""


class PostgresProgramPasses:
    async def count(self, transaction: Transaction, workspace_id: UUID, program_id: UUID) -> int:
        return int(await transaction.fetchval(COUNT, workspace_id, program_id))

    async def page(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        program_id: UUID,
        *,
        after: UUID,
        limit: int,
    ) -> list[UUID]:
        rows = await transaction.fetch(PAGE, workspace_id, program_id, after, limit)
        return [row["pass_id"] for row in rows]
