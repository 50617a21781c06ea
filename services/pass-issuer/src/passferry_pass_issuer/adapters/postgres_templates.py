"""Templates, their files, and the cache of what published versions say."""

from __future__ import annotations

import json
import struct
from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from passferry_contracts.types import Protocol
from passferry_pass_issuer.adapters.recently_used import RecentlyUsed
from passferry_pass_issuer.application.edit_templates import TemplateFile
from passferry_pass_issuer.application.ports import Transaction
from passferry_pass_issuer.domain.rendering_subject import ProgramFacts, TemplateFacts
from passferry_pass_issuer.domain.template_checks import TemplateVersion
from passferry_pass_issuer.domain.template_parsing import parse_template_content

#: Published versions in use at one time, and their content as JSON together.
CACHED_VERSIONS = 1_000
CACHED_CONTENT_BYTES = 32_000_000
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

_COLUMNS = """t.workspace_id, t.template_id, t.template_version, t.status, t.name, t.platform,
    t.protocol, t.pass_type_identifier, t.team_identifier, t.google_issuer_id, t.content,
    t.created_at, t.updated_at, t.published_at, t.from_brand"""

INSERT = """
INSERT INTO template (workspace_id, template_id, template_version, status, name, platform, protocol,
    pass_type_identifier, team_identifier, google_issuer_id, content, created_at, updated_at,
    published_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::jsonb, $12, $13, $14)
"""

UPDATE = """
UPDATE template
SET status = $4, name = $5, platform = $6, pass_type_identifier = $7, team_identifier = $8,
    google_issuer_id = $9, content = $10::jsonb, updated_at = $11, published_at = $12,
    from_brand = $13::text[]
WHERE workspace_id = $1 AND template_id = $2 AND template_version = $3 AND status = 'draft'
"""

LOCK_NEWEST = f"""
SELECT {_COLUMNS} FROM template t
WHERE t.workspace_id = $1 AND t.template_id = $2
ORDER BY t.template_version DESC LIMIT 1
FOR NO KEY UPDATE
"""  # noqa: S608  # the columns are a constant of this module

VERSIONS = f"""
SELECT {_COLUMNS} FROM template t
WHERE t.workspace_id = $1 AND t.template_id = $2
ORDER BY t.template_version DESC LIMIT 100
"""  # noqa: S608  # the columns are a constant of this module

NEWEST_ON_GOOGLE = f"""
SELECT {_COLUMNS} FROM template t
WHERE t.workspace_id = $1 AND t.template_id = $2 AND t.status = 'published'
    AND jsonb_typeof(t.content -> 'google') = 'object'
ORDER BY t.template_version DESC LIMIT 1
"""  # noqa: S608  # the columns are a constant of this module

PAGE = f"""
SELECT DISTINCT ON (t.template_id) {_COLUMNS} FROM template t
WHERE t.workspace_id = $1 AND ($2::uuid IS NULL OR t.template_id > $2)
ORDER BY t.template_id, t.template_version DESC LIMIT $3
"""  # noqa: S608  # the columns are a constant of this module

PROTOCOLS = """
SELECT DISTINCT protocol FROM template WHERE workspace_id = $1 AND template_id = $2
"""

FILES = """
SELECT f.name, f.sha256, a.sha1, length(a.content) AS size,
    substring(a.content FROM 1 FOR 24) AS head
FROM template_file f
JOIN template_asset a ON a.workspace_id = f.workspace_id AND a.sha256 = f.sha256
WHERE f.workspace_id = $1 AND f.template_id = $2 AND f.template_version = $3
ORDER BY f.name
"""

COPY_FILES = r"""
INSERT INTO template_file (workspace_id, template_id, template_version, name, sha256)
SELECT f.workspace_id, f.template_id, $3, f.name, f.sha256
FROM template_file f
JOIN template t ON t.workspace_id = f.workspace_id AND t.template_id = f.template_id
    AND t.template_version = f.template_version
WHERE f.workspace_id = $1 AND f.template_id = $2 AND f.template_version = $3 - 1
    AND 'files.' || regexp_replace(f.name, '(@[23]x)?\.png$', '') <> ALL (t.from_brand)
"""

INSERT_ASSET = """
INSERT INTO template_asset (workspace_id, sha256, sha1, content, created_at)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (workspace_id, sha256) DO NOTHING
"""

PUT_FILE = """
INSERT INTO template_file (workspace_id, template_id, template_version, name, sha256)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (workspace_id, template_id, template_version, name)
DO UPDATE SET sha256 = EXCLUDED.sha256
"""

REMOVE_FILES = """
DELETE FROM template_file
WHERE workspace_id = $1 AND template_id = $2 AND template_version = $3 AND name = ANY($4::text[])
"""

