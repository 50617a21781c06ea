"""What each ciphertext is bound to: it opens nowhere else than in its own row."""

from __future__ import annotations

from uuid import UUID


def authentication_token(workspace_id: UUID, pass_id: UUID) -> str:
    return f"{workspace_id}:pass.authentication_token:{pass_id}"


def holder(workspace_id: UUID, holder_id: UUID) -> str:
    return f"{workspace_id}:holder.personal:{holder_id}"


def link_token(workspace_id: UUID, link_id: UUID) -> str:
    return f"{workspace_id}:link.token:{link_id}"


def signing_key(workspace_id: UUID, signing_identity_id: UUID) -> str:
    return f"{workspace_id}:signing_identity.private_key:{signing_identity_id}"


def signing_request_key(workspace_id: UUID, signing_request_id: UUID) -> str:
    return f"{workspace_id}:signing_request.private_key:{signing_request_id}"


def provider_key(workspace_id: UUID, team_identifier: str, key_id: str) -> str:
    return f"{workspace_id}:provider_key.private_key:{team_identifier}:{key_id}"


def google_credential(workspace_id: UUID, issuer_id: str) -> str:
    return f"{workspace_id}:google_account.credential:{issuer_id}"


def inbound_secret(workspace_id: UUID, inbound_secret_id: UUID) -> str:
    return f"{workspace_id}:inbound_secret.secret:{inbound_secret_id}"


def lookup_key(workspace_id: UUID) -> str:
    return f"{workspace_id}:workspace.lookup_key"


def idempotent_answer(workspace_id: UUID, idempotency_key: str) -> str:
    return f"{workspace_id}:idempotency.answer:{idempotency_key}"


def job_chunk(workspace_id: UUID, job_id: UUID, first_row: int) -> str:
    return f"{workspace_id}:job_chunk.content:{job_id}:{first_row}"


def workspace_credentials(workspace_id: UUID) -> str:
    """Of the event `workspace.credentials_changed`; the notifier opens it with the same words."""
    return f"workspace.credentials:{workspace_id}"
