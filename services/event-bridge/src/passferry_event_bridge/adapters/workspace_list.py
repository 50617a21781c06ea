"""The access directory, which can also tell all workspaces."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from passferry_runtime.auth import AccessDirectory


class WorkspaceList(AccessDirectory):
    @property
    def ids(self) -> Sequence[UUID]:
        return tuple(self._workspaces)
