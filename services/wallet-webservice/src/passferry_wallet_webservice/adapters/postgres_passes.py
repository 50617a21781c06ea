"""Reads published passes and their templates' files."""

from __future__ import annotations

from dataclasses import fields
from uuid import UUID

from passferry_runtime.postgres import Database, Record
from passferry_wallet_webservice.application.ports import DevicePass, FoundLink, LinkedPass
from passferry_wallet_webservice.domain.publication import RecentContents

_APPLE = """workspace_id, pass_id, pass_type_identifier, serial_number, revision, template_id,
    template_version, pass_json, manifest, signature, token_sha256, last_modified,
    recent_contents"""

BY_SERIAL = f"""
SELECT {_APPLE} FROM published_pass
WHERE workspace_id = $1 AND pass_type_identifier = $2 AND serial_number = $3
"""  # noqa: S608  # a constant of this module

BY_ID = f"""
SELECT {_APPLE}, status, google_object_id, save_link, save_link_signed_at FROM published_pass
WHERE workspace_id = $1 AND pass_id = $2
"""  # noqa: S608  # a constant of this module

FILES = """
SELECT file.file_name, asset.content FROM template_file AS file
JOIN asset ON asset.workspace_id = file.workspace_id AND asset.sha256 = file.sha256
WHERE file.workspace_id = $1 AND file.template_id = $2 AND file.template_version = $3
ORDER BY file.file_name
"""

BY_GOOGLE_OBJECT = """
SELECT pass_id FROM published_pass WHERE workspace_id = $1 AND google_object_id = $2
"""

LINK_BY_HASH = """
SELECT link_id, pass_id, expires_at, revoked FROM link
WHERE workspace_id = $1 AND token_sha256 = $2
"""


class PostgresPasses:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def by_serial(
        self, workspace_id: UUID, pass_type_identifier: str, serial_number: str
    ) -> DevicePass | None:
        async with self._database.transaction({workspace_id}) as tx:
            row = await tx.fetchrow(BY_SERIAL, workspace_id, pass_type_identifier, serial_number)
        return _device_pass(row) if row is not None else None

    async def by_id(self, workspace_id: UUID, pass_id: UUID) -> LinkedPass | None:
        async with self._database.transaction({workspace_id}) as tx:
            row = await tx.fetchrow(BY_ID, workspace_id, pass_id)
        return _linked_pass(row) if row is not None else None

    async def files_of(
        self, workspace_id: UUID, template_id: UUID, template_version: int
    ) -> dict[str, bytes]:
        async with self._database.transaction({workspace_id}) as tx:
            rows = await tx.fetch(FILES, workspace_id, template_id, template_version)
        return {row["file_name"]: row["content"] for row in rows}

    async def link(self, workspace_id: UUID, token_sha256: str) -> FoundLink | None:
        async with self._database.transaction({workspace_id}) as tx:
            row = await tx.fetchrow(LINK_BY_HASH, workspace_id, token_sha256)
        if row is None:
            return None
        return FoundLink(row["link_id"], row["pass_id"], row["expires_at"], row["revoked"])


def _device_pass(row: Record) -> DevicePass:
    columns = {field.name: row[field.name] for field in fields(DevicePass)}
    columns["recent_contents"] = RecentContents.from_json(columns["recent_contents"])
    return DevicePass(**columns)


def _linked_pass(row: Record) -> LinkedPass:
    return LinkedPass(
        row["workspace_id"],
        row["pass_id"],
        row["status"],
        _device_pass(row) if row["pass_json"] is not None else None,
        row["google_object_id"],
        row["save_link"],
        row["save_link_signed_at"],
    )
