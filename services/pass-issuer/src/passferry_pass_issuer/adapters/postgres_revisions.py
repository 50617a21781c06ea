"""Reads passes under lock and writes their revisions, a batch in a statement."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from passferry_pass_issuer.adapters.pass_rows import PASS_COLUMNS, wallet_pass_of
from passferry_pass_issuer.application.ports import Transaction
from passferry_pass_issuer.domain.wallet_pass import WalletPass

#: In one order everywhere, so that two batches cannot wait for each other.
LOCK = f"""
SELECT {PASS_COLUMNS} FROM pass p
WHERE (p.workspace_id, p.pass_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))
ORDER BY p.workspace_id, p.pass_id
FOR NO KEY UPDATE
"""  # noqa: S608  # constants of this package

BY_EXTERNAL_ID = """
SELECT workspace_id, external_id, pass_id FROM pass
WHERE (workspace_id, external_id) IN (SELECT * FROM unnest($1::uuid[], $2::text[]))
"""

UNSIGNED = """
SELECT pass_id FROM pass
WHERE workspace_id = $1 AND pass_type_identifier = $2 AND is_unsigned AND pass_id > $3
ORDER BY pass_id LIMIT $4
"""

UNSIGNED_TYPES = """
SELECT DISTINCT workspace_id, pass_type_identifier FROM pass
WHERE workspace_id = ANY($1::uuid[]) AND pass_type_identifier IS NOT NULL AND is_unsigned
ORDER BY workspace_id, pass_type_identifier
"""

NOT_KNOWN_INSERTED = """
SELECT p.workspace_id, p.pass_id FROM pass p
JOIN unnest($1::uuid[], $2::uuid[], $3::text[]) AS told(workspace_id, pass_id, google_object_id)
    ON p.workspace_id = told.workspace_id AND p.pass_id = told.pass_id
    AND p.google_object_id = told.google_object_id
WHERE p.inserted_google_object_id IS DISTINCT FROM told.google_object_id
"""

UPDATE = """
UPDATE pass SET
    status = new.status, status_reason = new.status_reason, balance_minor = new.balance_minor,
    ledger_version = new.ledger_version, redeemed_version = new.redeemed_version,
    upstream_version = new.upstream_version, field_values = new.field_values::jsonb,
    expires_at = new.expires_at, revision = new.revision, content_sha256 = new.content_sha256,
    pass_json = new.pass_json, manifest = new.manifest, signature = new.signature,
    signed_revision = new.signed_revision, is_on_apple = new.is_on_apple,
    is_on_google = new.is_on_google, google_object_id = new.google_object_id,
    google_object_body = new.google_object_body::jsonb, save_link = new.save_link,
    save_link_signed_at = new.save_link_signed_at, save_link_revision = new.save_link_revision,
    causes = new.causes::jsonb, caused_at = new.caused_at, rendered_at = new.rendered_at,
    updated_at = new.updated_at, template_version = new.template_version,
    inserted_google_object_id = new.inserted_google_object_id, tier = new.tier,
    uses = new.uses, last_used_at = new.last_used_at, ends_at = new.ends_at, ends_as = new.ends_as
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::bigint[],
    $7::bigint[], $8::bigint[], $9::text[], $10::timestamptz[], $11::bigint[], $12::text[],
    $13::text[], $14::text[], $15::bytea[], $16::bigint[], $17::boolean[], $18::boolean[],
    $19::text[], $20::text[], $21::text[], $22::timestamptz[], $23::bigint[], $24::text[],
    $25::timestamptz[], $26::timestamptz[], $27::timestamptz[], $28::integer[], $29::text[],
    $30::text[], $31::integer[], $32::timestamptz[], $33::timestamptz[], $34::text[])
    AS new(workspace_id, pass_id, status, status_reason, balance_minor, ledger_version,
        redeemed_version, upstream_version, field_values, expires_at, revision, content_sha256,
        pass_json, manifest, signature, signed_revision, is_on_apple, is_on_google,
        google_object_id, google_object_body, save_link, save_link_signed_at, save_link_revision,
        causes, caused_at, rendered_at, updated_at, template_version, inserted_google_object_id,
        tier, uses, last_used_at, ends_at, ends_as)
