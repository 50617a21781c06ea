"""The issuing side of passes, with their links, in Postgres."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from passferry_pass_issuer.adapters.link_tokens import pass_link_of
from passferry_pass_issuer.adapters.pass_rows import PASS_COLUMNS, wallet_pass_of
from passferry_pass_issuer.application.ports import Cipher, NewPass, PassLink, Transaction
from passferry_pass_issuer.domain import secret_contexts
from passferry_pass_issuer.domain.wallet_pass import WalletPass

EXTERNAL_PREFIX = "external:"

# Taken before the row locks of passes, by everybody who issues.
LOCK_ISSUING = """
SELECT pg_advisory_xact_lock(hashtextextended('pass.issue:' || workspace_id::text, 0))
FROM workspace WHERE workspace_id = $1
"""

INSERT = """
INSERT INTO pass (workspace_id, pass_id, program_id, protocol, template_id, template_version,
    holder_id, external_id, request_sha256, pass_type_identifier, serial_number,
    authentication_token_ciphertext, authentication_token_sha256, code, status, balance_owner, unit,
    unit_scale, balance_minor, ledger_version, upstream_version, field_values, expires_at, revision,
    content_sha256, pass_json, manifest, google_object_id, google_object_body, causes, caused_at,
    rendered_at, created_at, updated_at, ends_at, ends_as, uses, last_used_at, first_issued_at)
SELECT workspace_id, pass_id, program_id, protocol, template_id, template_version,
    holder_id, external_id, request_sha256, pass_type_identifier, serial_number,
    authentication_token_ciphertext, authentication_token_sha256, code, status, balance_owner, unit,
    unit_scale, balance_minor, ledger_version, upstream_version, field_values::jsonb, expires_at,
    revision, content_sha256, pass_json, manifest, google_object_id, google_object_body::jsonb,
    causes::jsonb, at, at, at, at, ends_at, ends_as, uses, last_used_at, first_issued_at
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::uuid[], $6::integer[], $7::uuid[],
    $8::text[], $9::text[], $10::text[], $11::text[], $12::bytea[], $13::text[], $14::text[],
    $15::text[], $16::text[], $17::text[], $18::smallint[], $19::bigint[], $20::bigint[],
    $21::bigint[], $22::text[], $23::timestamptz[], $24::bigint[], $25::text[], $26::text[],
    $27::text[], $28::text[], $29::text[], $30::text[], $31::timestamptz[], $32::timestamptz[],
    $33::text[], $34::integer[], $35::timestamptz[], $36::timestamptz[])
    AS given(workspace_id, pass_id, program_id, protocol, template_id, template_version,
        holder_id, external_id, request_sha256, pass_type_identifier, serial_number,
        authentication_token_ciphertext, authentication_token_sha256, code, status, balance_owner,
        unit, unit_scale, balance_minor, ledger_version, upstream_version, field_values, expires_at,
        revision, content_sha256, pass_json, manifest, google_object_id, google_object_body, causes,
        at, ends_at, ends_as, uses, last_used_at, first_issued_at)
"""

INSERT_LINKS = """
INSERT INTO link (workspace_id, link_id, pass_id, token_ciphertext, token_sha256, expires_at,
    created_at)
SELECT workspace_id, link_id, pass_id, token_ciphertext, token_sha256, expires_at, created_at
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bytea[], $5::text[], $6::timestamptz[],
    $7::timestamptz[])
    AS given(workspace_id, link_id, pass_id, token_ciphertext, token_sha256, expires_at, created_at)
"""

BY_EXTERNAL_IDS = f"""
SELECT {PASS_COLUMNS} FROM pass p WHERE p.workspace_id = $1 AND p.external_id = ANY($2::text[])
"""  # noqa: S608  # the columns are a constant

MEMBERSHIPS = f"""
SELECT {PASS_COLUMNS} FROM pass p
JOIN unnest($2::uuid[], $3::uuid[]) AS wanted(program_id, holder_id)
    ON p.program_id = wanted.program_id AND p.holder_id = wanted.holder_id
