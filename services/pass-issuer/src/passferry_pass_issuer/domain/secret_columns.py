"""Every column that holds a ciphertext under the key ring, and what each is bound to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from passferry_pass_issuer.domain import secret_contexts


@dataclass(frozen=True, slots=True)
class SecretColumn:
    """`keys` are the columns of the primary key after the workspace, with their types; `context`
    gets the workspace and their values."""

    table: str
    column: str
    keys: tuple[tuple[str, str], ...]
    context: Callable[..., str]

    def context_of(self, workspace_id: UUID, key: Sequence[Any]) -> str:
        return self.context(workspace_id, *key)


def _google_context(workspace_id: UUID, issuer_id: str, private_key_id: str) -> str:
    """Bound to the issuer, whichever of its keys it is."""
    return secret_contexts.google_credential(workspace_id, issuer_id)


#: A test holds this list against the schema: a column that is missing here keeps old keys needed.
SECRET_COLUMNS: tuple[SecretColumn, ...] = (
    SecretColumn("workspace", "lookup_key_ciphertext", (), secret_contexts.lookup_key),
    SecretColumn(
        "signing_identity",
        "private_key_ciphertext",
        (("signing_identity_id", "uuid"),),
        secret_contexts.signing_key,
    ),
    SecretColumn(
        "signing_request",
        "private_key_ciphertext",
        (("signing_request_id", "uuid"),),
        secret_contexts.signing_request_key,
    ),
    SecretColumn(
        "provider_key",
        "private_key_ciphertext",
        (("team_identifier", "text"), ("key_id", "text")),
        secret_contexts.provider_key,
    ),
    SecretColumn(
        "google_account",
        "credential_ciphertext",
        (("issuer_id", "text"), ("private_key_id", "text")),
        _google_context,
    ),
    SecretColumn(
        "inbound_secret",
        "secret_ciphertext",
        (("inbound_secret_id", "uuid"),),
        secret_contexts.inbound_secret,
    ),
    SecretColumn("holder", "personal_ciphertext", (("holder_id", "uuid"),), secret_contexts.holder),
    SecretColumn(
        "pass",
        "authentication_token_ciphertext",
        (("pass_id", "uuid"),),
        secret_contexts.authentication_token,
    ),
    SecretColumn("link", "token_ciphertext", (("link_id", "uuid"),), secret_contexts.link_token),
    SecretColumn(
        "idempotency",
        "answer_ciphertext",
        (("idempotency_key", "text"),),
        secret_contexts.idempotent_answer,
    ),
    SecretColumn(
        "job_chunk",
        "content_ciphertext",
        (("job_id", "uuid"), ("first_row", "bigint")),
        secret_contexts.job_chunk,
    ),
)
