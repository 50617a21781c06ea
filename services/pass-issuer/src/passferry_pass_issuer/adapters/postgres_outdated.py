"""Passes that were drawn with an older version of their template."""

from __future__ import annotations

from uuid import UUID

from passferry_pass_issuer.application.ports import Transaction
from passferry_pass_issuer.domain.jobs import Job

COUNT = """
SELECT count(*) FROM pass
WHERE workspace_id = $1 AND template_id = $2 AND template_version < $3
    AND (status = 'active' OR ($4 AND status <> 'deleted'))
"""

#: Passes of a suspended program wait. `$4`: active ones, ended ones, or (null) both; `$7` is the
#: rollout whose refused ones are left out.
PAGE = """
SELECT p.pass_id FROM pass p
WHERE p.workspace_id = $1 AND p.template_id = $2 AND p.template_version < $3
    AND (p.status = 'active' OR ($5 AND p.status <> 'deleted'))
    AND ($4::boolean IS NULL OR (p.status = 'active') = $4)
    AND p.pass_id > $6
    AND p.program_id NOT IN (
        SELECT program_id FROM program WHERE workspace_id = $1 AND status = 'suspended')
    AND ($7::uuid IS NULL OR NOT EXISTS (
        SELECT 1 FROM job_result r
        WHERE r.workspace_id = p.workspace_id AND r.job_id = $7 AND r.pass_id = p.pass_id
            AND r.outcome = 'refused'))
ORDER BY p.pass_id LIMIT $8
"""

ARE_HELD_UP = """
SELECT EXISTS (
    SELECT FROM pass p
    JOIN program g ON g.workspace_id = p.workspace_id AND g.program_id = p.program_id
    WHERE p.workspace_id = $1 AND p.template_id = $2 AND p.template_version < $3
        AND (p.status = 'active' OR ($4 AND p.status <> 'deleted'))
        AND g.status = 'suspended'
        AND NOT EXISTS (
            SELECT FROM job_result r
            WHERE r.workspace_id = p.workspace_id AND r.job_id = $5 AND r.pass_id = p.pass_id
                AND r.outcome = 'refused'))
"""


class PostgresOutdatedPasses:
    async def count(self, transaction: Transaction, job: Job) -> int:
        return int(
            await transaction.fetchval(
                COUNT, job.workspace_id, job.template_id, job.template_version, job.includes_ended
            )
        )

    async def page(
        self,
        transaction: Transaction,
        job: Job,
        *,
        active: bool | None,
        after: UUID,
        limit: int,
        without_refused: bool,
    ) -> list[UUID]:
        rows = await transaction.fetch(
            PAGE,
            job.workspace_id,
            job.template_id,
            job.template_version,
            active,
            job.includes_ended,
            after,
            job.job_id if without_refused else None,
            limit,
        )
        return [row["pass_id"] for row in rows]

    async def are_held_up(self, transaction: Transaction, job: Job) -> bool:
        return bool(
            await transaction.fetchval(
                ARE_HELD_UP,
                job.workspace_id,
                job.template_id,
                job.template_version,
                job.includes_ended,
                job.job_id,
            )
        )
