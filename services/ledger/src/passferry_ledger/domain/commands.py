"""Orders to the ledger, and what makes two of them the same order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class EntryKind(StrEnum):
    """What is ordered, and what an entry is."""

    #: The balance that a pass is born with.
    OPENING = "opening"
    #: Money paid onto the pass.
    LOAD = "load"
    #: By amount, or by a purchase and the program's rule.
    EARN = "earn"
    REDEEM = "redeem"
    #: A correction by hand: any sign but zero.
    ADJUST = "adjust"
    TRANSFER = "transfer"
    #: Set aside until captured or released.
    HOLD = "hold"
    CAPTURE = "capture"
    RELEASE = "release"
    #: Take an earlier entry back, in whole or in part.
    REVERSE = "reverse"
    #: Points that lapsed; with an amount, points that an operator lets lapse.
    EXPIRE = "expire"
    CLOSE = "close"
    CHECK_IN = "check_in"
    #: The end of a tier's period: it is kept or lost.
    REVIEW = "review"
    #: What this protocol does when a till scans the pass; recorded as what that is.
    USE = "use"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Amounts are in the smallest part of the pass's unit.

    The pass is named by `pass_id`, `external_id` or the `code` of its barcode; several must agree.
    Only an opening has no `idempotency_key`.
    """

    workspace_id: UUID
    kind: EntryKind
    #: None where the command does not need one: capture, release, reverse, expire, use …
    amount_minor: int | None = None
    pass_id: UUID | None = None
    external_id: str | None = None
    code: str | None = None
    idempotency_key: str | None = None
    unit: str | None = None
    reference: str | None = None
    reason: str | None = None
    merchant_id: str | None = None
    merchant_name: str | None = None
    location: str | None = None
    terminal: str | None = None
    occurred_at: datetime | None = None
    #: Redeem and transfer: all that is available.
    everything: bool = False
    #: Earn and use: what was bought; the program's rule says what it earns.
    purchase_minor: int | None = None
    purchase_unit: str | None = None
    #: Transfer: the pass that receives, by one of its names.
    to_pass_id: UUID | None = None
    to_external_id: str | None = None
    #: Capture and release: the hold's entry.
    hold_id: UUID | None = None
    #: Hold: when it is released by itself.
    hold_until: datetime | None = None
    #: Capture: leave the rest of the hold open for another.
    keep_rest: bool = False
    #: Reverse: the entry, by its id or by its reference.
    reverses: UUID | None = None
    reverses_reference: str | None = None
    #: Who gave the order, and whether they may adjust; not part of what it says.
    recorded_by: str = ""
    by_manager: bool = True

    def fingerprint(self) -> bytes:
        """32 bytes, equal for equal orders whichever way they came.

        The pass is left out: it may be addressed in several ways, so the ledger compares the
        account.
        """
        said = {
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
            "everything": self.everything or None,
            "purchase_minor": self.purchase_minor,
            "purchase_unit": self.purchase_unit,
            "to_pass_id": None if self.to_pass_id is None else str(self.to_pass_id),
            "to_external_id": self.to_external_id,
            "hold_id": None if self.hold_id is None else str(self.hold_id),
            "hold_until": _instant(self.hold_until),
            "keep_rest": self.keep_rest or None,
            "reverses": None if self.reverses is None else str(self.reverses),
            "reverses_reference": self.reverses_reference,
        }
        canonical = {name: value for name, value in said.items() if value is not None}
        return hashlib.sha256(_CANONICAL.encode(canonical).encode()).digest()


#: Words of bodies and events that a command has others for.
_RENAMED = {"entry_id": "reverses", "entry_reference": "reverses_reference"}


def said_of(kind: EntryKind, said: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a command, from what a body or an event of that kind says."""
    fields = {_RENAMED.get(name, name): value for name, value in said.items()}
    if kind is EntryKind.TRANSFER:
        fields["everything"] = fields.get("amount_minor") is None
    for name in ("reference", "reverses_reference"):
        fields[name] = reference_of(fields.get(name))
    return fields


def reference_of(text: str | None) -> str | None:
    """Tills send empty text where they have no reference: it is none."""
    return text if text is not None and text.strip() else None


_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=True, separators=(",", ":"))


def _instant(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="microseconds")
