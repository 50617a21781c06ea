"""Opens push tokens with the key that the web service and the notifier share."""

from __future__ import annotations

from passferry_notifier.domain.deliveries import Delivery
from passferry_runtime.crypto import DecryptionFailed, KeyRing
from passferry_runtime.logging import get_logger

log = get_logger(__name__)


class PushTokenRing:
    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    def open(self, delivery: Delivery, ciphertext: bytes) -> str | None:
        context = f"push_token:{delivery.workspace_id}:{delivery.target}"
        try:
            return self._ring.decrypt(ciphertext, context=context).decode()
        except (DecryptionFailed, UnicodeDecodeError):
            log.error(
                "push_token_unreadable",
                workspace_id=delivery.workspace_id,
                pass_id=delivery.pass_id,
            )
            return None
