"""Active passes of a template, in Postgres."""

from __future__ import annotations

from uuid import UUID

from passferry_pass_issuer.adapters.pass_rows import PASS_COLUMNS, wallet_pass_of
from passferry_pass_issuer.application.ports import Transaction
from passferry_pass_issuer.domain.wallet_pass import WalletPass

#: The large ones: who only counts need not read them.
DRAWN = ("pass_json", "manifest", "signature", "google_object_body", "save_link")
_COLUMNS = ", ".join(
    f"NULL AS {name}" if name in DRAWN else f"p.{name}"
    for name in (column.strip().removeprefix("p.") for column in PASS_COLUMNS.split(","))
)

PAGE = f"""
SELECT {_COLUMNS} FROM pass p
WHERE p.workspace_id = $1 AND p.template_id = $2 AND p.status = 'active' AND p.pass_id > $3
ORDER BY p.pass_id LIMIT $4
"""  # noqa: S608  # the columns are a constant


class PostgresTemplatePasses:
    async def page(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        template_id: UUID,
        *,
        after: UUID,
        limit: int,
    ) -> list[WalletPass]:
        rows = await transaction.fetch(PAGE, workspace_id, template_id, after, limit)
        return [wallet_pass_of(row) for row in rows]
