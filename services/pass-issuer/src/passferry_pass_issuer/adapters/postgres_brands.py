"""Brands of workspaces in Postgres; their images lie beside those of templates."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from passferry_pass_issuer.adapters.postgres_templates import INSERT_ASSET, file_of_row
from passferry_pass_issuer.application.edit_templates import TemplateFile
from passferry_pass_issuer.application.ports import Transaction
from passferry_pass_issuer.domain.brand import Brand, role_of
from passferry_pass_issuer.domain.template_checks import TemplateVersion

ENSURE = """
INSERT INTO brand (workspace_id, updated_at)
SELECT w.workspace_id, $2 FROM workspace w WHERE w.workspace_id = $1
ON CONFLICT (workspace_id) DO NOTHING
"""

READ = """
SELECT organization_name, logo_text, background_color, foreground_color, label_color,
    hex_background_color, logo_url
FROM brand WHERE workspace_id = $1
"""

LOCK = f"{READ} FOR NO KEY UPDATE"

HOLD = "SELECT workspace_id FROM brand WHERE workspace_id = $1 FOR SHARE"

UPDATE = """
UPDATE brand
SET organization_name = $2, logo_text = $3, background_color = $4, foreground_color = $5,
    label_color = $6, hex_background_color = $7, logo_url = $8, updated_at = $9
WHERE workspace_id = $1
"""

IMAGES = """
SELECT i.name, i.sha256, a.sha1, length(a.content) AS size,
    substring(a.content FROM 1 FOR 24) AS head
FROM brand_image i
JOIN template_asset a ON a.workspace_id = i.workspace_id AND a.sha256 = i.sha256
WHERE i.workspace_id = $1
ORDER BY i.name
"""

PUT_IMAGE = """
INSERT INTO brand_image (workspace_id, name, role, sha256) VALUES ($1, $2, $3, $4)
ON CONFLICT (workspace_id, name) DO UPDATE SET sha256 = EXCLUDED.sha256
"""

REMOVE_IMAGES = """
DELETE FROM brand_image WHERE workspace_id = $1 AND role = $2 RETURNING name
"""

GIVE_IMAGES = """
INSERT INTO template_file (workspace_id, template_id, template_version, name, sha256)
SELECT workspace_id, $2, $3, name, sha256 FROM brand_image
WHERE workspace_id = $1 AND role = ANY($4::text[])
"""

TAKERS = """
SELECT newest.template_id
FROM (
    SELECT DISTINCT ON (t.template_id) t.template_id, t.from_brand FROM template t
    WHERE t.workspace_id = $1 AND t.status = 'published'
    ORDER BY t.template_id, t.template_version DESC
) AS newest
WHERE newest.from_brand && $2::text[]
ORDER BY newest.template_id LIMIT $3
"""


class PostgresBrands:
    async def lock(
        self, transaction: Transaction, workspace_id: UUID, at: datetime
    ) -> Brand | None:
        await transaction.execute(ENSURE, workspace_id, at)
        row = await transaction.fetchrow(LOCK, workspace_id)
        return None if row is None else _brand(row)

    async def hold(self, transaction: Transaction, workspace_id: UUID) -> None:
        await transaction.fetchrow(HOLD, workspace_id)

    async def read(self, transaction: Transaction, workspace_id: UUID) -> Brand:
        row = await transaction.fetchrow(READ, workspace_id)
        return Brand() if row is None else _brand(row)

    async def update(
        self, transaction: Transaction, workspace_id: UUID, brand: Brand, at: datetime
    ) -> None:
        await transaction.execute(
            UPDATE,
            workspace_id,
            brand.organization_name,
            brand.logo_text,
            brand.background_color,
            brand.foreground_color,
            brand.label_color,
            brand.hex_background_color,
            brand.logo_url,
            at,
        )

    async def images(self, transaction: Transaction, workspace_id: UUID) -> list[TemplateFile]:
        return [file_of_row(row) for row in await transaction.fetch(IMAGES, workspace_id)]

    async def put_image(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        file: TemplateFile,
        content: bytes,
        at: datetime,
    ) -> None:
        await transaction.execute(INSERT_ASSET, workspace_id, file.sha256, file.sha1, content, at)
        await transaction.execute(
            PUT_IMAGE, workspace_id, file.name, role_of(file.name), file.sha256
        )

    async def remove_images(
        self, transaction: Transaction, workspace_id: UUID, role: str
    ) -> list[str]:
        return [row["name"] for row in await transaction.fetch(REMOVE_IMAGES, workspace_id, role)]

    async def give_images(
        self, transaction: Transaction, version: TemplateVersion, roles: Collection[str]
    ) -> None:
        await transaction.execute(
            GIVE_IMAGES,
            version.workspace_id,
            version.template_id,
            version.template_version,
            sorted(roles),
        )

    async def takers(
        self, transaction: Transaction, workspace_id: UUID, paths: Sequence[str], limit: int
    ) -> list[UUID]:
        rows = await transaction.fetch(TAKERS, workspace_id, list(paths), limit)
        return [row["template_id"] for row in rows]


def _brand(row: Any) -> Brand:
    return Brand(**dict(row))