WHERE p.workspace_id = $1 AND p.protocol = 'MEMBERSHIP' AND p.status = 'active'
    AND p.replaced_by IS NULL
"""  # noqa: S608  # the columns are a constant

TAKEN_CODES = """
SELECT p.program_id, p.code FROM pass p
JOIN unnest($2::uuid[], $3::text[]) AS wanted(program_id, code)
    ON p.program_id = wanted.program_id AND p.code = wanted.code
WHERE p.workspace_id = $1
"""

TAKEN_SERIAL_NUMBERS = """
SELECT serial_number FROM pass WHERE workspace_id = $1 AND serial_number = ANY($2::text[])
"""

FIND_BY_ID = f"""
SELECT {PASS_COLUMNS} FROM pass p WHERE p.workspace_id = $1 AND p.pass_id = $2
"""  # noqa: S608  # the columns are a constant

FIND_BY_EXTERNAL_ID = f"""
SELECT {PASS_COLUMNS} FROM pass p WHERE p.workspace_id = $1 AND p.external_id = $2
"""  # noqa: S608  # the columns are a constant

PAGE = f"""
SELECT {PASS_COLUMNS} FROM pass p
WHERE p.workspace_id = $1
    AND ($2::timestamptz IS NULL OR (p.created_at, p.pass_id) > ($2, $3::uuid))
