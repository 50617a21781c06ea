"""Tokens of links, of which nobody but their holders may know more than the hash."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from passferry_pass_issuer.application.ports import Cipher, PassLink
from passferry_pass_issuer.domain import secret_contexts
from passferry_runtime.crypto import DecryptionFailed
from passferry_runtime.logging import get_logger

log = get_logger(__name__)


def open_token(
    cipher: Cipher, ciphertext: bytes | None, *, workspace_id: UUID, link_id: UUID
) -> str | None:
    """None for a link that was shown once, of which nothing is kept, and for one that does not
    open: by its hash it is known all the same, so that it can be closed and its pass be ended."""
    if ciphertext is None:
        return None
    context = secret_contexts.link_token(workspace_id, link_id)
    try:
        return cipher.decrypt(ciphertext, context=context).decode()
    except DecryptionFailed:
        log.warning("link_unreadable", workspace_id=str(workspace_id), link_id=str(link_id))
        return None


def pass_link_of(cipher: Cipher, row: Mapping[str, Any]) -> PassLink:
    """Of a row with the columns of a link."""
    token = open_token(
        cipher, row["token_ciphertext"], workspace_id=row["workspace_id"], link_id=row["link_id"]
    )
    return PassLink(
        link_id=row["link_id"],
        token=token or "",
        token_sha256=row["token_sha256"],
        expires_at=row["expires_at"],
        is_revoked=row["is_revoked"],
    )
