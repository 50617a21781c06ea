"""Templates, their images and the public links, as the issuer tells of them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from uuid import UUID

from passferry_contracts.events.directory import (
    LinkChanged,
    TemplateAssetStored,
    TemplatePublished,
)
from passferry_runtime.postgres import Database
from passferry_wallet_webservice.application.ports import TemplateKey

UPSERT_TEMPLATE = """
INSERT INTO template (workspace_id, template_id, template_version, name, published_at)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (workspace_id, template_id, template_version) DO UPDATE SET name = excluded.name
"""

UPSERT_FILE = """
INSERT INTO template_file (workspace_id, template_id, template_version, file_name, sha256)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (workspace_id, template_id, template_version, file_name)
    DO UPDATE SET sha256 = excluded.sha256
"""

UPSERT_ASSET = """
INSERT INTO asset (workspace_id, sha256, content) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
"""

#: Those templates of these workspaces whose last missing file is there now.
COMPLETE = """
UPDATE template SET is_complete = true
WHERE workspace_id = ANY($1::uuid[]) AND NOT is_complete AND NOT EXISTS (
    SELECT 1 FROM template_file AS file
    LEFT JOIN asset ON asset.workspace_id = file.workspace_id AND asset.sha256 = file.sha256
    WHERE file.workspace_id = template.workspace_id AND file.template_id = template.template_id
        AND file.template_version = template.template_version AND asset.sha256 IS NULL)
"""

#: Not only those that were completed now: whoever completed one may have died before it
#: published what waited.
WAITED_FOR = """
SELECT DISTINCT template.workspace_id, template.template_id, template.template_version
FROM waiting_revision AS waiting
JOIN template ON template.workspace_id = waiting.workspace_id
    AND template.template_id = waiting.template_id
    AND template.template_version = waiting.template_version
WHERE waiting.workspace_id = ANY($1::uuid[]) AND waiting.waits_for = 'template'
    AND template.is_complete
"""

#: Templates and images of a workspace take turns: two transactions that do not see each other's
#: rows would each find something missing, and nobody would complete the template.
TAKE_TURNS = """
SELECT pg_advisory_xact_lock(hashtextextended('template of ' || workspace_id::text, 0))
FROM unnest($1::uuid[]) AS workspace_id ORDER BY workspace_id
"""

UPSERT_LINK = """
INSERT INTO link (workspace_id, link_id, token_sha256, pass_id, expires_at, revoked)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (workspace_id, link_id) DO UPDATE SET token_sha256 = excluded.token_sha256,
    pass_id = excluded.pass_id, expires_at = excluded.expires_at, revoked = excluded.revoked
"""


FORGET_LINK = "DELETE FROM link WHERE workspace_id = $1 AND link_id = $2"


class PostgresTemplates:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def store_templates(self, templates: Sequence[TemplatePublished]) -> list[TemplateKey]:
        """Returns the complete templates that revisions still wait for."""
        workspaces = sorted({each.workspace_id for each in templates})
        async with self._database.transaction(workspaces) as tx:
            await tx.execute(TAKE_TURNS, workspaces)
            for each in templates:
                key = (each.workspace_id, each.template_id, each.template_version)
                await tx.execute(UPSERT_TEMPLATE, *key, each.name, each.published_at)
                await tx.executemany(
                    UPSERT_FILE,
                    [(*key, name, reference.sha256) for name, reference in each.assets.items()],
                )
            await tx.execute(COMPLETE, workspaces)
            rows = await tx.fetch(WAITED_FOR, workspaces)
        return [(r["workspace_id"], r["template_id"], r["template_version"]) for r in rows]

    async def store_assets(self, assets: Sequence[TemplateAssetStored]) -> list[TemplateKey]:
        """Returns the complete templates that revisions still wait for."""
        workspaces = sorted({each.workspace_id for each in assets})
        async with self._database.transaction(workspaces) as tx:
            await tx.execute(TAKE_TURNS, workspaces)
            await tx.executemany(
                UPSERT_ASSET,
                [
                    (each.workspace_id, each.sha256, base64.b64decode(each.content))
                    for each in assets
                ],
            )
            await tx.execute(COMPLETE, workspaces)
            rows = await tx.fetch(WAITED_FOR, workspaces)
        return [(r["workspace_id"], r["template_id"], r["template_version"]) for r in rows]

    async def store_links(self, links: Sequence[LinkChanged]) -> None:
        async with self._database.transaction({each.workspace_id for each in links}) as tx:
            await tx.executemany(
                UPSERT_LINK,
                [
                    (
                        each.workspace_id,
                        each.link_id,
                        each.token_sha256,
                        each.pass_id,
                        each.expires_at,
                        each.revoked,
                    )
                    for each in links
                ],
            )

    async def forget_link(self, workspace_id: UUID, link_id: UUID) -> None:
        async with self._database.transaction({workspace_id}) as tx:
            await tx.execute(FORGET_LINK, workspace_id, link_id)