UNSENT_ASSETS = """
SELECT a.sha256, a.sha1, a.content
FROM template_asset a
WHERE a.workspace_id = $1 AND NOT a.is_sent AND a.sha256 IN (
    SELECT f.sha256 FROM template_file f
    WHERE f.workspace_id = $1 AND f.template_id = $2 AND f.template_version = $3)
ORDER BY a.sha256
FOR NO KEY UPDATE
"""

MARK_SENT = """
UPDATE template_asset SET is_sent = true WHERE workspace_id = $1 AND sha256 = ANY($2::text[])
"""

SELECT_EXACT = f"""
SELECT {_COLUMNS} FROM template t
JOIN unnest($1::uuid[], $2::uuid[], $3::integer[]) AS wanted(workspace_id, template_id, number)
    ON t.workspace_id = wanted.workspace_id AND t.template_id = wanted.template_id
    AND t.template_version = wanted.number
"""  # noqa: S608  # the columns are a constant of this module

SELECT_DIGESTS = """
SELECT f.workspace_id, f.template_id, f.template_version, f.name, a.sha1
FROM template_file f
JOIN unnest($1::uuid[], $2::uuid[], $3::integer[]) AS wanted(workspace_id, template_id, number)
    ON f.workspace_id = wanted.workspace_id AND f.template_id = wanted.template_id
    AND f.template_version = wanted.number
JOIN template_asset a ON a.workspace_id = f.workspace_id AND a.sha256 = f.sha256
"""

NEWEST_PUBLISHED = """
SELECT template_id, max(template_version) AS number FROM template
WHERE workspace_id = $1 AND template_id = ANY($2::uuid[]) AND status = 'published'
GROUP BY template_id
"""

SELECT_PROGRAMS = """
SELECT p.workspace_id, p.program_id, p.name, p.protocol, p.rules ->> 'time_zone' AS time_zone
FROM program p
JOIN unnest($1::uuid[], $2::uuid[]) AS wanted(workspace_id, program_id)
    ON p.workspace_id = wanted.workspace_id AND p.program_id = wanted.program_id
"""

VersionKey = tuple[UUID, UUID, int]


class PostgresTemplates:
    async def insert(self, transaction: Transaction, version: TemplateVersion) -> None:
        await transaction.execute(
            INSERT,
            version.workspace_id,
            version.template_id,
            version.template_version,
            version.status,
            version.name,
            version.platform,
            version.protocol.value,
            version.pass_type_identifier,
            version.team_identifier,
            version.google_issuer_id,
            json.dumps(dict(version.raw_content)),
            version.created_at,
            version.updated_at,
            version.published_at,
        )

    async def update(self, transaction: Transaction, version: TemplateVersion) -> None:
        await transaction.execute(
            UPDATE,
            version.workspace_id,
            version.template_id,
            version.template_version,
            version.status,
            version.name,
            version.platform,
            version.pass_type_identifier,
            version.team_identifier,
            version.google_issuer_id,
            json.dumps(dict(version.raw_content)),
            version.updated_at,
            version.published_at,
            list(version.from_brand),
        )

    async def copy_files(
        self, transaction: Transaction, workspace_id: UUID, template_id: UUID, *, to_version: int
    ) -> None:
        await transaction.execute(COPY_FILES, workspace_id, template_id, to_version)

    async def lock_newest(
        self, transaction: Transaction, workspace_id: UUID, template_id: UUID
    ) -> TemplateVersion | None:
        row = await transaction.fetchrow(LOCK_NEWEST, workspace_id, template_id)
        return None if row is None else _version(row)

    async def versions(
        self, transaction: Transaction, workspace_id: UUID, template_id: UUID
    ) -> list[TemplateVersion]:
        rows = await transaction.fetch(VERSIONS, workspace_id, template_id)
        return [_version(row) for row in rows]

    async def newest_on_google(
        self, transaction: Transaction, workspace_id: UUID, template_id: UUID
    ) -> TemplateVersion | None:
        row = await transaction.fetchrow(NEWEST_ON_GOOGLE, workspace_id, template_id)
        return None if row is None else _version(row)

    async def page(
        self, transaction: Transaction, workspace_id: UUID, *, after: UUID | None, limit: int
    ) -> list[TemplateVersion]:
        rows = await transaction.fetch(PAGE, workspace_id, after, limit)
        return [_version(row) for row in rows]

    async def protocols(
        self, transaction: Transaction, workspace_id: UUID, template_id: UUID
    ) -> set[Protocol]:
        rows = await transaction.fetch(PROTOCOLS, workspace_id, template_id)
        return {Protocol(row["protocol"]) for row in rows}

    async def files(self, transaction: Transaction, version: TemplateVersion) -> list[TemplateFile]:
        rows = await transaction.fetch(
            FILES, version.workspace_id, version.template_id, version.template_version
        )
        return [file_of_row(row) for row in rows]

    async def remove_files(
        self, transaction: Transaction, version: TemplateVersion, names: Sequence[str]
    ) -> None:
        if not names:
            return
        await transaction.execute(
            REMOVE_FILES,
            version.workspace_id,
            version.template_id,
            version.template_version,
            list(names),
        )

    async def store_file(
        self,
        transaction: Transaction,
        version: TemplateVersion,
        file: TemplateFile,
        content: bytes,
        at: datetime,
    ) -> None:
        await transaction.execute(
            INSERT_ASSET, version.workspace_id, file.sha256, file.sha1, content, at
        )
        await transaction.execute(
            PUT_FILE,
            version.workspace_id,
            version.template_id,
            version.template_version,
            file.name,
            file.sha256,
        )

    async def unsent_assets(
        self, transaction: Transaction, version: TemplateVersion
    ) -> Sequence[tuple[str, str, bytes]]:
        rows = await transaction.fetch(
            UNSENT_ASSETS, version.workspace_id, version.template_id, version.template_version
        )
        return [(row["sha256"], row["sha1"], row["content"]) for row in rows]

    async def mark_sent(
        self, transaction: Transaction, workspace_id: UUID, sha256s: Sequence[str]
    ) -> None:
        await transaction.execute(MARK_SENT, workspace_id, list(sha256s))


