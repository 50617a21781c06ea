"""Orders to the ledger, and what makes two of them the same order."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID


class EntryKind(StrEnum):
    """What an entry is; `opening` is the balance that a pass is born with."""

    OPENING = "opening"
    EARN = "earn"
    REDEEM = "redeem"
    ADJUST = "adjust"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Change one pass's balance by `amount_minor`, in the smallest part of its unit.

    The pass is named by `pass_id` or by `external_id`; when both are given they must agree.
    Only an opening has no `idempotency_key`.
    """

    workspace_id: UUID
    kind: EntryKind
    amount_minor: int
    pass_id: UUID | None = None
    external_id: str | None = None
    idempotency_key: str | None = None
    unit: str | None = None
    reference: str | None = None
    reason: str | None = None
    merchant_id: str | None = None
    merchant_name: str | None = None
    location: str | None = None
    terminal: str | None = None
    occurred_at: datetime | None = None
    #: Who gave the order; not part of what it says.
    recorded_by: str = ""

    @property
    def change_minor(self) -> int:
        """What the balance gains; negative when it loses."""
        return -self.amount_minor if self.kind is EntryKind.REDEEM else self.amount_minor

    def fingerprint(self) -> bytes:
        """32 bytes, equal for equal orders whichever way they came.

        The pass is left out: it may be addressed in two ways, so the ledger compares the account.
        """
        canonical = {
            "kind": self.kind.value,
            "amount_minor": self.amount_minor,
            "unit": self.unit,
            "reference": self.reference,
            "reason": self.reason,
            "merchant_id": self.merchant_id,
            "merchant_name": self.merchant_name,
            "location": self.location,
            "terminal": self.terminal,
            "occurred_at": _instant(self.occurred_at),
        }
        text = json.dumps(canonical, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).digest()


def _instant(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="microseconds")
