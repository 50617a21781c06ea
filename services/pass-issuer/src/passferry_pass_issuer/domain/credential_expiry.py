"""When the end of a certificate is told, and how."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from passferry_pass_issuer.domain.credentials import SigningIdentityRecord

#: Days before the end; 0 is the end itself.
THRESHOLDS_DAYS = (30, 14, 7, 1, 0)
_URGENT_DAYS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiryNotice:
    identity: SigningIdentityRecord
    threshold_days: int
    #: This one and the wider ones: who hears of 7 days has no use for 30 any more.
    settles: tuple[int, ...]
    days_left: int

    @property
    def workspace_id(self) -> UUID:
        return self.identity.workspace_id

    @property
    def kind(self) -> str:
        return (
            "signing_identity_expired" if self.threshold_days == 0 else "signing_identity_expiring"
        )

    @property
    def severity(self) -> Literal["warning", "error"]:
        return "error" if self.threshold_days <= _URGENT_DAYS else "warning"

    @property
    def message(self) -> str:
        subject = self.identity.pass_type_identifier
        if self.threshold_days == 0:
            return f"The certificate of {subject} has ended: phones refuse what it would sign."
        days = "1 day" if self.days_left == 1 else f"{self.days_left} days"
        return f"The certificate of {subject} ends in {days}: upload its successor."


def notice_due(
    identity: SigningIdentityRecord, told: Collection[int], now: datetime
) -> ExpiryNotice | None:
    """The narrowest threshold that is reached, unless it was told."""
    left = identity.not_after - now
    reached = [days for days in THRESHOLDS_DAYS if left <= timedelta(days=days)]
    if not reached or min(reached) in told:
        return None
    return ExpiryNotice(
        identity=identity,
        threshold_days=min(reached),
        settles=tuple(days for days in reached if days not in told),
        days_left=max(0, identity.days_left(now)),
    )
