"""Tokens of links, of which nobody but their holders may know more than the hash."""

from __future__ import annotations

from uuid import UUID

from passferry_pass_issuer.application.ports import Cipher
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