WHERE pass.workspace_id = new.workspace_id AND pass.pass_id = new.pass_id
"""

PassKey = tuple[UUID, UUID]


class PostgresRevisions:
    async def lock(
        self, transaction: Transaction, keys: Collection[PassKey]
    ) -> dict[PassKey, WalletPass]:
        """By (workspace_id, pass_id); what is not there is left out."""
        ordered = sorted(set(keys))
        rows = await transaction.fetch(
            LOCK, [workspace for workspace, _ in ordered], [pass_id for _, pass_id in ordered]
        )
        return {(row["workspace_id"], row["pass_id"]): wallet_pass_of(row) for row in rows}

    async def ids_of(
        self, transaction: Transaction, wanted: Collection[tuple[UUID, str]]
    ) -> dict[tuple[UUID, str], UUID]:
        """Pass ids by (workspace_id, external_id)."""
        ordered = sorted(set(wanted))
        rows = await transaction.fetch(
            BY_EXTERNAL_ID, [workspace for workspace, _ in ordered], [name for _, name in ordered]
        )
        return {(row["workspace_id"], row["external_id"]): row["pass_id"] for row in rows}

    async def unsigned(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        pass_type_identifier: str,
        *,
        after: UUID,
        limit: int,
    ) -> list[UUID]:
        rows = await transaction.fetch(UNSIGNED, workspace_id, pass_type_identifier, after, limit)
        return [row["pass_id"] for row in rows]

    async def unsigned_types(
        self, transaction: Transaction, workspace_ids: Collection[UUID]
    ) -> list[tuple[UUID, str]]:
        """Which pass types of these workspaces have passes that wait for a signature."""
        rows = await transaction.fetch(UNSIGNED_TYPES, sorted(workspace_ids))
        return [(row["workspace_id"], row["pass_type_identifier"]) for row in rows]

    async def not_known_inserted(
        self, transaction: Transaction, told: Collection[tuple[UUID, UUID, str]]
    ) -> set[PassKey]:
        """Passes whose Google object this is, without knowing that Google has it."""
        ordered = sorted(set(told))
        rows = await transaction.fetch(
            NOT_KNOWN_INSERTED,
            [workspace for workspace, _, _ in ordered],
            [pass_id for _, pass_id, _ in ordered],
            [object_id for _, _, object_id in ordered],
        )
        return {(row["workspace_id"], row["pass_id"]) for row in rows}

    async def update(self, transaction: Transaction, passes: Sequence[WalletPass]) -> None:
        rows = [_row(wallet_pass) for wallet_pass in passes]
        if rows:
            await transaction.execute(UPDATE, *(list(column) for column in zip(*rows, strict=True)))


def _row(each: WalletPass) -> tuple[Any, ...]:
    body = each.google_object_body
    return (
        each.workspace_id,
        each.pass_id,
        each.status.value,
        each.status_reason,
        each.balance_minor,
        each.ledger_version,
        each.redeemed_version,
        each.upstream_version,
        json.dumps(dict(each.field_values)),
        each.expires_at,
        each.revision,
        each.content_sha256,
        each.pass_json,
        each.manifest,
        each.signature,
        each.signed_revision,
        each.is_on_apple,
        each.is_on_google,
        each.google_object_id,
        None if body is None else json.dumps(body),
        each.save_link,
        each.save_link_signed_at,
        each.save_link_revision,
        json.dumps(list(each.causes)),
        each.caused_at,
        each.rendered_at,
        each.updated_at,
        each.template_version,
        each.inserted_google_object_id,
        each.tier,
        each.uses,
        each.last_used_at,
        each.ends_at,
        each.ends_as,
    )
