"""How the simulated API can be told to misbehave, request by request."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from passferry_testing.faults import FaultRule


class GoogleFault(FaultRule):
    """`subject_prefix` selects by resource id, `scope` by call (`loyaltyobject.patch`, `token`).

    `status` None only delays. `when` is "after" for an answer that is lost although the change
    was made.
    """

    status: int | None = Field(default=None, ge=400, le=599)
    reason: str = "backendError"
    message: str = "injected fault"
    when: Literal["before", "after"] = "before"

    @property
    def is_only_delay(self) -> bool:
        return self.status is None