class PostgresCatalogue:
    """What rendering needs; published versions never change, so they are kept while they are used."""

    def __init__(
        self,
        *,
        cached_versions: int = CACHED_VERSIONS,
        cached_content_bytes: int = CACHED_CONTENT_BYTES,
    ) -> None:
        self._versions: RecentlyUsed[VersionKey, TemplateFacts] = RecentlyUsed(
            most=cached_versions, most_bytes=cached_content_bytes
        )

    async def templates(
        self, transaction: Transaction, wanted: Collection[VersionKey]
    ) -> dict[VersionKey, TemplateFacts]:
        known = {key: self._versions.get(key) for key in wanted}
        found = {key: facts for key, facts in known.items() if facts is not None}
        missing = sorted(known.keys() - found.keys())
        if missing:
            read = await _read_versions(transaction, missing)
            for key, facts in read.items():
                self._versions.keep(key, facts, size=facts.content_bytes)
            found |= read
        return found

    async def newest_published(
        self, transaction: Transaction, workspace_id: UUID, template_ids: Sequence[UUID]
    ) -> dict[UUID, TemplateFacts]:
        rows = await transaction.fetch(NEWEST_PUBLISHED, workspace_id, list(template_ids))
        keys = {(workspace_id, row["template_id"], row["number"]) for row in rows}
        found = await self.templates(transaction, keys)
        return {facts.template_id: facts for facts in found.values()}

    async def programs(
        self, transaction: Transaction, wanted: Collection[tuple[UUID, UUID]]
    ) -> dict[tuple[UUID, UUID], ProgramFacts]:
        rows = await transaction.fetch(
            SELECT_PROGRAMS, [key[0] for key in wanted], [key[1] for key in wanted]
        )
        return {
            (row["workspace_id"], row["program_id"]): ProgramFacts(
                program_id=row["program_id"],
                name=row["name"],
                protocol=Protocol(row["protocol"]),
                time_zone=row["time_zone"],
            )
            for row in rows
        }


async def _read_versions(
    transaction: Transaction, keys: Sequence[VersionKey]
) -> dict[VersionKey, TemplateFacts]:
    arguments = ([key[0] for key in keys], [key[1] for key in keys], [key[2] for key in keys])
    digests: dict[VersionKey, dict[str, str]] = defaultdict(dict)
    for row in await transaction.fetch(SELECT_DIGESTS, *arguments):
        digests[_key(row)][row["name"]] = row["sha1"]
    rows = await transaction.fetch(SELECT_EXACT, *arguments)
    return {_key(row): _version(row).facts(digests[_key(row)]) for row in rows}


def file_of_row(row: Any) -> TemplateFile:
    width = height = None
    if row["head"].startswith(_PNG_SIGNATURE):
        width, height = struct.unpack_from(">II", row["head"], 16)
    return TemplateFile(
        name=row["name"],
        sha256=row["sha256"],
        sha1=row["sha1"],
        size=row["size"],
        width=width,
        height=height,
    )


def _key(row: Any) -> VersionKey:
    return (row["workspace_id"], row["template_id"], row["template_version"])


def _version(row: Any) -> TemplateVersion:
    raw = json.loads(row["content"])
    return TemplateVersion(
        workspace_id=row["workspace_id"],
        template_id=row["template_id"],
        template_version=row["template_version"],
        status=row["status"],
        name=row["name"],
        platform=row["platform"],
        protocol=Protocol(row["protocol"]),
        pass_type_identifier=row["pass_type_identifier"],
        team_identifier=row["team_identifier"],
        google_issuer_id=row["google_issuer_id"],
        raw_content=raw,
        content=parse_template_content(raw),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        published_at=row["published_at"],
        from_brand=tuple(row["from_brand"]),
    )
