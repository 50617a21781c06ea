"""What a pass is to Google: its state follows from its status and from why it ended."""

from __future__ import annotations

from typing import Literal

from passferry_contracts.types import PassStatus

GoogleState = Literal["ACTIVE", "COMPLETED", "EXPIRED", "INACTIVE"]

#: Reasons of a void that mean "used up", whoever says so.
USED = frozenset({"exhausted", "used", "used_up", "redeemed", "completed", "checked_in"})
#: A till or an importer may void what has run out.
RUN_OUT = frozenset({"expired"})


def google_state(status: PassStatus, reason: str | None) -> GoogleState:
    """Whatever is not active moves to "Expired passes" on the phone; only COMPLETED and EXPIRED
    say why. A deleted pass is withdrawn, however it ended before."""
    if status is PassStatus.ACTIVE:
        return "ACTIVE"
    if status is PassStatus.EXPIRED:
        return "EXPIRED"
    if status is PassStatus.VOIDED and reason in USED:
        return "COMPLETED"
    if status is PassStatus.VOIDED and reason in RUN_OUT:
        return "EXPIRED"
    return "INACTIVE"
