"""Active passes of a template, in Postgres."""

from __future__ import annotations

import json
from collections.abc import Collection
from uuid import UUID

from passferry_pass_issuer.adapters.postgres_upkeep import IS_MOVING
from passferry_pass_issuer.application.count_ends import CountedPass
from passferry_pass_issuer.application.ports import Transaction

# Thousands are looked at for one answer: nothing is read that no rule looks at.
PAGE = f"""
SELECT pass_id, program_id, balance_minor, redeemed_version, uses, last_used_at, first_issued_at,
    created_at, updated_at, ends_at, ends_as,
    (SELECT coalesce(jsonb_object_agg(wanted.name, field_values -> wanted.name), '{{}}')
        FROM unnest($5::text[]) AS wanted(name) WHERE field_values ? wanted.name) AS field_values
FROM pass
WHERE workspace_id = $1 AND template_id = $2 AND status = 'active' AND pass_id > $3
    AND NOT {IS_MOVING}
ORDER BY pass_id LIMIT $4
"""  # noqa: S608  # the condition is a constant


class PostgresTemplatePasses:
    async def page(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        template_id: UUID,
        *,
        field_names: Collection[str],
        after: UUID,
        limit: int,
    ) -> list[CountedPass]:
        given = workspace_id, template_id, after, limit, sorted(field_names)
        rows = await transaction.fetch(PAGE, *given)
        return [
            CountedPass(**{**row, "field_values": json.loads(row["field_values"])}) for row in rows
        ]
