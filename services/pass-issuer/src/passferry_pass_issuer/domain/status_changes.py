"""The life of a pass, as data: which status may follow which. What ended never comes back."""

from __future__ import annotations

from collections.abc import Mapping

from passferry_contracts.types import PassStatus

#: A pass that expired may still be voided: a wallet shows why it is of no use.
NEXT: Mapping[PassStatus, frozenset[PassStatus]] = {
    PassStatus.ACTIVE: frozenset({PassStatus.VOIDED, PassStatus.EXPIRED, PassStatus.DELETED}),
    PassStatus.VOIDED: frozenset({PassStatus.DELETED}),
    PassStatus.EXPIRED: frozenset({PassStatus.VOIDED, PassStatus.DELETED}),
    PassStatus.DELETED: frozenset(),
}

#: Reasons that we give ourselves; callers give others, such as `fraud` or `withdrawn`.
REQUESTED = "requested"
TIME_IS_OVER = "expired"
REPLACED = "replaced"
ERASED = "erased"


def may_become(present: PassStatus, wanted: PassStatus) -> bool:
    return wanted in NEXT[present]
