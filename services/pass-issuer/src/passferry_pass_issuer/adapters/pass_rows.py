"""Rows of `pass` as `WalletPass`, and back."""

from __future__ import annotations

import json
from typing import Any

from passferry_contracts.types import BalanceOwner, PassStatus, Protocol
from passferry_pass_issuer.domain.wallet_pass import WalletPass

#: Every column of `pass`, for `SELECT … FROM pass p`.
PASS_COLUMNS = """p.workspace_id, p.pass_id, p.program_id, p.protocol, p.template_id,
    p.template_version, p.holder_id, p.external_id, p.request_sha256, p.pass_type_identifier,
    p.serial_number, p.authentication_token_ciphertext, p.authentication_token_sha256, p.code,
    p.status, p.status_reason, p.balance_owner, p.unit, p.unit_scale, p.balance_minor,
    p.ledger_version, p.redeemed_version, p.upstream_version, p.field_values, p.expires_at,
    p.revision, p.content_sha256, p.pass_json, p.manifest, p.signature, p.signed_revision,
    p.is_on_apple, p.is_on_google, p.google_object_id, p.google_object_body, p.save_link,
    p.save_link_signed_at, p.save_link_revision, p.inserted_google_object_id, p.tier, p.causes,
    p.caused_at, p.rendered_at, p.created_at, p.updated_at, p.latest_message, p.replaced_by,
    p.forgotten_at, p.uses, p.last_used_at, p.ends_at, p.ends_as"""  # noqa: S105  # columns of the table pass


def wallet_pass_of(row: Any) -> WalletPass:
    body = row["google_object_body"]
    return WalletPass(
        workspace_id=row["workspace_id"],
        pass_id=row["pass_id"],
        program_id=row["program_id"],
        protocol=Protocol(row["protocol"]),
        template_id=row["template_id"],
        template_version=row["template_version"],
        holder_id=row["holder_id"],
        external_id=row["external_id"],
        request_sha256=row["request_sha256"],
        pass_type_identifier=row["pass_type_identifier"],
        serial_number=row["serial_number"],
        authentication_token_ciphertext=row["authentication_token_ciphertext"],
        authentication_token_sha256=row["authentication_token_sha256"],
        code=row["code"],
        status=PassStatus(row["status"]),
        status_reason=row["status_reason"],
        balance_owner=BalanceOwner(row["balance_owner"]),
        unit=row["unit"],
        unit_scale=row["unit_scale"],
        balance_minor=row["balance_minor"],
        ledger_version=row["ledger_version"],
        redeemed_version=row["redeemed_version"],
        upstream_version=row["upstream_version"],
        field_values=json.loads(row["field_values"]),
        expires_at=row["expires_at"],
        revision=row["revision"],
        content_sha256=row["content_sha256"],
        pass_json=row["pass_json"],
        manifest=row["manifest"],
        signature=row["signature"],
        signed_revision=row["signed_revision"],
        is_on_apple=row["is_on_apple"],
        is_on_google=row["is_on_google"],
        google_object_id=row["google_object_id"],
        google_object_body=None if body is None else json.loads(body),
        save_link=row["save_link"],
        save_link_signed_at=row["save_link_signed_at"],
        save_link_revision=row["save_link_revision"],
        inserted_google_object_id=row["inserted_google_object_id"],
        tier=row["tier"],
        causes=tuple(json.loads(row["causes"])),
        caused_at=row["caused_at"],
        rendered_at=row["rendered_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        latest_message=row["latest_message"],
        replaced_by=row["replaced_by"],
        forgotten_at=row["forgotten_at"],
        uses=row["uses"],
        last_used_at=row["last_used_at"],
        ends_at=row["ends_at"],
        ends_as=row["ends_as"],
    )
