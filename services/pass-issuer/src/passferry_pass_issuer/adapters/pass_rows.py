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
    p.forgotten_at, p.uses, p.last_used_at, p.first_issued_at, p.ends_at, p.ends_as"""  # noqa: S105  # columns of the table pass


def wallet_pass_of(row: Any) -> WalletPass:
    values = dict(row)
    body = values["google_object_body"]
    values.update(
        protocol=Protocol(values["protocol"]),
        status=PassStatus(values["status"]),
        balance_owner=BalanceOwner(values["balance_owner"]),
        field_values=json.loads(values["field_values"]),
        google_object_body=None if body is None else json.loads(body),
        causes=tuple(json.loads(values["causes"])),
    )
    return WalletPass.of_columns(values)