ORDER BY p.created_at, p.pass_id LIMIT $4
"""  # noqa: S608  # the columns are a constant

# The first link of each; of several, because it was made anew, the newest open one comes last.
LINKS = """
SELECT workspace_id, link_id, pass_id, token_ciphertext, token_sha256, expires_at, is_revoked
FROM link WHERE workspace_id = $1 AND pass_id = ANY($2::uuid[]) AND NOT is_extra
ORDER BY is_revoked DESC, created_at
"""

REVOKE_LINKS = """
UPDATE link SET is_revoked = true
WHERE workspace_id = $1 AND pass_id = $2 AND NOT is_revoked
RETURNING workspace_id, link_id, pass_id, token_ciphertext, token_sha256, expires_at, is_revoked
"""


class PostgresPasses:
    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher

    async def lock_issuing(self, transaction: Transaction, workspace_id: UUID) -> None:
        await transaction.execute(LOCK_ISSUING, workspace_id)

    async def insert(self, transaction: Transaction, passes: Sequence[NewPass]) -> None:
        rows = [_insert_row(new.wallet_pass) for new in passes]
        await transaction.execute(INSERT, *[list(column) for column in zip(*rows, strict=True)])
        links = [self._link_row(new) for new in passes]
        await transaction.execute(
            INSERT_LINKS, *[list(column) for column in zip(*links, strict=True)]
        )

    def _link_row(self, new: NewPass) -> tuple[Any, ...]:
        workspace_id, link = new.wallet_pass.workspace_id, new.link
        context = secret_contexts.link_token(workspace_id, link.link_id)
        return (
            workspace_id,
            link.link_id,
            new.wallet_pass.pass_id,
            self._cipher.encrypt(link.token.encode(), context=context),
            link.token_sha256,
            link.expires_at,
            new.wallet_pass.created_at,
        )

    async def by_external_ids(
        self, transaction: Transaction, workspace_id: UUID, external_ids: Sequence[str]
    ) -> dict[str, WalletPass]:
        if not external_ids:
            return {}
        rows = await transaction.fetch(BY_EXTERNAL_IDS, workspace_id, list(external_ids))
        return {row["external_id"]: wallet_pass_of(row) for row in rows}

    async def memberships(
        self, transaction: Transaction, workspace_id: UUID, wanted: Sequence[tuple[UUID, UUID]]
    ) -> dict[tuple[UUID, UUID], WalletPass]:
        if not wanted:
            return {}
        programs, holders = [key[0] for key in wanted], [key[1] for key in wanted]
        rows = await transaction.fetch(MEMBERSHIPS, workspace_id, programs, holders)
        return {(row["program_id"], row["holder_id"]): wallet_pass_of(row) for row in rows}

    async def taken_codes(
        self, transaction: Transaction, workspace_id: UUID, wanted: Sequence[tuple[UUID, str]]
    ) -> set[tuple[UUID, str]]:
        if not wanted:
            return set()
        programs, codes = [key[0] for key in wanted], [key[1] for key in wanted]
        rows = await transaction.fetch(TAKEN_CODES, workspace_id, programs, codes)
        return {(row["program_id"], row["code"]) for row in rows}

    async def taken_serial_numbers(
        self, transaction: Transaction, workspace_id: UUID, serial_numbers: Sequence[str]
    ) -> set[str]:
        if not serial_numbers:
            return set()
        rows = await transaction.fetch(TAKEN_SERIAL_NUMBERS, workspace_id, list(serial_numbers))
        return {row["serial_number"] for row in rows}

    async def find(
        self, transaction: Transaction, workspace_id: UUID, reference: str, *, for_update: bool
    ) -> WalletPass | None:
        sql, key = _lookup(reference)
        if key is None:
            return None
        # What others hold for their foreign keys is no reason to wait.
        lock = " FOR NO KEY UPDATE" if for_update else ""
        row = await transaction.fetchrow(sql + lock, workspace_id, key)
        return None if row is None else wallet_pass_of(row)

    async def page(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        *,
        after: tuple[datetime, UUID] | None,
        limit: int,
    ) -> list[WalletPass]:
        created_at, pass_id = after or (None, None)
        rows = await transaction.fetch(PAGE, workspace_id, created_at, pass_id, limit)
        return [wallet_pass_of(row) for row in rows]

    async def links(
        self, transaction: Transaction, workspace_id: UUID, pass_ids: Sequence[UUID]
    ) -> dict[UUID, PassLink]:
        if not pass_ids:
            return {}
        rows = await transaction.fetch(LINKS, workspace_id, list(pass_ids))
        return {row["pass_id"]: pass_link_of(self._cipher, row) for row in rows}

    async def revoke_links(
        self, transaction: Transaction, workspace_id: UUID, pass_id: UUID
    ) -> list[PassLink]:
        rows = await transaction.fetch(REVOKE_LINKS, workspace_id, pass_id)
        return [pass_link_of(self._cipher, row) for row in rows]


def _lookup(reference: str) -> tuple[str, UUID | str | None]:
    if "\x00" in reference:
        return FIND_BY_ID, None
    if reference.startswith(EXTERNAL_PREFIX):
        return FIND_BY_EXTERNAL_ID, reference.removeprefix(EXTERNAL_PREFIX)
    try:
        return FIND_BY_ID, UUID(reference)
    except ValueError:
        return FIND_BY_ID, None


def _insert_row(wallet_pass: WalletPass) -> tuple[Any, ...]:
    body = wallet_pass.google_object_body
    return (
        wallet_pass.workspace_id,
        wallet_pass.pass_id,
        wallet_pass.program_id,
        wallet_pass.protocol.value,
        wallet_pass.template_id,
        wallet_pass.template_version,
        wallet_pass.holder_id,
        wallet_pass.external_id,
        wallet_pass.request_sha256,
        wallet_pass.pass_type_identifier,
        wallet_pass.serial_number,
        wallet_pass.authentication_token_ciphertext,
        wallet_pass.authentication_token_sha256,
        wallet_pass.code,
        wallet_pass.status.value,
        wallet_pass.balance_owner.value,
        wallet_pass.unit,
        wallet_pass.unit_scale,
        wallet_pass.balance_minor,
        wallet_pass.ledger_version,
        wallet_pass.upstream_version,
        json.dumps(dict(wallet_pass.field_values)),
        wallet_pass.expires_at,
        wallet_pass.revision,
        wallet_pass.content_sha256,
        wallet_pass.pass_json,
        wallet_pass.manifest,
        wallet_pass.google_object_id,
        None if body is None else json.dumps(body),
        json.dumps([dict(cause) for cause in wallet_pass.causes]),
        wallet_pass.created_at,
        wallet_pass.ends_at,
        wallet_pass.ends_as,
        wallet_pass.uses,
        wallet_pass.last_used_at,
        wallet_pass.first_issued_at,
    )
