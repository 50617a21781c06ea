"""Keeps a wrong environment or certificate from wiping out a workspace's devices."""

from __future__ import annotations

from collections import deque
from uuid import UUID

WINDOW = 200
MIN_SAMPLE = 8
MAX_BAD_SHARE = 0.25
MAX_WORKSPACES = 10_000


class TokenBreaker:
    """Says whether a `BadDeviceToken` may count against its token.

    Only while the channel is seen to work: something of the workspace was accepted lately, and no
    more than a quarter of its tokens are called bad.
    """

    def __init__(self) -> None:
        self._recent: dict[UUID, deque[bool]] = {}

    def observe(self, workspace_id: UUID, *, is_bad: bool) -> None:
        recent = self._recent.pop(workspace_id, None)
        if recent is None:
            recent = deque(maxlen=WINDOW)
            if len(self._recent) >= MAX_WORKSPACES:
                del self._recent[next(iter(self._recent))]
        self._recent[workspace_id] = recent
        recent.append(is_bad)

    def may_strike(self, workspace_id: UUID) -> bool:
        recent = self._recent.get(workspace_id, ())
        bad = sum(recent)
        if bad == len(recent):
            return False
        return len(recent) < MIN_SAMPLE or bad / len(recent) <= MAX_BAD_SHARE
