"""Which status may follow which: a pass that ended never comes back."""

from __future__ import annotations

from passferry_contracts.types import PassStatus

_ENDINGS = {
    PassStatus.ACTIVE: {PassStatus.VOIDED, PassStatus.EXPIRED, PassStatus.DELETED},
    PassStatus.VOIDED: {PassStatus.DELETED},
    PassStatus.EXPIRED: {PassStatus.VOIDED, PassStatus.DELETED},
    PassStatus.DELETED: set[PassStatus](),
}


def may_become(present: PassStatus, wanted: PassStatus) -> bool:
    return wanted in _ENDINGS[present]
